"""Handlers and apps that the tests of requests share."""

import functools
from typing import Any

import fastapi.routing
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard

needs_frontends = pytest.mark.skipif(not hasattr(FastAPI, "frontend"), reason="FastAPI has frontend() from 0.138 on")
needs_included_mounts = pytest.mark.skipif(
    not hasattr(fastapi.routing, "iter_route_contexts"), reason="FastAPI includes the mounts of a router from 0.137 on"
)

READ, WRITE = "orders/order.read", "orders/order.write"


async def reached(request: Request) -> Response:
    return PlainTextResponse("reached")


async def no_body() -> Any:
    raise AssertionError


async def raw_app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("reached")(scope, receive, send)


class HandedOn(Response):
    """Lets another app answer the request that is being served."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Own:
    """Middleware of the app's own, which hides what is behind it."""

    def __init__(self, app: ASGIApp) -> None:
        self.inner = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inner(scope, receive, send)


def guarded_app(guard: CognitoGuard, **options: Any) -> Starlette:
    app = Starlette(
        routes=[
            Route("/orders", reached),
            Route("/refused", guard.require(WRITE)(functools.partial(reached))),
            Route("/health", guard.public(functools.partial(reached))),
        ]
    )
    guard.install(app, **options)
    return app


def raw_app_class() -> Any:
    class RawApp:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await raw_app(scope, receive, send)

    return RawApp()


def guard_client(token: str) -> str:
    import jwt  # noqa: PLC0415

    client_id: str = jwt.decode(token, options={"verify_signature": False})["client_id"]
    return client_id


async def inside(request: Request) -> Response:
    return PlainTextResponse("inside" * 200)


async def websocket_messages(app: ASGIApp, path: str, token: str | None = None, *, denial: bool = False) -> list[Any]:
    """Return what *app* sends to a client that connects and leaves."""
    sent: list[Any] = []
    incoming = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    if token is not None:
        scope["headers"] = [(b"authorization", b"Bearer " + token.encode())]
    if denial:
        scope["extensions"] = {"websocket.http.response": {}}
    await app(scope, receive, send)
    return sent
