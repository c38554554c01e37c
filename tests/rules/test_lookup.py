"""Where a request without a good token is looked up, before anything of the app runs for it."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from cognito_guard._rules.lookup import route_path, routes_of
from tests.requests.apps import READ, reached, websocket_messages

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


class Watching:
    """Middleware that keeps the paths it sees."""

    seen: list[str]

    def __init__(self, app: ASGIApp, seen: list[str]) -> None:
        self.inner = app
        self.seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope.get("path", ""))
        await self.inner(scope, receive, send)


def inner(path: str, endpoint: Any) -> Starlette:
    return Starlette(routes=[Route(path, endpoint)])


@pytest.mark.parametrize(
    ("path", "root_path", "left"),
    [
        ("/x", "", "/x"),
        ("/api/x", "/api", "/x"),
        ("/api/", "/api", "/"),
        ("/api", "/api", ""),
        ("/apix", "/api", "/apix"),
        ("/x", "/api", "/x"),
    ],
)
def test_the_root_path_is_no_part_of_a_path(path: str, root_path: str, left: str) -> None:
    assert route_path({"path": path, "root_path": root_path}) == left


def test_a_server_need_not_name_a_root_path() -> None:
    assert route_path({"path": "/x"}) == "/x"


def test_routes_are_found_through_middleware_of_frameworks_alone() -> None:
    app = Starlette(routes=[Route("/x", reached)])

    for known in (GZipMiddleware(app), AsyncExitStackMiddleware(app)):
        assert routes_of(known) == app.routes
    assert routes_of(Watching(app, [])) is None


async def test_a_public_route_of_a_host_is_public(guard: CognitoGuard, call: Call) -> None:
    shop = Starlette(routes=[Route("/open", guard.public(functools.partial(reached))), Route("/orders", reached)])
    app = Starlette(routes=[Host("shop.example", app=shop)])
    guard.install(app)

    for host, path, status in (
        ("shop.example", "/open", 200),
        ("shop.example", "/orders", 401),
        ("api.example", "/open", 401),
    ):
        assert (await call(app, "GET", path, headers={"host": host})).status_code == status


@pytest.mark.parametrize(
    ("route", "path"),
    [
        pytest.param(
            lambda guard, read, public: Mount("/in", app=guard.public(inner("/x", read))), "/in/x", id="handler"
        ),
        pytest.param(
            lambda guard, read, public: Mount("/in", app=guard.public(inner("/x/", read))), "/in/x", id="redirect"
        ),
        pytest.param(
            lambda guard, read, public: Mount("/in", app=guard.require(READ).wrap(inner("/x", public))),
            "/in/x",
            id="app",
        ),
        pytest.param(
            lambda guard, read, public: Mount("/in", app=GZipMiddleware(guard.require(READ).wrap(inner("/x", public)))),
            "/in/x",
            id="app-in-middleware",
        ),
    ],
)
async def test_no_middleware_sees_a_stranger_on_a_route_with_a_requirement(
    guard: CognitoGuard, call: Call, route: Any, path: str
) -> None:
    read, public = guard.require(READ)(functools.partial(reached)), guard.public(functools.partial(reached))
    seen: list[str] = []
    app = Starlette(
        routes=[route(guard, read, public), Route("/open", public)], middleware=[Middleware(Watching, seen=seen)]
    )
    guard.install(app, outermost=True)

    assert (await call(app, "GET", path)).status_code == 401
    assert seen == []
    assert (await call(app, "GET", "/open")).status_code == 200
    assert seen == ["/open"]


async def test_websockets_are_not_redirected(guard: CognitoGuard) -> None:
    """Starlette redirects HTTP alone, so nothing public awaits a websocket under the other spelling."""

    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app = Starlette(routes=[WebSocketRoute("/feed", guard.public(feed))])
    guard.install(app)

    start, *_ = await websocket_messages(app, "/feed/", denial=True)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    start, *_ = await websocket_messages(app, "/feed", denial=True)
    assert start["type"] == "websocket.accept"


async def test_only_slashes_are_taken_from_the_end_of_a_path(guard: CognitoGuard, call: Call) -> None:
    app = Starlette(routes=[Route("/boxX", guard.public(functools.partial(reached)))])
    guard.install(app)

    for path in ("/boxX/", "/boxX//"):
        answer = await call(app, "GET", path)
        assert (answer.status_code, answer.headers["location"]) == (307, "http://api.example/boxX")


@pytest.mark.parametrize(("public", "status"), [("POST", 405), ("PUT", 401)])
async def test_the_first_route_of_a_path_tells_strangers_about_other_methods(
    guard: CognitoGuard, call: Call, public: str, status: int
) -> None:
    app = Starlette(
        routes=[
            Route("/x", guard.public(functools.partial(reached)) if method == public else reached, methods=[method])
            for method in ("POST", "PUT")
        ]
    )
    guard.install(app)

    assert (await call(app, "DELETE", "/x")).status_code == status


async def test_a_route_as_an_app_redirects_nobody(guard: CognitoGuard, call: Call) -> None:
    app = CognitoGuardMiddleware(Route("/x", guard.public(functools.partial(reached))), guard=guard)

    assert (await call(app, "GET", "/x")).status_code == 200
    assert (await call(app, "GET", "/x/")).status_code == 401
