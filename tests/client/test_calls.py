"""Calls with httpx, httpx2 and others: which token they carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest

from cognito_guard.client import ClientCredentials
from cognito_guard.client._auth_class import auth_classes
from cognito_guard.local import LocalPool

pytestmark = pytest.mark.anyio


async def test_an_async_client_sends_the_token(client: ClientCredentials, api: Any, endpoint: Any) -> None:
    async with api.async_client(client) as http:
        assert (await http.get("/orders")).status_code == 200
        assert (await http.get("/orders")).status_code == 200

    assert endpoint.calls == 1
    assert api.tokens == [await client.token()] * 2


def test_a_sync_client_sends_the_token(client: ClientCredentials, api: Any, endpoint: Any) -> None:
    with api.client(client) as http:
        assert http.get("/orders").status_code == 200
        assert http.get("/orders").status_code == 200

    assert endpoint.calls == 1
    assert api.tokens == [client.token_sync()] * 2
