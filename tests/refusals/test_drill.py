"""The engineer on call has the log alone: who called, for what, and what to change."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import httpx
import pytest

import example_app
from cognito_guard.local import PoolKeys
from tests.refusals.drill import OTHER_POOL_ID, POOL_ID, READER, STRANGER, WRITER, Drill, log_lines

PAGE = (Path(example_app.__file__).parent.parent / "docs" / "troubleshooting.md").read_text()

# What the line of each case must tell: who calls, as far as is known, and what to look at.
TELLS = {
    "wrong client": ["GET /orders/17 refused 401 claim_client_id", STRANGER, "client_ids"],
    "wrong pool": ["GET /orders/17 refused 401 claim_iss", READER, OTHER_POOL_ID, POOL_ID],
    "ID token": ["GET /orders/17 refused 401 claim_token_use", READER, "send the access token"],
    "expired by 3 s": ["GET /orders/17 refused 401 expired", READER, "expired 3 s ago", "clock", "leeway"],
    "clock behind": ["GET /orders/17 refused 401 claim_nbf", READER, "in 40 s", "clock of this machine is behind"],
    "unknown key": ["GET /orders/17 refused 401 unknown_key", READER, "2 keys", "rotation"],
    "missing scope": ["PUT /orders/{number} refused 403 scope", READER, "needed is orders/order.write", "assign"],
    "wrong resource server": ["PUT /orders/{number} refused 403 scope", WRITER, "has billing/order.write, which is of"],
    "two headers": ["GET /orders/17 refused 400 repeated_header", "2 Authorization headers", "proxies", "127.0.0.1"],
    "junk": ["GET /orders/17 refused 401 malformed", "4 characters", "send the access_token", "127.0.0.1"],
    "no token": ["GET /orders/17 refused 401 missing_token", "no Authorization header", "guard.public", "127.0.0.1"],
    "keys unreachable": [
        "GET /orders/17 refused 503 keys_unavailable",
        READER,
        "ConnectionRefusedError",
        "token may be good",
    ],
}


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """The one line that each request of the drill left in the log."""
    drill, found = Drill(PoolKeys(), PoolKeys()), {}

    async def call(method: str, path: str, tokens: list[str]) -> int:
        headers = [("Authorization", f"Bearer {token}") for token in tokens]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(drill.app), base_url="http://api") as client:
            return (await client.request(method, path, headers=headers)).status_code

    for name, method, path, tokens, status in drill.requests():
        with log_lines() as lines:
            assert anyio.run(call, method, path, tokens) == status
        [found[name]] = [line for line in lines if " refused " in line]
    return found


@pytest.mark.parametrize("name", TELLS)
def test_the_log_alone_tells_who_where_and_what_to_change(told: dict[str, str], name: str) -> None:
    assert [part for part in TELLS[name] if part not in told[name]] == []


def test_the_page_shows_the_drill(told: dict[str, str]) -> None:
    shown = "\n".join(told.values())

    assert re.findall(r"^```text\n(.*?)\n```$", PAGE, re.DOTALL | re.MULTILINE)[0] == shown
