"""Where a stranger has arrived: at a public handler, at a public app with all that is below, or not yet."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from tests.requests.apps import HandedOn, Own, raw_app
from tests.requests.recording import Recorder

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]


async def test_what_middleware_puts_into_the_scope_of_a_stranger_is_there(guard: CognitoGuard, call: Call) -> None:
    class Noting(BaseHTTPMiddleware):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["note"] = "noted"
            await self.app(scope, receive, send)

    async def read(request: Request) -> Response:
        return PlainTextResponse(request.scope["note"])

    app = Starlette(routes=[Route("/", guard.public(read))], middleware=[Middleware(Noting)])
    guard.install(app, outermost=True)

    assert (await call(app, "GET", "/")).text == "noted"


def below(record: Recorder) -> Starlette:
    return Starlette(routes=[Route("/x", record.handler("x"))])


def function(app: ASGIApp) -> Any:
    async def passing(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)

    return passing


@pytest.mark.parametrize(
    "route",
    [
        pytest.param(lambda public, app: Mount("/in", app=public(app)), id="app"),
        pytest.param(lambda public, app: Mount("/in", app=public(function(app))), id="function"),
        pytest.param(
            lambda public, app: Mount("/in", app=public(app), middleware=[Middleware(GZipMiddleware)]), id="middleware"
        ),
        pytest.param(
            lambda public, app: Route("/in/{path}", public(Starlette(routes=[Mount("/in", app=app)]))), id="endpoint"
        ),
    ],
)
async def test_everything_is_open_below_a_public_app(
    guard: CognitoGuard, call: Call, record: Recorder, route: Callable[..., Any]
) -> None:
    app = Starlette(routes=[route(guard.public, below(record))])
    guard.install(app)

    assert (await call(app, "GET", "/in/x")).text == "x"
    assert (await call(app, "GET", "/in/none")).status_code == 404


async def test_a_public_handler_below_a_public_app_closes_nothing(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    async def hand_on(_: Request) -> Response:
        return HandedOn(Router(routes=[Route("/x", record.handler("x"))]))

    sub = Starlette(routes=[Route("/x", guard.public(hand_on))])
    app = Starlette(routes=[Mount("/in", app=guard.public(sub))])
    guard.install(app)

    assert (await call(app, "GET", "/in/x")).text == "x"


async def test_a_public_class_opens_nothing_that_it_hands_on_to(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    @guard.public
    class HandOn(HTTPEndpoint):
        async def get(self, _: Request) -> Response:
            return HandedOn(Router(routes=[Route("/x", record.handler("x"))]))

    app = Starlette(routes=[Route("/x", HandOn)])
    guard.install(app)

    assert (await call(app, "GET", "/x")).status_code == 401
    assert record.take() == []


@pytest.mark.parametrize("hidden", [True, False])
async def test_a_public_path_is_open_to_its_end_through_mounts(
    guard: CognitoGuard, call: Call, record: Recorder, hidden: bool
) -> None:
    """Also where middleware hides the routes. A path that leads nowhere is then the app's to answer."""
    paths = {("GET", "/raw/x"), ("GET", "/in/x"), ("GET", "/in/none")}
    routes = Starlette(routes=[Mount("/raw", app=raw_app), Mount("/in", app=below(record))])
    app = CognitoGuardMiddleware(Own(routes) if hidden else routes, guard=guard, public_paths=paths)

    for path, status in (("/raw/x", 200), ("/in/x", 200), ("/in/none", 404 if hidden else 401), ("/raw/y", 401)):
        assert (path, (await call(app, "GET", path)).status_code) == (path, status)


async def test_a_stranger_of_two_guards_has_arrived_when_both_say_so(
    make_guard: MakeGuard, call: Call, record: Recorder
) -> None:
    outer, inner = make_guard(), make_guard()

    class Elsewhere(BaseHTTPMiddleware):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "path": "/sub/in/secret"}, receive, send)

    deep = Starlette(
        routes=[Route("/open", inner.public(record.handler("open"))), Route("/secret", record.handler("secret"))]
    )
    sub = Starlette(routes=[Mount("/in", app=Elsewhere(deep))])
    inner.install(sub)
    app = Starlette(routes=[Mount("/sub", app=outer.public(sub))])
    outer.install(app)

    assert (await call(app, "GET", "/sub/in/open")).status_code == 401
    assert record.take() == []
