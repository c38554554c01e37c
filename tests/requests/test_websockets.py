"""Websockets are denied, closed or let in."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from tests.requests.apps import WRITE, websocket_messages

pytestmark = pytest.mark.anyio

MakeGuard = Callable[..., CognitoGuard]


def websocket_app(guard: CognitoGuard, framework: Any) -> Any:
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app = framework()
    app.router.routes += [
        WebSocketRoute("/feed", feed),
        WebSocketRoute("/refused", guard.require(WRITE)(feed)),
        WebSocketRoute("/public", guard.public(functools.partial(feed))),
        WebSocketRoute("/path", feed),
    ]
    guard.install(app, public_paths={("WEBSOCKET", "/path")})
    return app


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_a_websocket_is_denied_with_a_real_status(guard: CognitoGuard, token: str, framework: Any) -> None:
    app = websocket_app(guard, framework)

    start, body = await websocket_messages(app, "/feed", denial=True)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    assert b"missing_token" in body["body"]

    start, _ = await websocket_messages(app, "/refused", token, denial=True)
    assert start["status"] == 403
    assert WRITE.encode() in dict(start["headers"])[b"www-authenticate"]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_a_websocket_is_closed_where_denials_are_not_offered(
    make_guard: MakeGuard, fetch: Any, token: str, framework: Any
) -> None:
    """Starlette itself would send the denial all the same."""
    app = websocket_app(make_guard(), framework)
    close = {"type": "websocket.close"}

    assert await websocket_messages(app, "/feed") == [close | {"code": 3000, "reason": "missing_token"}]
    assert await websocket_messages(app, "/feed", "x") == [close | {"code": 3000, "reason": "malformed"}]
    assert await websocket_messages(app, "/refused", token) == [close | {"code": 3003, "reason": "scope"}]

    fetch.fail(OSError())
    app = websocket_app(make_guard(), framework)
    assert await websocket_messages(app, "/feed", token) == [close | {"code": 1013, "reason": "keys_unavailable"}]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_a_websocket_is_let_in(guard: CognitoGuard, token: str, framework: Any) -> None:
    app = websocket_app(guard, framework)

    for path, sent in (("/feed", token), ("/public", None), ("/path", None), ("/public", "bad")):
        assert (await websocket_messages(app, path, sent))[0]["type"] == "websocket.accept"


@pytest.mark.parametrize("denial", [True, False])
async def test_a_handler_of_the_app_shapes_the_denial_of_a_websocket(
    guard: CognitoGuard, token: str, denial: bool
) -> None:
    async def shape(conn: Any, error: HTTPException) -> Response:
        return PlainTextResponse("shaped", error.status_code, error.headers)

    app = websocket_app(guard, Starlette)
    app.add_exception_handler(HTTPException, shape)

    sent = await websocket_messages(app, "/refused", token, denial=denial)
    if denial:
        assert (sent[0]["status"], sent[1]["body"]) == (403, b"shaped")
    else:
        assert sent == [{"type": "websocket.close", "code": 3003, "reason": "scope"}]


async def test_a_wrapped_app_judges_websockets_where_no_router_does(
    guard: CognitoGuard, may_read: str, may_write: str
) -> None:
    async def feed(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    app = CognitoGuardMiddleware(guard.require(WRITE).wrap(feed), guard=guard)

    assert [each["type"] for each in await websocket_messages(app, "/", may_write)] == ["websocket.accept"]
    (close,) = await websocket_messages(app, "/", may_read)
    assert (close["type"], close["code"]) == ("websocket.close", 3003)


@pytest.mark.parametrize("method", ["on_connect", "on_receive", "on_disconnect"])
async def test_a_requirement_of_one_method_of_a_websocket_is_judged_before_it_is_accepted(
    guard: CognitoGuard, may_read: str, may_write: str, method: str
) -> None:
    guarded = guard.require(WRITE)(getattr(WebSocketEndpoint, method))
    feed = type("Feed", (WebSocketEndpoint,), {"encoding": "text", method: guarded})
    app = Starlette(routes=[WebSocketRoute("/feed", feed)])
    guard.install(app)

    assert (await websocket_messages(app, "/feed", may_write))[0]["type"] == "websocket.accept"
    (close,) = await websocket_messages(app, "/feed", may_read)
    assert (close["type"], close["code"]) == ("websocket.close", 3003)
