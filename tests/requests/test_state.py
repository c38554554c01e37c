"""State, lifespan and TestClient."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard
from tests.requests.apps import READ

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("entered", [True, False])
def test_the_test_client_works_with_and_without_lifespan(
    guard: CognitoGuard, fetch: Any, may_read: str, framework: Any, backend: Any, entered: bool
) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        app.state.started = True
        yield {"pool": "connections"}

    async def state(request: Request) -> Response:
        return JSONResponse([getattr(request.state, "pool", None), getattr(request.app.state, "started", None)])

    app = framework(routes=[Route("/state", guard.require(READ)(state))], lifespan=lifespan)
    guard.install(app)
    headers = {"authorization": f"Bearer {may_read}"}
    client = TestClient(app, backend=backend)

    if entered:
        with client:
            assert fetch.calls == 1
            assert client.get("/state", headers=headers).json() == ["connections", True]
            assert client.get("/state").status_code == 401
    else:
        assert client.get("/state", headers=headers).json() == [None, None]
        assert client.get("/state").status_code == 401
    assert fetch.calls == 1


async def test_state_that_is_set_on_the_way_reaches_the_handler(guard: CognitoGuard, call: Call, may_read: str) -> None:
    class Tracing:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["trace"] = "5"
            await self.app(scope, receive, send)

    async def trace(request: Request) -> Response:
        return PlainTextResponse(request.state.trace + request.app.state.name)

    app = Starlette(routes=[Route("/", trace)])
    app.state.name = "app"
    guard.install(app)
    app.add_middleware(Tracing)

    assert (await call(app, "GET", "/", may_read)).text == "5app"


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_state_that_a_handler_sets_reaches_middleware_outside_of_the_guard(
    guard: CognitoGuard, call: Call, may_read: str, framework: Any
) -> None:
    class Tracing(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            response.headers["trace"] = getattr(request.state, "trace", "none")
            return response

    async def trace(request: Request) -> Response:
        request.state.trace = "5"
        return Response()

    app = framework(routes=[Route("/", guard.require(READ)(trace))])
    guard.install(app)
    app.add_middleware(Tracing)

    assert (await call(app, "GET", "/", may_read)).headers["trace"] == "5"
    assert (await call(app, "GET", "/")).headers["trace"] == "none"


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_a_change_of_request_auth_does_not_reach_another_caller(
    guard: CognitoGuard, call: Call, may_read: str, framework: Any
) -> None:
    async def leave(request: Request) -> Response:
        request.auth.scopes.append("orders/order.write")
        with pytest.raises(AttributeError, match=r"request\.state"):
            request.auth.note = "left"
        return JSONResponse(request.auth.scopes)

    routes = [Route("/leave", guard.require(READ)(leave)), Route("/public", guard.public(leave))]
    app = framework(routes=routes)
    guard.install(app)

    callers = [await call(app, "GET", "/leave", may_read) for _ in range(2)]
    strangers = [await call(app, "GET", "/public") for _ in range(2)]

    assert [answer.json() for answer in callers] == [[READ], [READ]]
    assert [answer.json() for answer in strangers] == [[], []]
