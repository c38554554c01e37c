"""The matrix finds no hole where there is none, and each that there is."""

import functools
import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket as StarletteWebSocket

from cognito_guard import CognitoGuard, Principal
from cognito_guard.local import LocalClient, LocalPool
from cognito_guard.testing._deny_matrix import assert_no_holes, deny_matrix

pytestmark = pytest.mark.anyio

MakeGuard = Callable[..., CognitoGuard]

READ, WRITE = "orders/order.read", "orders/order.write"


def app_of_every_kind(guard: CognitoGuard, other: CognitoGuard, files: Path) -> FastAPI:
    """An app with a route of every kind there is, and a sub-app with a guard of its own."""
    app = FastAPI()

    @app.get("/decorated/{item}")
    @guard.require(READ, WRITE)
    async def decorated(item: int) -> str:
        return "reached"

    @app.post("/dependency", dependencies=[Depends(guard.require_any(READ, WRITE))])
    def dependency(body: dict[str, str]) -> str:
        raise AssertionError

    @app.get("/groups")
    async def groups(caller: Annotated[Principal, Depends(guard.require_groups("admins"))]) -> str:
        return "reached"

    @app.get("/broken")
    @guard.authenticated
    async def broken() -> str:
        raise LookupError

    @app.get("/stream")
    @guard.require(READ)
    async def stream() -> Response:
        return StreamingResponse(itertools.repeat("more"))

    @app.get("/health")
    @guard.public
    async def health() -> str:
        return "reached"

    @app.websocket("/feed")
    async def feed(websocket: WebSocket, caller: Annotated[Principal, Depends(guard.require(READ))]) -> None:
        await websocket.accept()

    @app.websocket("/decorated-feed")
    @guard.require(WRITE)
    async def decorated_feed(websocket: WebSocket) -> None:
        await websocket.accept()

    router = APIRouter(prefix="/router", dependencies=[Depends(guard.require(READ))])

    @router.get("/item")
    @guard.require(WRITE)
    async def in_router() -> str:
        return "reached"

    outer = APIRouter(prefix="/outer")
    outer.include_router(router)
    app.include_router(router)
    app.include_router(outer)

    class Orders(HTTPEndpoint):
        @guard.require(READ)
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("reached")

        @guard.require(WRITE)
        def post(self, request: Request) -> Response:
            return PlainTextResponse("reached")

    @guard.require(READ)
    class Feed(WebSocketEndpoint):
        async def on_connect(self, websocket: StarletteWebSocket) -> None:
            await websocket.accept()

    async def plain(request: Request) -> Response:
        return PlainTextResponse("reached")

    inner = Starlette(routes=[Route("/item/{id:int}", guard.require(READ)(plain))])
    own = Starlette(routes=[Route("/both", other.require(READ)(guard.require(WRITE)(plain)))])
    other.install(own)
    app.router.routes += [
        Route("/class", Orders),
        WebSocketRoute("/class-feed", Feed),
        Route("/partial", guard.require(READ)(functools.partial(plain))),
        Mount("/mount", routes=[Route("/x", guard.require(WRITE)(plain))]),
        Mount("/wrapped", app=CORSMiddleware(inner)),
        Mount("/own", app=own),
        Mount("/files", app=StaticFiles(directory=files)),
        Host("{tenant}.example", app=inner),
    ]
    guard.install(app, public_docs=True)
    return app


async def test_an_app_with_every_kind_of_route_has_no_hole(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient, tmp_path: Path
) -> None:
    app = app_of_every_kind(make_guard(), make_guard(), tmp_path)

    await assert_no_holes(app, pool.mint_user, parameters={"tenant": "shop"})

    calls = await deny_matrix(app, pool.mint_user)
    seen = {(call.route.method, call.route.path, call.token): call.status for call in calls}
    assert seen["GET", "/decorated/{item}", "no token"] == 401
    assert seen["GET", "/decorated/{item}", "a tampered token"] == 401
    assert seen["GET", "/decorated/{item}", f"a token without {READ}"] == 403
    assert seen["GET", "/decorated/{item}", f"a token without {WRITE}"] == 403
    assert seen["GET", "/decorated/{item}", "a token that grants it"] == 200
    assert seen["POST", "/dependency", f"a token without {READ} and {WRITE}"] == 403
    assert seen["POST", "/dependency", "a token that grants it"] == 422
    assert seen["GET", "/groups", "a token without admins"] == 403
    assert seen["GET", "/groups", "a token that grants it"] == 200
    assert seen["GET", "/broken", "a token that grants it"] == 500
    assert seen["GET", "/stream", "a token that grants it"] == 200
    assert seen["GET", "/health", "no token"] == 200
    assert seen["WEBSOCKET", "/feed", "no token"] == 401
    assert seen["WEBSOCKET", "/feed", "a token that grants it"] == 101
    assert seen["GET", "/own/both", f"a token without {WRITE}"] == 403
    assert seen["*", "/files", "no token"] == 401
    assert len(calls) > 70


async def test_handlers_need_not_be_reached(make_guard: MakeGuard, pool: LocalPool, writer: LocalClient) -> None:
    async def never(request: Request) -> Response:
        raise AssertionError

    guard = make_guard()
    app = Starlette(routes=[Route("/", guard.require(READ)(never)), Route("/open", guard.public(never))])
    guard.install(app)

    tokens = [call.token for call in await deny_matrix(app, pool.mint_user, reach=False)]

    assert tokens == ["no token", "a tampered token", f"a token without {READ}"]


async def test_a_guard_that_is_not_installed_is_caught(
    guard: CognitoGuard, pool: LocalPool, writer: LocalClient
) -> None:
    async def handler(request: Request) -> Response:
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/plain", handler), Route("/read", guard.require(READ)(handler))])

    with pytest.raises(AssertionError) as caught:
        await assert_no_holes(app, pool.mint_user)
    assert "GET /plain with no token: 200, expected 401" in str(caught.value)
    assert "GET /read with no token: 500, expected 401" in str(caught.value)


async def test_a_requirement_that_is_switched_off_is_caught(
    guard: CognitoGuard, pool: LocalPool, writer: LocalClient
) -> None:
    app = FastAPI(openapi_url=None)
    guard.install(app)

    @app.get("/read")
    @guard.require(READ)
    async def read() -> str:
        return "reached"

    app.dependency_overrides[guard.require(READ)] = lambda: None

    with pytest.raises(AssertionError, match=f"GET /read with a token without {READ}: 200, expected 403"):
        await assert_no_holes(app, pool.mint_user)


async def test_a_guard_that_refuses_everybody_is_caught(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard(fetch=lambda url, timeout: json.dumps({"keys": []}).encode())
    app = Starlette(routes=[Route("/", guard.authenticated(functools.partial(app_of_every_kind)))])
    guard.install(app)

    with pytest.raises(AssertionError, match="a tampered token: 503, expected 401"):
        await assert_no_holes(app, pool.mint_user)


async def test_a_route_that_nobody_gets_into_is_caught(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard()

    async def shut(request: Request) -> Response:
        return PlainTextResponse("no", 403)

    app = Starlette(routes=[Route("/", guard.authenticated(shut))])
    guard.install(app)

    with pytest.raises(AssertionError, match="GET / with a token that grants it: 403, expected not to be refused"):
        await assert_no_holes(app, pool.mint_user)


async def test_an_app_that_says_nothing_counts_as_broken(
    guard: CognitoGuard, pool: LocalPool, writer: LocalClient
) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    app = Starlette(routes=[Mount("/", app=silent)])

    calls = await deny_matrix(app, pool.mint_user)

    assert {call.status for call in calls} == {500}
