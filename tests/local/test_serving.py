"""Serving an app on a thread, where the server cannot do all that it could."""

from __future__ import annotations

import sys
import threading

import httpx
import pytest
from uvicorn.importer import ImportFromStringError

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys, serving

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def without_websockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn.protocols.websockets.auto", None)


def test_what_the_server_cannot_load_is_raised_and_no_thread_is_left() -> None:
    async def app(*_: object) -> None:
        raise AssertionError

    with pytest.raises(ImportFromStringError, match="websockets"), serving(app):
        raise AssertionError

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("serving ")]


def test_a_local_cognito_needs_no_websockets(pool_keys: PoolKeys) -> None:
    local = LocalCognito(LocalPool(keys=pool_keys))

    with serving(local) as url:
        path = f"{local.pool.pool_id}/.well-known/jwks.json"
        assert httpx.get(f"{url}/{path}", trust_env=False).json() == local.pool.jwks()
