"""`docs/security.md` names tests that exist, and one or a reason for each threat and demand."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from cognito_guard import CognitoGuard
from cognito_guard.local import LocalPool

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
ROWS = [row for row in re.findall(r"^\| (?!---)(.*) \|$", PAGE, re.MULTILINE) if not row.endswith("| test")]
WITHOUT_A_TEST = ("*Not:*", "does not apply", "your own condition")


def names() -> set[str]:
    """The tests that there are."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE))
    return found


def test_each_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))

    assert len(named) > 50
    assert named - names() == set()


def test_each_line_names_a_test_or_says_why_there_is_none() -> None:
    assert len(ROWS) > 60
    for row in ROWS:
        shown = row.split(" | ")[-1]
        assert "`test_" in shown or shown.startswith(WITHOUT_A_TEST), row


async def test_a_token_in_the_query_or_in_a_form_is_not_read(
    guard: CognitoGuard, pool: LocalPool, call: Callable[..., Awaitable[httpx.Response]]
) -> None:
    async def reached(request: Request) -> PlainTextResponse:
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/orders", reached, methods=["GET", "POST"])])
    guard.install(app)
    token = pool.mint()

    for method, sent in (("GET", {"params": {"access_token": token}}), ("POST", {"data": {"access_token": token}})):
        assert (await call(app, method, "/orders", **sent)).json()["error"] == "missing_token"
        assert (await call(app, method, "/orders", token, **sent)).text == "reached"
