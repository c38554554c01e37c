"""The list of an app's routes, and what the audit finds in it."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient

from cognito_guard import CognitoGuard, CognitoGuardMiddleware, Principal
from cognito_guard._rules.installed import installed_on
from cognito_guard.audit import assert_guarded, findings, routes
from cognito_guard.errors import ConfigurationError
from tests.requests.apps import needs_frontends

MakeGuard = Callable[..., CognitoGuard]

READ, WRITE = "orders/order.read", "orders/order.write"


async def handler(request: Request) -> Response:
    """Show something. And more."""
    raise AssertionError


async def raw_app(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError


class RawApp:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError


def rows(app: object) -> dict[tuple[str, str], str]:
    return {(route.method, route.path): route.requirement for route in routes(app)}


def test_every_kind_of_starlette_route_is_listed(guard: CognitoGuard, tmp_path: Path) -> None:
    class Orders(HTTPEndpoint):
        @guard.require(READ)
        async def get(self, request: Request) -> Response:
            raise AssertionError

        @guard.require_any(READ, WRITE)
        async def post(self, request: Request) -> Response:
            raise AssertionError

        async def delete(self, request: Request) -> Response:
            raise AssertionError

    @guard.require(WRITE)
    class Feed(WebSocketEndpoint):
        pass

    async def feed(websocket: WebSocket) -> None:
        raise AssertionError

    inner = [Route("/inside/{name:path}", guard.require(READ)(handler))]
    app = Starlette(
        routes=[
            Route("/plain", functools.partial(handler)),
            Route("/read", guard.require(READ)(handler), methods=["GET", "PUT"]),
            Route("/head", guard.authenticated(handler), methods=["HEAD"]),
            Route("/groups", guard.require(READ)(guard.require_groups("staff", "admins")(handler))),
            Route("/public", guard.public(functools.partial(handler))),
            Route("/class", Orders),
            Route("/class-get", Orders, methods=["GET"]),
            Route("/raw", RawApp()),
            Route("/raw-class", RawApp),
            WebSocketRoute("/feed", feed),
            WebSocketRoute("/feed-class", Feed),
            WebSocketRoute("/feed-raw", RawApp()),
            Mount("/mount", routes=inner, middleware=[Middleware(CORSMiddleware)]),
            Mount("/wrapped", app=CORSMiddleware(Starlette(routes=inner))),
            Mount("/files", app=StaticFiles(directory=tmp_path), name="files"),
            Host("{tenant}.example", app=Starlette(routes=inner)),
        ]
    )
    guard.install(app, public_paths={("GET", "/plain")})

    default = "any valid token (default)"
    assert rows(app) == {
        ("GET", "/plain"): "public",
        ("GET", "/read"): READ,
        ("PUT", "/read"): READ,
        ("HEAD", "/head"): "any valid token",
        ("GET", "/groups"): f"{READ}; group admins or staff",
        ("GET", "/public"): "public",
        ("GET", "/class"): READ,
        ("POST", "/class"): f"{READ} or {WRITE}",
        ("DELETE", "/class"): default,
        ("GET", "/class-get"): READ,
        ("*", "/raw"): default,
        ("*", "/raw-class"): default,
        ("WEBSOCKET", "/feed"): default,
        ("WEBSOCKET", "/feed-class"): WRITE,
        ("WEBSOCKET", "/feed-raw"): default,
        ("GET", "/mount/inside/{name}"): READ,
        ("GET", "/wrapped/inside/{name}"): READ,
        ("*", "/files"): default,
        ("GET", "{tenant}.example/inside/{name}"): READ,
    }
    opaque = {route.path for route in routes(app) if route.opaque}
    assert opaque == {"/raw", "/raw-class", "/feed-raw", "/files"}


@needs_frontends
def test_every_kind_of_fastapi_route_is_listed(guard: CognitoGuard, tmp_path: Path) -> None:
    app = FastAPI(docs_url=None, redoc_url=None)
    router, outer = APIRouter(prefix="/router", dependencies=[Depends(guard.require("a/router"))]), APIRouter()

    @router.get("/{item}")
    @guard.require("a/decorator")
    async def get_item(item: str, caller: Annotated[Principal, Depends(guard.require("a/parameter"))]) -> None:
        """Show an item."""

    @router.websocket("/feed")
    async def feed(websocket: WebSocket) -> None: ...

    @outer.api_route("/both", methods=["GET", "POST"], dependencies=[Depends(guard.authenticated)])
    async def both() -> None: ...

    @outer.get("/security", dependencies=[Security(guard.authenticated, scopes=["a/security"])])
    async def security() -> None: ...

    outer.include_router(router, prefix="/nested", dependencies=[Depends(guard.require("a/nested"))])
    app.include_router(router)
    app.include_router(outer, prefix="/outer")
    sub = FastAPI(openapi_url=None)

    @sub.get("/item")
    @guard.require(READ)
    async def sub_item() -> None: ...

    app.mount("/sub", sub)
    (tmp_path / "index.html").write_text("")
    app.frontend("/", directory=tmp_path)
    guard.install(app)

    assert rows(app) == {
        ("GET", "/openapi.json"): "any valid token (default)",
        ("GET", "/router/{item}"): "a/router; a/parameter; a/decorator",
        ("WEBSOCKET", "/router/feed"): "a/router",
        ("GET", "/outer/both"): "any valid token",
        ("POST", "/outer/both"): "any valid token",
        ("GET", "/outer/security"): "a/security",
        ("GET", "/outer/nested/router/{item}"): "a/nested; a/router; a/parameter; a/decorator",
        ("WEBSOCKET", "/outer/nested/router/feed"): "a/nested; a/router",
        ("GET", "/sub/item"): READ,
        ("*", "/"): "any valid token (default)",
    }
    [item] = [route for route in routes(app) if route.path == "/router/{item}"]
    assert item.summary == "Show an item."
    assert item.handler.endswith("get_item")
    assert item.scopes == {"a/router", "a/parameter", "a/decorator"}


def guarded(guard: CognitoGuard, *extra: Any, **options: Any) -> Starlette:
    app = Starlette(routes=[Route("/read", guard.require(READ)(handler)), *extra])
    guard.install(app, **options)
    return app


def test_an_app_that_says_everything_has_no_findings(guard: CognitoGuard) -> None:
    app = guarded(
        guard,
        Route("/public", guard.public(functools.partial(handler))),
        Route("/by-path", functools.partial(handler)),
        Route("/any", guard.authenticated(handler)),
        Mount("/files", app=raw_app),
        public_paths={("GET", "/by-path")},
    )

    assert findings(app, opaque=["/files"], scopes=[READ]) == []
    assert_guarded(app, opaque=["/files"])


@pytest.mark.parametrize(
    ("extra", "problem"),
    [
        (lambda guard: Route("/x", functools.partial(handler)), "has no requirement of its own"),
        (lambda guard: Mount("/x", app=raw_app), "cannot be inspected"),
        (lambda guard: WebSocketRoute("/x", RawApp()), "cannot be inspected"),
    ],
)
def test_a_route_that_says_nothing_is_found(guard: CognitoGuard, extra: Any, problem: str) -> None:
    app = guarded(guard, extra(guard))

    [finding] = findings(app)
    assert finding.route
    assert finding.route.path == "/x"
    assert problem in str(finding)
    with pytest.raises(AssertionError, match="/x"):
        assert_guarded(app)


def test_a_decorator_in_the_wrong_place_is_found(guard: CognitoGuard) -> None:
    app = FastAPI(openapi_url=None)
    guard.install(app)

    @guard.require(READ)
    @app.get("/x")
    async def misplaced() -> None: ...

    @app.get("/y")
    @guard.require(READ)
    @guard.require(WRITE)
    async def stacked() -> None: ...

    found = findings(app)

    assert [finding.route and finding.route.path for finding in found] == ["/x", "/x"]
    assert "move it below" in found[0].problem
    assert [finding.stops for finding in found] == [True, False]
    assert "has no requirement of its own" in found[1].problem


def test_an_app_without_a_guard_is_found(guard: CognitoGuard, make_guard: MakeGuard) -> None:
    app = Starlette(routes=[Route("/plain", functools.partial(handler)), Route("/read", guard.require(READ)(handler))])
    assert [finding.problem.split(";")[0] for finding in findings(app)] == [
        "no guard stands in front of it",
        "requires a guard that is not installed, so everyone is refused",
    ]

    assert rows(app)["GET", "/plain"] == "NO GUARD"

    app.add_middleware(CORSMiddleware)
    make_guard().install(app)
    assert "not installed" in findings(app)[1].problem


def test_a_guard_around_the_app_counts(guard: CognitoGuard) -> None:
    plain = Starlette(routes=[Route("/read", guard.require(READ)(handler)), Route("/open", functools.partial(handler))])

    assert findings(CognitoGuardMiddleware(plain, guard=guard, public_paths={("GET", "/open")})) == []
    assert findings(CORSMiddleware(CognitoGuardMiddleware(plain, guard, {("GET", "/open")}))) == []
    mounted = Starlette(routes=[Mount("/sub", app=CognitoGuardMiddleware(plain, guard, {("GET", "/open")}))])
    assert findings(mounted) == []
    assert rows(mounted)["GET", "/sub/open"] == "public"
    listed = Starlette(routes=plain.routes, middleware=[Middleware(CognitoGuardMiddleware, guard=guard)])
    assert rows(listed)["GET", "/read"] == READ


def test_a_route_behind_two_guards_is_public_when_both_say_so(make_guard: MakeGuard) -> None:
    outer, inner = make_guard(), make_guard()
    sub = Starlette(
        routes=[
            Route("/one", inner.public(functools.partial(handler))),
            Route("/both", outer.public(inner.public(functools.partial(handler)))),
        ]
    )
    inner.install(sub)
    app = Starlette(routes=[Mount("/sub", app=sub)])
    outer.install(app)

    assert rows(app) == {("GET", "/sub/one"): "any valid token (default)", ("GET", "/sub/both"): "public"}


def test_a_misspelt_scope_is_found(guard: CognitoGuard) -> None:
    app = guarded(guard, Route("/x", guard.require("orders/order.raed")(handler)))
    unlike = guarded(guard, Route("/x", guard.require("zzz/qqq")(handler)))

    assert findings(app) == []
    [finding] = findings(app, scopes=[READ, WRITE])
    assert finding.problem == "requires 'orders/order.raed', which does not exist; is it 'orders/order.read'?"
    [finding] = findings(unlike, scopes=[READ])
    assert finding.problem == "requires 'zzz/qqq', which does not exist"


def test_fastapis_own_pages_need_no_mark(guard: CognitoGuard) -> None:
    app = FastAPI()
    guard.install(app)

    assert findings(app) == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_strict_app_does_not_start_with_findings(guard: CognitoGuard, backend: Any) -> None:
    app = guarded(guard, Route("/x", functools.partial(handler)), strict=True)

    with pytest.raises(ConfigurationError, match="has no requirement of its own"), TestClient(app, backend=backend):
        raise AssertionError
    with pytest.raises(ConfigurationError, match="refusing to start"):
        TestClient(app, backend=backend).get("/read")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_strict_app_without_findings_starts(guard: CognitoGuard, backend: Any) -> None:
    app = guarded(guard, Mount("/files", app=raw_app), strict=True, opaque=["/files"])

    with TestClient(app, backend=backend) as client:
        assert client.get("/read").status_code == 401


@pytest.mark.parametrize(
    ("scope", "description"), [("a b", "x"), ("a/b", ""), ("a/b", "x" * 257), ("a/b", None), ("", "x")]
)
def test_descriptions_have_the_length_that_cognito_accepts(guard: CognitoGuard, scope: str, description: Any) -> None:
    with pytest.raises(ConfigurationError):
        guard.describe_scopes({scope: description})


def test_an_app_that_leads_to_itself_is_listed_once(guard: CognitoGuard) -> None:
    class Loop:
        def __init__(self) -> None:
            self.app = self

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise AssertionError

    app = Starlette(routes=[Mount("/loop", app=Loop())])
    guard.install(app)

    assert [route.path for route in routes(app)] == ["/loop"]


def test_other_middleware_may_take_a_guard(guard: CognitoGuard) -> None:
    class Counting:
        def __init__(self, app: Any, guard: CognitoGuard) -> None:
            raise AssertionError

    without_signature: Any = dict
    counting: Any = Counting
    app = Starlette(middleware=[Middleware(counting, guard=guard), Middleware(without_signature)])
    assert installed_on(app) == []
    guard.install(app)

    assert [each.guard for each in installed_on(app)] == [guard]
    by_position: Any = CognitoGuardMiddleware
    assert [each.guard for each in installed_on(Starlette(middleware=[Middleware(by_position, guard)]))] == [guard]
