"""The matrix finds each hole, and reports none that does not exist."""

import functools
import itertools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket as StarletteWebSocket

from cognito_guard import CognitoGuard, Principal
from cognito_guard._report.reporter import refusals_seen
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalClient, LocalPool
from cognito_guard.testing import assert_no_holes, deny_matrix
from tests.testing.matrix_apps import READ, WRITE, forbid, simple_app

pytestmark = pytest.mark.anyio

MakeGuard = Callable[..., CognitoGuard]


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
    assert "GET /plain with no token: 200 by the app, expected 401 by a guard" in str(caught.value)
    assert "GET /read with no token: 500 by the app, expected 401 by a guard" in str(caught.value)


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

    with pytest.raises(AssertionError, match=f"GET /read with a token without {READ}: 200 by the app, expected 403"):
        await assert_no_holes(app, pool.mint_user)


async def test_a_guard_that_refuses_everyone_is_caught(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard(fetch=lambda url, timeout: json.dumps({"keys": []}).encode())
    app = Starlette(routes=[Route("/", guard.authenticated(functools.partial(app_of_every_kind)))])
    guard.install(app)

    with pytest.raises(
        AssertionError, match="a tampered token: 503 keys_unavailable by a guard, expected 401 by a guard"
    ):
        await assert_no_holes(app, pool.mint_user)


async def test_a_route_on_which_everyone_is_refused_is_caught(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard()

    app = Starlette(routes=[Route("/", guard.authenticated(functools.partial(judge_more, guard)))])
    guard.install(app)

    with pytest.raises(AssertionError, match="that grants it: 403 scope by a guard, expected no refusal"):
        await assert_no_holes(app, pool.mint_user)


async def test_an_app_that_says_nothing_counts_as_broken(
    guard: CognitoGuard, pool: LocalPool, writer: LocalClient
) -> None:
    async def silent(scope: Any, receive: Any, send: Any) -> None:
        pass

    app = Starlette(routes=[Mount("/", app=silent)])

    calls = await deny_matrix(app, pool.mint_user)

    assert {call.status for call in calls} == {500}


# What the app itself answers


async def deny(request: Request) -> Response:
    return PlainTextResponse("no signature", 401, {"www-authenticate": "Bearer"})


async def close(websocket: StarletteWebSocket) -> None:
    await websocket.close()


async def test_a_refusal_by_the_app_itself_is_not_a_hole(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard()
    app = Starlette(
        routes=[
            Route("/order", guard.require(READ)(forbid)),
            Route("/signed", guard.authenticated(deny)),
            Route("/hook", guard.public(functools.partial(deny)), methods=["POST"]),
            WebSocketRoute("/feed", guard.require(READ)(close)),
            WebSocketRoute("/open", guard.public(functools.partial(close))),
        ]
    )
    guard.install(app)

    await assert_no_holes(app, pool.mint_user)

    calls = await deny_matrix(app, pool.mint_user)
    seen = {(call.route.path, call.token): (call.status, call.refused, call.reason) for call in calls}
    assert seen["/order", f"a token without {READ}"] == (403, 403, "scope")
    assert seen["/order", "a token that grants it"] == (403, None, None)
    assert seen["/signed", "no token"] == (401, 401, "missing_token")
    assert seen["/signed", "a token that grants it"] == (401, None, None)
    assert seen["/hook", "no token"] == (401, None, None)
    assert seen["/feed", "no token"] == (401, 401, "missing_token")
    assert seen["/feed", "a token that grants it"] == (403, None, None)
    assert seen["/open", "no token"] == (403, None, None)


@pytest.mark.parametrize(("handler", "status"), [(forbid, 403), (deny, 401)])
async def test_a_refusal_by_the_app_itself_does_not_replace_the_guards(
    guard: CognitoGuard, pool: LocalPool, writer: LocalClient, handler: Any, status: int
) -> None:
    app = Starlette(routes=[Route("/order", guard.require(READ)(handler))])
    app.add_middleware(Answering, response=PlainTextResponse("no", status))

    with pytest.raises(AssertionError) as caught:
        await assert_no_holes(app, pool.mint_user)
    assert f"GET /order with no token: {status} by the app, expected 401 by a guard" in str(caught.value)
    assert f"GET /order with a token without {READ}: {status} by the app, expected 403 by a guard" in str(caught.value)


class Answering:
    """Middleware that answers every request."""

    def __init__(self, app: ASGIApp, response: Response) -> None:
        self.response = response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.response(scope, receive, send)


async def test_refusals_that_the_app_shapes_are_still_refusals(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    def hide(request: Request, error: Exception) -> Response:
        return PlainTextResponse("not found", 404)

    guard = make_guard(on_error=hide)
    app = Starlette(routes=[Route("/order", guard.require(READ)(forbid))])
    guard.install(app)

    await assert_no_holes(app, pool.mint_user)

    calls = await deny_matrix(app, pool.mint_user, reach=False)
    assert [(call.status, call.refused) for call in calls] == [(404, 401), (404, 401), (404, 403)]
    assert str(calls[0]) == (
        "GET /order with no token: 401 missing_token by a guard, shaped as 404 by the app, expected 401 by a guard"
    )


async def test_refusals_seen_through_middleware_and_threads_of_the_app_are_refusals(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard()
    app = FastAPI(openapi_url=None)
    guard.install(app)

    @app.middleware("http")
    async def passing(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        return await call_next(request)

    @app.get("/read")
    @guard.require(READ)
    def read() -> str:
        return "reached"

    await assert_no_holes(app, pool.mint_user)


# What the app wants besides


class Wanting:
    """Middleware that answers 400 unless the scheme and a header are as told."""

    def __init__(self, app: ASGIApp, scheme: str, header: tuple[bytes, bytes]) -> None:
        self.app, self.scheme, self.header = app, scheme, header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["scheme"] == self.scheme and self.header in scope["headers"]:
            await self.app(scope, receive, send)
        else:
            await PlainTextResponse("no", 400)(scope, receive, send)


ITEM = {"item": "00000000-0000-0000-0000-000000000000"}


async def test_an_app_that_checks_the_host_is_called_by_its_name(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    app = simple_app(make_guard(), Middleware(TrustedHostMiddleware, allowed_hosts=["api.example"]))

    with pytest.raises(AssertionError, match="No call reached a guard: all were answered with 400") as caught:
        await assert_no_holes(app, pool.mint_user, parameters=ITEM)
    assert "host=" in str(caught.value)

    await assert_no_holes(app, pool.mint_user, parameters=ITEM, host="api.example")


async def test_an_app_may_want_a_scheme_and_headers(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    app = simple_app(make_guard(), Middleware(Wanting, scheme="https", header=(b"x-api-key", b"secret")))
    headers = {"X-API-Key": "secret"}

    with pytest.raises(AssertionError, match="No call reached a guard"):
        await assert_no_holes(app, pool.mint_user, parameters=ITEM, headers=headers)

    await assert_no_holes(app, pool.mint_user, parameters=ITEM, headers=headers, scheme="https")


async def test_websockets_have_the_scheme_that_belongs_to_it(guard: CognitoGuard, pool: LocalPool) -> None:
    schemes = []

    async def note(websocket: StarletteWebSocket) -> None:
        schemes.append((websocket.url.scheme, websocket.scope["server"][1]))

    app = Starlette(routes=[WebSocketRoute("/", note)])

    await deny_matrix(app, lambda name, *scopes, groups: "a-token")
    await deny_matrix(app, lambda name, *scopes, groups: "a-token", scheme="https")

    assert list(dict.fromkeys(schemes)) == [("ws", 80), ("wss", 443)]


@pytest.mark.parametrize("name", ["Authorization", "host"])
async def test_headers_that_the_matrix_sends_itself_are_refused(
    guard: CognitoGuard, pool: LocalPool, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"headers cannot contain {name}"):
        await deny_matrix(simple_app(guard), pool.mint_user, headers={name: "x"})


async def test_a_parameter_that_does_not_fit_is_pointed_out(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    app = simple_app(make_guard())

    with pytest.raises(AssertionError, match="404 may mean that a parameter in the path needs another value"):
        await assert_no_holes(app, pool.mint_user)

    await assert_no_holes(app, pool.mint_user, parameters=ITEM)


async def test_hints_are_given_only_where_they_fit(make_guard: MakeGuard, pool: LocalPool, writer: LocalClient) -> None:
    async def missing(request: Request) -> Response:
        return PlainTextResponse("no such order", 404)

    guard = make_guard()
    app = Starlette(routes=[Route("/orders/{item}", guard.require(READ)(missing))])
    guard.install(app)

    # All calls are answered with 401, but by the guard.
    with pytest.raises(AssertionError) as caught:
        await assert_no_holes(app, lambda name, *scopes, groups: "no.good.token")
    assert "No call reached a guard" not in str(caught.value)

    # There is a hole, but it is not what the app does not find.
    app.routes.append(Route("/shut", guard.authenticated(functools.partial(judge_more, guard))))
    with pytest.raises(AssertionError) as caught:
        await assert_no_holes(app, pool.mint_user)
    assert "404" not in str(caught.value)

    # What is not found has no parameter in its path.
    with pytest.raises(AssertionError, match="404 by the app") as caught:
        await assert_no_holes(Starlette(routes=[Route("/plain", missing), Route("/deny", deny)]), pool.mint_user)
    assert "parameters=" not in str(caught.value)


async def judge_more(guard: CognitoGuard, request: Request) -> Response:
    await guard.require("orders/order.delete")(conn=request)
    raise AssertionError


async def test_nothing_is_noted_of_refusals_after_the_matrix(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    await deny_matrix(simple_app(make_guard()), pool.mint_user)

    assert refusals_seen.get() is None
