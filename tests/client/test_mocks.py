"""Teams that mock HTTP in their tests: respx and pytest-httpx see token requests as they see any other."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import respx
from pytest_httpx import HTTPXMock

from cognito_guard.client import ClientCredentials, Seams, TokenRequestError
from cognito_guard.local import LocalCognito, LocalPool

pytestmark = pytest.mark.anyio

TOKEN_URL = "https://orders.auth.example/oauth2/token"
GRANT = {"access_token": "a.b.c", "expires_in": 3600, "token_type": "Bearer"}


@pytest.fixture
def unseen(seams: Seams) -> ClientCredentials:
    """A client without a transport of its own, as teams have it."""
    return ClientCredentials(TOKEN_URL, client_id="a0client", client_secret="the_secret", seams=seams)


def test_respx_answers_token_requests_and_calls(unseen: ClientCredentials, respx_mock: respx.MockRouter) -> None:
    token = respx_mock.post(TOKEN_URL).respond(json=GRANT)
    orders = respx_mock.get("https://api.example/orders").respond(json=[])

    for _ in range(2):
        assert httpx.get("https://api.example/orders", auth=unseen).json() == []

    assert (token.call_count, orders.call_count) == (1, 2)
    assert orders.calls.last.request.headers["authorization"] == "Bearer a.b.c"


async def test_respx_answers_async_callers(unseen: ClientCredentials, respx_mock: respx.MockRouter) -> None:
    token = respx_mock.post(TOKEN_URL).respond(json=GRANT)
    orders = respx_mock.get("https://api.example/orders").respond(json=[])

    async with httpx.AsyncClient(auth=unseen) as http:
        assert (await http.get("https://api.example/orders")).json() == []

    assert (token.call_count, orders.call_count) == (1, 1)


def test_respx_shows_the_retry_after_a_401(unseen: ClientCredentials, respx_mock: respx.MockRouter) -> None:
    respx_mock.post(TOKEN_URL).mock(
        side_effect=[httpx.Response(200, json=GRANT), httpx.Response(200, json=GRANT | {"access_token": "d.e.f"})]
    )
    orders = respx_mock.get("https://api.example/orders").mock(side_effect=[httpx.Response(401), httpx.Response(200)])

    assert httpx.get("https://api.example/orders", auth=unseen).status_code == 200
    assert [call.request.headers["authorization"] for call in orders.calls] == ["Bearer a.b.c", "Bearer d.e.f"]


@pytest.mark.respx(assert_all_called=False)
def test_a_token_request_that_is_not_mocked_is_an_error_and_no_hang(
    unseen: ClientCredentials, respx_mock: respx.MockRouter
) -> None:
    respx_mock.get("https://api.example/orders")

    with pytest.raises(TokenRequestError, match=r"unreachable \(AllMockedAssertionError\)"):
        httpx.get("https://api.example/orders", auth=unseen)


def test_pytest_httpx_answers_token_requests_and_calls(unseen: ClientCredentials, httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(url=TOKEN_URL, json=GRANT)
    httpx_mock.add_response(url="https://api.example/orders", json=[], match_headers={"Authorization": "Bearer a.b.c"})

    assert httpx.get("https://api.example/orders", auth=unseen).json() == []


async def test_pytest_httpx_answers_async_callers(unseen: ClientCredentials, httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(url=TOKEN_URL, json=GRANT)
    httpx_mock.add_response(url="https://api.example/orders", json=[], match_headers={"Authorization": "Bearer a.b.c"})

    async with httpx.AsyncClient(auth=unseen) as http:
        assert (await http.get("https://api.example/orders")).json() == []


def test_a_local_pool_behind_respx_gives_real_tokens(
    pool: LocalPool, reader: Any, respx_mock: respx.MockRouter
) -> None:
    """What the docs show for tests: no server, no network, and tokens that a guard accepts."""
    cognito = httpx.ASGITransport(LocalCognito(pool))

    def answer(request: httpx.Request) -> httpx.Response:
        return asyncio.run(ask(request))

    async def ask(request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=cognito) as http:
            response = await http.post(request.url, content=request.content, headers=request.headers)
        return httpx.Response(response.status_code, content=response.content)

    respx_mock.post(TOKEN_URL).mock(side_effect=answer)
    auth = ClientCredentials(TOKEN_URL, client_id=reader.client_id, client_secret=reader.secret)

    assert auth.token_sync().count(".") == 2
