"""A request that the guard treats as public reaches only a public route, whatever is in between."""

import functools
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from cognito_guard.local import LocalClient, LocalPool
from tests.requests.apps import needs_frontends

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]

PREFLIGHT = {"origin": "https://shop.example", "access-control-request-method": "GET"}


@pytest.fixture
def token(pool: LocalPool, reader: LocalClient) -> str:
    return pool.mint(client_id=reader.client_id)


async def inside(request: Request) -> Response:
    return PlainTextResponse("inside")


async def healthy(request: Request) -> Response:
    return PlainTextResponse("healthy")


async def raw_app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("inside")(scope, receive, send)


def public(guard: CognitoGuard) -> Callable[..., Any]:
    return guard.public(functools.partial(healthy))


def fastapi_below(root_path: str) -> FastAPI:
    with warnings.catch_warnings():
        # FastAPI would rather have it from the server.
        warnings.simplefilter("ignore")
        return FastAPI(root_path=root_path)


# -- a guard further in


@pytest.mark.parametrize("form", ["middleware", "wrapped"])
async def test_a_mount_with_a_guard_is_not_opened_by_the_routes_around_it(
    guard: CognitoGuard, call: Call, token: str, form: str
) -> None:
    """The scope still names the app outside as its app, whose routes are not those ahead."""
    routes = [Route("/health", inside), Route("/ping", public(guard))]
    if form == "middleware":
        admin = Mount("/admin", routes=routes, middleware=[Middleware(CognitoGuardMiddleware, guard=guard)])
    else:
        admin = Mount("/admin", app=CognitoGuardMiddleware(Router(routes=routes), guard=guard))
    app = Starlette(routes=[Route("/health", public(guard)), Route("/ping", inside), admin])

    assert (await call(app, "GET", "/health")).text == "healthy"
    assert (await call(app, "GET", "/admin/health", token)).text == "inside"
    assert (await call(app, "GET", "/admin/health")).status_code == 401
    assert (await call(app, "GET", "/admin/ping")).text == "healthy"


async def test_a_public_handler_does_not_open_what_it_passes_requests_on_to(
    guard: CognitoGuard, call: Call, token: str
) -> None:
    """What was found public is this path; a batch endpoint or a rewrite asks for another."""

    @guard.public
    async def batch(request: Request) -> Response:
        statuses = []

        async def send(message: Any) -> None:
            statuses.append(message.get("status"))

        for path in ("/orders", "/health"):
            await request.app({**request.scope, "path": path}, request.receive, send)
        return PlainTextResponse(f"{statuses[0]} {statuses[2]}")

    app = Starlette(routes=[Route("/batch", batch), Route("/orders", inside), Route("/health", public(guard))])
    guard.install(app)

    assert (await call(app, "GET", "/batch", token)).text == "200 200"
    assert (await call(app, "GET", "/batch")).text == "401 200"


async def test_a_guard_that_is_met_again_under_another_path_looks_again(guard: CognitoGuard, call: Call) -> None:
    class Rewriting:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "path": "/sub/orders"}, receive, send)

    sub = Starlette(
        routes=[Route("/health", public(guard)), Route("/orders", inside)], middleware=[Middleware(Rewriting)]
    )
    guard.install(sub)
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app)

    assert (await call(app, "GET", "/sub/health")).status_code == 401


async def test_a_middleware_of_a_sub_app_may_change_the_method(guard: CognitoGuard, call: Call) -> None:
    class Overriding:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope, "method": "DELETE"}, receive, send)

    sub = Starlette(
        routes=[Route("/x", public(guard)), Route("/x", inside, methods=["DELETE"])],
        middleware=[Middleware(Overriding)],
    )
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app)

    assert (await call(app, "GET", "/sub/x")).status_code == 401


# -- a root path of the app's own


async def test_a_root_path_that_the_app_sets_is_known_before_it_is_set(
    guard: CognitoGuard, call: Call, token: str
) -> None:
    """FastAPI puts its root_path into the scope when it is called, which is after a guard around it has looked."""
    app = fastapi_below("/api")
    app.router.routes += [Route("/orders", inside), Route("/{rest:path}", public(guard))]
    guarded = CognitoGuardMiddleware(app, guard=guard)

    for path in ("/orders", "/api/orders"):
        assert (await call(guarded, "GET", path, token)).text == "inside"
        assert (await call(guarded, "GET", path)).status_code == 401
    assert (await call(guarded, "GET", "/api/index.html")).text == "healthy"


async def test_a_mounted_app_with_a_root_path_of_its_own_is_looked_at_as_it_will_look(
    guard: CognitoGuard, call: Call, token: str
) -> None:
    """Its root_path replaces that of the mount, so that it sees the whole path."""
    sub = fastapi_below("/v1")
    sub.router.routes += [Route("/health", public(guard)), Route("/{rest:path}", inside)]
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app)

    assert (await call(app, "GET", "/sub/health", token)).text == "inside"
    assert (await call(app, "GET", "/sub/health")).status_code == 401


# -- routes that decide for themselves


def route_class_of(version: str) -> type[APIRoute]:
    class VersionedRoute(APIRoute):
        def matches(self, scope: Scope) -> tuple[Match, Scope]:
            if dict(scope["headers"]).get(b"x-version", b"1").decode() != version:
                return Match.NONE, {}
            return super().matches(scope)

    return VersionedRoute


@pytest.mark.parametrize("how", ["included", "direct"])
async def test_a_route_class_with_its_own_matching_is_asked(
    guard: CognitoGuard, call: Call, token: str, how: str
) -> None:
    app = FastAPI()
    for version, handler in (("1", public(guard)), ("2", inside)):
        router = APIRouter(route_class=route_class_of(version))
        router.add_api_route("/orders", handler, response_model=None)
        if how == "included":
            app.include_router(router)
        else:
            app.router.routes += router.routes
    guard.install(app)

    assert (await call(app, "GET", "/orders", token, headers={"x-version": "2"})).text == "inside"
    assert (await call(app, "GET", "/orders")).text == "healthy"
    assert (await call(app, "GET", "/orders", headers={"x-version": "2"})).status_code == 401


async def test_a_subclass_of_a_public_page_is_not_public(guard: CognitoGuard, call: Call) -> None:
    @guard.public
    class Page:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await raw_app(scope, receive, send)

    class AdminPage(Page):
        pass

    app = Starlette(routes=[Route("/page", Page()), Route("/admin", AdminPage()), Mount("/mounted", app=AdminPage())])
    guard.install(app)

    assert (await call(app, "GET", "/page")).text == "inside"
    assert (await call(app, "GET", "/admin")).status_code == 401
    assert (await call(app, "GET", "/mounted/")).status_code == 401


async def test_a_method_that_overrides_a_public_one_is_not_public(guard: CognitoGuard, call: Call) -> None:
    class Base(HTTPEndpoint):
        @guard.public
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("healthy")

    class Heir(Base):
        async def get(self, request: Request) -> Response:
            raise AssertionError

    app = Starlette(routes=[Route("/base", Base), Route("/heir", Heir)])
    guard.install(app)

    assert (await call(app, "GET", "/base")).text == "healthy"
    assert (await call(app, "GET", "/heir")).status_code == 401


# -- apps of another kind


async def test_an_app_with_an_attribute_app_is_not_taken_for_middleware(
    guard: CognitoGuard, call: Call, token: str
) -> None:
    """Many an object keeps the app it belongs to in `.app`."""

    class Gateway:
        def __init__(self, app: Starlette) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            assert self.app is scope["app"]
            await raw_app(scope, receive, send)

    app = Starlette(routes=[Route("/health", public(guard))])
    app.router.routes.append(Mount("/gateway", app=Gateway(app)))
    guard.install(app)

    assert (await call(app, "GET", "/gateway/health", token)).text == "inside"
    assert (await call(app, "GET", "/gateway/health")).status_code == 401


async def test_routes_of_another_framework_are_not_asked(guard: CognitoGuard, call: Call, token: str) -> None:
    """Litestar and Bottle have `.routes` as well, which are not Starlette's."""

    class Foreign:
        routes = (object(),)

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await raw_app(scope, receive, send)

    app = Starlette(routes=[Mount("/foreign", app=Foreign())])
    guard.install(app)

    assert (await call(app, "GET", "/foreign/", token)).text == "inside"
    assert (await call(app, "GET", "/foreign/")).status_code == 401


async def test_the_name_for_websockets_is_not_an_http_method(guard: CognitoGuard, call: Call) -> None:
    """A server hands on whatever is sent for a method."""
    app = Starlette(routes=[Mount("/feed", app=raw_app)])
    guard.install(app, public_paths={("WEBSOCKET", "/feed/live")})

    assert (await call(app, "WEBSOCKET", "/feed/live")).status_code == 401


@pytest.mark.parametrize("path", ["/number/" + "9" * 5000, "/mount/" + "9" * 5000 + "/x"])
async def test_a_stranger_cannot_make_a_convertor_fail(guard: CognitoGuard, call: Call, path: str) -> None:
    """Python makes no number of so many digits, and says so with a ValueError."""
    app = Starlette(routes=[Route("/number/{n:int}", inside), Mount("/mount/{n:int}", routes=[Route("/x", inside)])])
    guard.install(app)

    assert (await call(app, "GET", path, crash=False)).status_code == 401


# -- preflights


@pytest.mark.parametrize("where", ["app", "mount"])
async def test_a_preflight_does_not_reach_what_answers_for_unknown_paths(
    guard: CognitoGuard, call: Call, token: str, where: str
) -> None:
    """`Router.default` is a handler like another, if it is not Starlette's own."""
    sub = Starlette()
    app = sub if where == "app" else Starlette(routes=[Mount("/", app=sub)])
    sub.router.default = raw_app
    guard.install(app)

    assert (await call(app, "GET", "/unknown", token)).text == "inside"
    assert (await call(app, "GET", "/unknown")).status_code == 401
    assert (await call(app, "OPTIONS", "/unknown", headers=PREFLIGHT)).status_code == 401


@needs_frontends
async def test_a_preflight_does_not_reach_files(guard: CognitoGuard, call: Call, token: str, tmp_path: Any) -> None:
    (tmp_path / "index.html").write_text("inside")
    app = FastAPI()
    app.mount("/files", StaticFiles(directory=tmp_path, html=True))
    app.frontend("/", directory=tmp_path)
    guard.install(app)

    for path in ("/files/index.html", "/index.html", "/"):
        assert (await call(app, "GET", path, token)).text == "inside"
        assert (await call(app, "GET", path)).status_code == 401
        assert (await call(app, "HEAD", path)).status_code == 401
        assert "inside" not in (await call(app, "OPTIONS", path, headers=PREFLIGHT)).text


# -- marks in odd places


async def test_only_the_marked_mount_is_open(guard: CognitoGuard, call: Call, tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_text("inside")
    app = FastAPI()
    app.mount("/open", guard.public(StaticFiles(directory=tmp_path)))
    app.mount("/shut", StaticFiles(directory=tmp_path))
    app.mount("/wrapped", CORSMiddleware(StaticFiles(directory=tmp_path), allow_origins=["*"]))
    guard.install(app)

    assert (await call(app, "GET", "/open/a.txt")).text == "inside"
    assert (await call(app, "GET", "/open")).status_code == 307
    for path in ("/shut/a.txt", "/wrapped/a.txt", "/shut", "//open/a.txt"):
        assert (await call(app, "GET", path)).status_code == 401


async def test_a_public_route_behind_another_of_the_same_path_stays_behind(guard: CognitoGuard, call: Call) -> None:
    """The first that takes the method decides, in an included router as well as around it."""
    app = FastAPI()
    first, second = APIRouter(prefix="/x"), APIRouter(prefix="/x")
    first.add_api_route("/y", inside, methods=["POST"], response_model=None)
    second.add_api_route("/y", inside, methods=["GET"], response_model=None)
    second.add_api_route("/y", public(guard), methods=["GET", "DELETE"], response_model=None)
    app.include_router(first)
    app.include_router(second)
    guard.install(app)

    assert (await call(app, "DELETE", "/x/y")).text == "healthy"
    for method in ("GET", "POST", "PUT", "HEAD"):
        assert (await call(app, method, "/x/y")).status_code == 401
