"""Every server once, for all tests, and tokens for them."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cognito_guard.local import LocalPool, PoolKeys
from tests.servers.answers import READ, WRITE
from tests.servers.serving import COMMANDS, Serving, missing, servers

OTHER_POOL_ID = "eu-west-1_Other1234"


@pytest.fixture(scope="session")
def issuer(pool_keys: PoolKeys) -> LocalPool:
    """A pool on the real clock, which other processes share."""
    issuer = LocalPool(keys=pool_keys)
    issuer.add_client(scopes=["openid"], allowed_flows=["code"])
    return issuer


@pytest.fixture(scope="session")
def other_issuer(pool_keys: PoolKeys) -> LocalPool:
    """Another pool, which even has the same keys."""
    issuer = LocalPool(OTHER_POOL_ID, keys=pool_keys)
    issuer.add_client(scopes=["openid"], allowed_flows=["code"])
    return issuer


NOISE = re.compile(
    # uvicorn's sansio implementation logs this after every denial.
    r"ERROR: +ASGI callable returned without completing handshake\.\n"
    # hypercorn's trio worker logs this if it and the app both answer half a request.
    r"|.*Error in ASGI Framework\nTraceback.*\n(?: .*\n)+trio\.BusyResourceError: .*\n"
)


@pytest.fixture(scope="session")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, issuer: LocalPool, other_issuer: LocalPool
) -> Iterator[dict[str, Serving]]:
    """All servers, each started once. Their output is checked after they have ended."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "secret.txt").write_text("inside")
    environ = os.environ | {
        "POOL": issuer.pool_id,
        "OTHER": other_issuer.pool_id,
        "JWKS": json.dumps(issuer.jwks()),
        "FILES": str(folder),
        "PYTHONWARNINGS": "ignore",
    }
    fleet = {
        name: Serving(COMMANDS[name].split(), Path(__file__).parent, environ)
        for name in COMMANDS
        if missing(name) is None
    }
    try:
        yield fleet
        for serving in fleet.values():
            serving.process.send_signal(signal.SIGTERM)
        written = {name: NOISE.sub("", serving.end()) for name, serving in fleet.items()}
    finally:
        for serving in fleet.values():
            serving.process.kill()
            serving.process.communicate()
    for name, text in written.items():
        # One of the served apps has no keys on purpose.
        found = re.findall(
            r".*(?:Traceback|ERROR(?!:\s+cognito_guard: .*(?:not fetched|keys_unavailable))|eyJ).*", text
        )
        assert found == [], name


@pytest.fixture(params=servers("uvicorn-sansio", "hypercorn-asyncio", "hypercorn-trio", "granian"))
def serving(fleet: dict[str, Serving], request: pytest.FixtureRequest) -> Serving:
    """One server of each kind."""
    return fleet[request.param].ready()


@pytest.fixture(params=servers(*(name for name in COMMANDS if not name.endswith("-rooted"))))
def upgrading(fleet: dict[str, Serving], request: pytest.FixtureRequest) -> Serving:
    """One server of each kind, and of uvicorn's each implementation of websockets."""
    return fleet[request.param].ready()


@pytest.fixture(params=servers(*(name for name in COMMANDS if name.endswith("-rooted"))))
def rooted(fleet: dict[str, Serving], request: pytest.FixtureRequest) -> Serving:
    """One server of each kind that can have a prefix."""
    return fleet[request.param].ready()


@pytest.fixture
def reader(issuer: LocalPool) -> str:
    return f"Authorization: Bearer {issuer.mint(READ)}"


@pytest.fixture
def writer(issuer: LocalPool) -> str:
    return f"Authorization: Bearer {issuer.mint(READ, WRITE)}"
