"""State, lifespan and TestClient."""

import copy
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

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
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


def _by_request(scope: Scope) -> Scope:
    Request(scope).state.trace = "5"
    return scope


def _by_the_scope(scope: Scope) -> Scope:
    scope["state"]["trace"] = "5"
    return scope


def _by_an_assignment(scope: Scope) -> Scope:
    scope["state"] = scope.get("state", {})
    return _by_the_scope(scope)


def _by_update(scope: Scope) -> Scope:
    scope.update(state=scope.get("state", {}))
    return _by_the_scope(scope)


def _by_a_copy(scope: Scope) -> Scope:
    return _by_request({**scope})


class _Watching:
    """Keeps the scope of the last request, as it is afterwards."""

    def __init__(self, app: ASGIApp, *, shared: bool) -> None:
        self._app = app
        self._shared = shared
        self.scope: Scope = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        if self._shared:
            scope["state"] = {"pool": "connections"}
        await self._app(scope, receive, send)


@pytest.mark.parametrize("way", [_by_request, _by_the_scope, _by_an_assignment, _by_update, _by_a_copy])
@pytest.mark.parametrize("shared", [True, False])
async def test_state_that_is_made_inside_in_any_way_reaches_middleware_outside_of_two_passes(
    guard: CognitoGuard, call: Call, may_read: str, way: Callable[[Scope], Scope], shared: bool
) -> None:
    async def inside(scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("of the app", {})
        await routes(way(scope), receive, send)

    async def show(request: Request) -> Response:
        return PlainTextResponse(getattr(request.state, "pool", "none") + request.state.trace)

    routes = Starlette(routes=[Route("/", guard.require(READ)(show))])
    app = _Watching(
        CognitoGuardMiddleware(CognitoGuardMiddleware(inside, guard=guard), guard=guard),
        shared=shared,
    )

    answer = await call(app, "GET", "/", may_read)
    assert answer.text == ("connections5" if shared else "none5")
    assert app.scope["state"] == ({"pool": "connections", "trace": "5"} if shared else {"trace": "5"})
    assert "of the app" not in app.scope


@pytest.mark.parametrize("shared", [True, False])
async def test_parts_of_a_request_that_drop_its_state_do_not_share_another(
    guard: CognitoGuard, call: Call, may_read: str, shared: bool
) -> None:
    async def batch(request: Request) -> Response:
        found = []
        for tenant in ("a", "b"):
            # Not a dict of its members: this copy has the class of the scope.
            part = copy.copy(request.scope)
            del part["state"]
            state = Request(part).state
            found.append(getattr(state, "tenant", None) or getattr(state, "pool", None))
            state.tenant = tenant
        return JSONResponse(found)

    routes = Starlette(routes=[Route("/", guard.require(READ)(batch))])
    app = _Watching(CognitoGuardMiddleware(routes, guard=guard), shared=shared)

    answer = await call(app, "GET", "/", may_read)
    assert answer.json() == [None, None]
    assert app.scope["state"] == ({"pool": "connections"} if shared else {})


async def test_a_scope_that_lost_its_passes_between_two_guards_still_tells_the_route(
    guard: CognitoGuard, call: Call, may_read: str
) -> None:
    async def forgetful(scope: Scope, receive: Receive, send: Send) -> None:
        del scope["cognito_guard"]
        await CognitoGuardMiddleware(routes, guard=guard)(scope, receive, send)

    async def show(_request: Request) -> Response:
        return PlainTextResponse("shown")

    routes = Starlette(routes=[Route("/{number}", guard.require(READ)(show))])
    app = _Watching(CognitoGuardMiddleware(forgetful, guard=guard), shared=False)

    assert (await call(app, "GET", "/5", may_read)).text == "shown"
    assert app.scope["path_params"] == {"number": "5"}
    assert app.scope["route"] is routes.routes[0]


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
