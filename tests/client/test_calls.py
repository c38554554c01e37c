"""Calls with httpx, httpx2 and others: what they carry, and when they are repeated."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from cognito_guard.client import ClientCredentials
from cognito_guard.client._auth_class import auth_classes
from cognito_guard.errors import ConfigurationError

pytestmark = pytest.mark.anyio

Make = Callable[..., ClientCredentials]


# What is sent


async def test_an_async_client_sends_one_token_again_and_again(
    client: ClientCredentials, api: Any, endpoint: Any
) -> None:
    async with api.async_client(client) as http:
        assert (await http.get("/orders")).status_code == 200
        assert (await http.get("/orders")).status_code == 200

    assert endpoint.calls == 1
    assert api.tokens == [await client.token()] * 2


def test_a_sync_client_sends_one_token_again_and_again(client: ClientCredentials, api: Any, endpoint: Any) -> None:
    with api.client(client) as http:
        assert http.get("/orders").status_code == 200
        assert http.get("/orders").status_code == 200

    assert endpoint.calls == 1
    assert api.tokens == [client.token_sync()] * 2


async def test_other_clients_get_token_and_headers(client: ClientCredentials, endpoint: Any) -> None:
    token = await client.token()

    assert await client.headers() == client.headers_sync() == {"Authorization": f"Bearer {token}"}
    assert client.token_sync() == token
    assert endpoint.calls == 1


def test_the_sync_httpx2_client_accepts_it(client: ClientCredentials) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, text=request.headers["authorization"]))
    auth: Any = client
    with httpx2.Client(transport=transport, auth=auth) as http:
        assert http.get("https://api.example").text == f"Bearer {client.token_sync()}"


async def test_the_async_httpx2_client_accepts_it(client: ClientCredentials) -> None:
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, text=request.headers["authorization"]))
    auth: Any = client
    async with httpx2.AsyncClient(transport=transport, auth=auth) as http:
        assert (await http.get("https://api.example")).text == f"Bearer {await client.token()}"


def test_without_httpx2_it_is_an_auth_object_of_httpx_only() -> None:
    def import_module(name: str) -> None:
        raise ImportError(name)

    assert auth_classes() == (httpx.Auth, httpx2.Auth)
    assert auth_classes(import_module) == (httpx.Auth,)


class Parts(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body of two parts that notes how many were read."""

    def __init__(self) -> None:
        self.read = 0

    def __iter__(self) -> Iterator[bytes]:
        for part in (b"first", b"second"):
            self.read += 1
            yield part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part


@pytest.mark.parametrize("status", [200, 401])
def test_a_sync_response_is_not_read_ahead(make_client: Make, api: Any, endpoint: Any, status: int) -> None:
    parts, client = Parts(), make_client()
    transport = httpx.MockTransport(lambda _: httpx.Response(status, stream=parts))
    client.token_sync()
    endpoint.say(500)  # so that a 401 cannot be followed by another try
    with (
        httpx.Client(transport=transport, auth=client) as http,
        http.stream("GET", "https://api.example", params={}) as response,
    ):
        assert parts.read == 0
        assert response.read() == b"firstsecond"


async def test_an_async_response_is_not_read_ahead(client: ClientCredentials) -> None:
    parts = Parts()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=parts))
    async with (
        httpx.AsyncClient(transport=transport, auth=client) as http,
        http.stream("GET", "https://api.example") as response,
    ):
        assert parts.read == 0
        assert await response.aread() == b"firstsecond"


# Where it is sent


@pytest.mark.parametrize("url", ["http://api.example/orders", "http://10.0.0.1", "ftp://api.example/"])
async def test_a_token_is_not_sent_in_the_clear(client: ClientCredentials, api: Any, endpoint: Any, url: str) -> None:
    with api.client(client) as http, pytest.raises(ConfigurationError, match=r"is not sent to .*; use https"):
        http.get(url)
    async with api.async_client(client) as http:
        with pytest.raises(ConfigurationError, match=r"is not sent to .*; use https"):
            await http.get(url)

    assert (api.tokens, endpoint.calls) == ([], 0)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000/", "http://localhost/", "http://[::1]:8000/"])
def test_a_token_may_be_sent_over_loopback(client: ClientCredentials, api: Any, url: str) -> None:
    assert api.client(client).get(url).status_code == 200


def test_plain_http_can_be_allowed(make_client: Make, api: Any, caplog: pytest.LogCaptureFixture) -> None:
    client = make_client(token_url="http://cognito.internal/oauth2/token", allow_insecure_http=True)

    assert "sends its secret and its tokens over plain http" in caplog.text
    assert api.client(client).get("http://api.internal/").status_code == 200


@pytest.mark.parametrize("host", ["api.example", "API.example", "API.EXAMPLE"])
def test_a_token_is_sent_to_the_named_hosts(make_client: Make, api: Any, host: str) -> None:
    assert api.client(make_client(hosts={host})).get("https://api.example/").status_code == 200


@pytest.mark.parametrize("url", ["https://api.example.com", "https://xapi.example", "https://other.example"])
def test_a_token_is_sent_to_no_other_host(make_client: Make, api: Any, endpoint: Any, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not sent to .*; hosts= names api\.example, cdn\.example$"):
        api.client(make_client(hosts={"cdn.example", "api.example"})).get(url)

    assert (api.tokens, endpoint.calls) == ([], 0)


class Redirecting:
    """Redirects the first request to *location*, and answers the next with *status*."""

    def __init__(self, location: str, status: int = 200) -> None:
        self.location = location
        self.status = status
        self.seen: list[tuple[str, str | None]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append((str(request.url), request.headers.get("authorization")))
        if request.url.path == "/moved":
            return httpx.Response(307, headers={"location": self.location})
        return httpx.Response(self.status)


def test_a_token_follows_a_redirect_within_the_origin(client: ClientCredentials) -> None:
    api = Redirecting("/orders")
    with httpx.Client(transport=httpx.MockTransport(api), auth=client, follow_redirects=True) as http:
        http.get("https://api.example/moved")

    assert [header for _, header in api.seen] == [f"Bearer {client.token_sync()}"] * 2


@pytest.mark.parametrize(
    "elsewhere", ["https://other.example/", "https://api.example:8443/", "http://api.example/"], ids=str
)
def test_a_token_does_not_follow_a_redirect_to_another_origin(client: ClientCredentials, elsewhere: str) -> None:
    api = Redirecting(elsewhere, 401)
    with httpx.Client(transport=httpx.MockTransport(api), auth=client, follow_redirects=True) as http:
        assert http.get("https://api.example/moved").status_code == 401

    assert api.seen == [("https://api.example/moved", f"Bearer {client.token_sync()}"), (elsewhere, None)]


# When the API answers 401


def test_a_refused_token_is_replaced_once(client: ClientCredentials, api: Any, endpoint: Any) -> None:
    old = client.token_sync()
    api.takes = lambda token: token != old

    response = api.client(client).post("/orders", content=b"tea")

    assert response.status_code == 200
    assert (endpoint.calls, len(api.tokens)) == (2, 2)
    assert api.tokens[0] == old != api.tokens[1]
    assert api.bodies == [b"tea"] * 2


async def test_a_refused_token_is_replaced_once_for_async_callers(
    client: ClientCredentials, api: Any, endpoint: Any
) -> None:
    old = await client.token()
    api.takes = lambda token: token != old

    async with api.async_client(client) as http:
        assert (await http.post("/orders", json={"item": "tea"})).status_code == 200

    assert (endpoint.calls, len(api.tokens)) == (2, 2)
    assert api.tokens[0] == old != api.tokens[1]


@pytest.mark.parametrize("status", [400, 403, 407, 500])
def test_only_401_refuses_a_token(client: ClientCredentials, endpoint: Any, status: int) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status))
    with httpx.Client(transport=transport, auth=client) as http:
        assert http.get("https://api.example").status_code == status

    assert endpoint.calls == 1


def test_a_token_that_was_replaced_meanwhile_is_not_bought_again(
    client: ClientCredentials, api: Any, endpoint: Any
) -> None:
    """Two calls with the old token are under way; the second 401 comes when the new token is there."""
    old = client.token_sync()
    flow, late = client.sync_auth_flow(request := get()), client.sync_auth_flow(late_request := get())
    assert next(flow).headers["authorization"] == next(late).headers["authorization"] == f"Bearer {old}"

    flow.send(refused(request))
    late.send(refused(late_request))

    assert endpoint.calls == 2
    assert request.headers["authorization"] == late_request.headers["authorization"] != f"Bearer {old}"


def get() -> httpx.Request:
    return httpx.Request("GET", "https://api.example/orders")


def refused(request: httpx.Request) -> httpx.Response:
    return httpx.Response(401, request=request)


async def test_there_is_one_retry_and_not_two(client: ClientCredentials, api: Any, endpoint: Any) -> None:
    api.takes = lambda _: False

    assert api.client(client).get("/orders").status_code == 401
    async with api.async_client(client) as http:
        assert (await http.get("/orders")).status_code == 401

    # The second call's 401 finds the pause after a purchase that a 401 caused.
    assert (endpoint.calls, len(api.tokens)) == (2, 3)


def test_the_same_token_is_never_sent_again(client: ClientCredentials, api: Any, endpoint: Any) -> None:
    old = client.token_sync()
    endpoint.answer = lambda _: httpx.Response(
        200, json={"access_token": old, "expires_in": 3600, "token_type": "bearer"}
    )
    api.takes = lambda _: False

    assert api.client(client).get("/orders").status_code == 401
    assert (endpoint.calls, api.tokens) == (2, [old])


@pytest.mark.parametrize("status", [400, 429, 500])
def test_without_another_token_the_401_stands(client: ClientCredentials, api: Any, endpoint: Any, status: int) -> None:
    old = client.token_sync()
    api.takes = lambda _: False
    endpoint.say(status, {"error": "invalid_client"})

    assert api.client(client).get("/orders").status_code == 401
    assert api.tokens == [old]


def test_an_api_that_refuses_every_token_causes_few_purchases(
    client: ClientCredentials, api: Any, endpoint: Any, clock: Any, timer: Any
) -> None:
    """A call every five seconds for an hour: purchases are 10, 20, 40 ... 900 s apart."""
    api.takes = lambda _: False
    with api.client(client) as http:
        for _ in range(720):
            http.get("/orders")
            clock.advance(5)
            timer.advance(5)

    assert 9 <= endpoint.calls <= 13


def test_after_a_quiet_time_a_401_is_answered_with_a_purchase_again(
    client: ClientCredentials, api: Any, endpoint: Any, timer: Any
) -> None:
    for calls in (2, 3):
        old = client.token_sync()
        api.takes = lambda token, old=old: token != old
        assert api.client(client).get("/orders").status_code == 200
        assert endpoint.calls == calls
        timer.advance(10)


def chunks() -> Iterator[bytes]:
    yield b"tea"


@pytest.mark.parametrize("content", [chunks, lambda: io.BytesIO(b"tea")], ids=["generator", "file"])
def test_a_body_that_cannot_be_sent_again_is_sent_once(
    client: ClientCredentials, api: Any, endpoint: Any, content: Callable[[], Any]
) -> None:
    api.takes = lambda _: False

    assert api.client(client).post("/orders", content=content()).status_code == 401
    assert (endpoint.calls, api.bodies) == (1, [b"tea"])


async def test_an_async_body_that_cannot_be_sent_again_is_sent_once(
    client: ClientCredentials, api: Any, endpoint: Any
) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"tea"

    api.takes = lambda _: False
    async with api.async_client(client) as http:
        assert (await http.post("/orders", content=content())).status_code == 401

    assert (endpoint.calls, api.bodies) == (1, [b"tea"])


def test_a_request_that_was_redirected_is_not_sent_again(client: ClientCredentials, endpoint: Any) -> None:
    """The first request may have had an effect: 303 after a POST says that it had."""
    api = Redirecting("/orders", 401)
    with httpx.Client(transport=httpx.MockTransport(api), auth=client, follow_redirects=True) as http:
        assert http.post("https://api.example/moved", json={}).status_code == 401

    assert (len(api.seen), endpoint.calls) == (2, 1)
