"""Secrets and tokens show nowhere: not in repr, logs, tracebacks, their local variables or exception chains."""

from __future__ import annotations

import copy
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from cognito_guard.client import ClientCredentials, TokenRequestError
from cognito_guard.local import LocalClient

pytestmark = pytest.mark.anyio

Make = Callable[..., ClientCredentials]
Settle = Callable[[], None]


def everything(error: BaseException) -> str:
    """The error as an error tracker shows it: with its chain and local variables, except ours."""
    words = []
    for link in chain(error):
        shown = traceback.TracebackException.from_exception(link, capture_locals=True)
        shown.stack[:] = [frame for frame in shown.stack if frame.filename != __file__]
        words += [*shown.stack.format(), repr(link), str(link)]
    return "".join(words)


def chain(error: BaseException) -> Iterator[BaseException]:
    links: BaseException | None = error
    while links is not None:
        yield links
        links = links.__cause__ or links.__context__


def refuse(_: httpx.Request) -> httpx.Response:
    return httpx.Response(400, json={"error": "invalid_client", "error_description": "invalid_client_secret"})


def echo(request: httpx.Request) -> httpx.Response:
    """An endpoint that returns what it was sent."""
    return httpx.Response(400, json={"error": "unauthorized_client", "error_description": request.content.decode()})


def break_off(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError(request.content.decode(), request=request)


@pytest.mark.parametrize("answer", [refuse, echo, break_off])
async def test_a_failure_shows_no_secret(
    make_client: Make, endpoint: Any, api: Any, answer: Any, reader: LocalClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client = make_client(credentials_in="body")
    endpoint.answer = answer

    with api.client(client) as http, pytest.raises(TokenRequestError) as caught:
        http.get("/orders")
    async with api.async_client(client) as http:
        with pytest.raises(TokenRequestError) as caught_async:
            await http.get("/orders")

    for error in (caught.value, caught_async.value):
        assert reader.secret not in everything(error)
        assert list(chain(error)) == [error]
        assert "sync_auth_flow" in everything(error)
    assert reader.secret not in caplog.text


def test_a_secret_that_cannot_be_fetched_shows_nothing(
    make_client: Make, caplog: pytest.LogCaptureFixture, reader: LocalClient
) -> None:
    def fetch() -> str:
        secret = reader.secret
        raise ValueError(f"the secret is {secret}")

    with pytest.raises(TokenRequestError) as caught:
        make_client(client_secret=fetch).token_sync()

    assert reader.secret not in everything(caught.value)
    assert reader.secret not in caplog.text


async def test_a_failed_call_shows_no_token(client: ClientCredentials) -> None:
    """The caller's own connection breaks, with our generator on the stack."""
    token = await client.token()

    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    transport = httpx.MockTransport(fail)
    with httpx.Client(transport=transport, auth=client) as http, pytest.raises(httpx.ConnectError) as caught:
        http.get("https://api.example")  # noqa: ASYNC212 - likewise
    async with httpx.AsyncClient(transport=transport, auth=client) as async_http:
        with pytest.raises(httpx.ConnectError) as caught_async:
            await async_http.get("https://api.example")

    assert token not in everything(caught.value)
    assert token not in everything(caught_async.value)


def test_the_log_shows_neither_secret_nor_token(
    make_client: Make, endpoint: Any, api: Any, clock: Any, reader: LocalClient, settle: Settle, caplog: Any
) -> None:
    """Also at the finest level, and that of httpx as well."""
    caplog.set_level(logging.DEBUG)
    client = make_client()
    tokens = []
    for _ in range(2):
        api.client(client).get("/orders")
        tokens.append(client.token_sync())
        clock.advance(0.76 * 3600)
        client.token_sync()
        settle()
    endpoint.say(500)
    clock.advance(0.76 * 3600)
    client.token_sync()
    settle()

    assert "bought an access token" in caplog.text
    assert "unavailable (HTTP status 500)" in caplog.text
    assert not any(word in caplog.text for word in [reader.secret, *tokens])


def test_repr_shows_neither_secret_nor_token(make_client: Make, reader: LocalClient) -> None:
    events: list[Any] = []
    client = make_client(on_event=events.append)
    token = client.token_sync()

    shown = "".join(map(repr, [client, client.status(), *events, *reachable(client)]))
    assert reader.secret not in shown
    assert token not in shown


def reachable(thing: Any, depth: int = 2) -> Iterator[Any]:
    """Our own objects below *thing*."""
    yield thing
    if depth:
        for value in getattr(thing, "__dict__", {}).values():
            if type(value).__module__.startswith("cognito_guard"):
                yield from reachable(value, depth - 1)


@pytest.mark.parametrize(
    "error",
    [
        TokenRequestError("invalid_client", 400),
        TokenRequestError("throttled", 429, 12.5),
        TokenRequestError("unreachable", None, 0.5, "ConnectError"),
        TokenRequestError("something_new", 400),
    ],
    ids=str,
)
def test_an_error_says_what_to_do_and_can_be_pickled_and_copied(error: TokenRequestError) -> None:
    """Through pickle and copy, as task queues send errors."""
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - made right here
        assert vars(twin) == vars(error)
        assert str(twin) == str(error)
    assert error.advice in str(error)
    assert error.advice.endswith(".")


@pytest.mark.parametrize(
    "code",
    [
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "invalid_scope",
        "invalid_request",
        "invalid_target",
        "unsupported_grant_type",
    ],
)
def test_each_oauth_error_has_its_own_advice(code: str) -> None:
    assert TokenRequestError(code).advice != TokenRequestError("something_new").advice
