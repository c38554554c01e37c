"""What is listed of an app's routes, and what is said of each."""

import dataclasses
import functools
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Host, Match, Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from cognito_guard.audit import RouteEntry, routes
from tests.requests.apps import needs_frontends

READ = "orders/order.read"
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"]
ANY_TOKEN = "any valid token (default)"


async def handler(request: Request) -> Response:
    raise AssertionError


class Box:
    async def handle(self, request: Request) -> Response:
        raise AssertionError


class RawApp:
    """Some app."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError


class OwnRoute(BaseRoute):
    """A class of route that nobody knows."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        raise AssertionError


def plain() -> Any:
    """A handler that nothing was said of before."""
    return functools.partial(handler)


def inner() -> Starlette:
    return Starlette(routes=[Route("/inside", plain())])


def only(app: object) -> RouteEntry:
    [entry] = routes(app)
    return entry


def requirement(app: object) -> str:
    return only(app).requirement


def test_an_entry_cannot_be_changed() -> None:
    entry = only(inner())

    with pytest.raises(dataclasses.FrozenInstanceError):
        entry.public = True  # type: ignore[misc]
    assert not hasattr(entry, "__dict__")


def test_a_class_is_listed_with_each_method_it_has() -> None:
    async def answer(self: HTTPEndpoint, request: Request) -> Response:
        raise AssertionError

    every = type("Every", (HTTPEndpoint,), {method.lower(): answer for method in METHODS})

    assert [each.method for each in routes(Starlette(routes=[Route("/", every)]))] == METHODS
    assert [each.method for each in routes(Starlette(routes=[Route("/", every, methods=["PUT"])]))] == ["PUT"]


def test_head_is_listed_where_it_is_a_method_of_its_own() -> None:
    app = FastAPI(openapi_url=None, routes=[Route("/starlette", plain(), methods=["GET"])])

    @app.api_route("/fastapi", methods=["GET", "HEAD"])
    async def both() -> None: ...

    assert [(each.method, each.path) for each in routes(app)] == [
        ("GET", "/starlette"),
        ("GET", "/fastapi"),
        ("HEAD", "/fastapi"),
    ]


def test_a_route_of_starlette_in_an_included_router_is_listed(guard: CognitoGuard) -> None:
    app, router = FastAPI(openapi_url=None), APIRouter()
    router.add_route("/http", guard.require(READ)(handler))
    router.routes.append(WebSocketRoute("/ws", RawApp()))
    app.include_router(router, prefix="/in")
    guard.install(app)

    http, websocket = routes(app)

    assert (http.method, http.path, http.requirement) == ("GET", "/in/http", READ)
    assert http.handler.endswith(":handler")
    assert (websocket.method, websocket.path, websocket.requirement) == ("WEBSOCKET", "/in/ws", ANY_TOKEN)
    assert websocket.handler.endswith(":RawApp")


@pytest.mark.parametrize(
    ("app", "path"),
    [
        pytest.param(RawApp(), "/", id="the-app"),
        pytest.param(Starlette(routes=[Mount("/files", app=RawApp())]), "/files", id="mounted"),
        pytest.param(Starlette(routes=[Route("/raw", RawApp())]), "/raw", id="as-a-route"),
        pytest.param(Starlette(routes=[OwnRoute()]), "/{?}", id="a-route-of-its-own-class"),
    ],
)
def test_what_cannot_be_inspected_is_one_entry(app: Any, path: str) -> None:
    entry = only(app)

    assert (entry.method, entry.path, entry.opaque, entry.summary) == ("*", path, True, "")


@needs_frontends
def test_the_files_of_a_frontend_cannot_be_inspected(tmp_path: Any) -> None:
    app = FastAPI(openapi_url=None)
    (tmp_path / "index.html").write_text("")
    app.frontend("/", directory=tmp_path)

    assert [(each.method, each.opaque, each.summary) for each in routes(app)] == [("*", True, "")]


@pytest.mark.parametrize(
    ("app", "path"),
    [
        (Starlette(routes=[Host("a.example", app=inner())]), "a.example/inside"),
        (Starlette(routes=[Mount("/m", routes=[Host("a.example", app=inner())])]), "a.example/m/inside"),
        (Starlette(routes=[Mount("/m/n", routes=[Host("a.example", app=inner())])]), "a.example/m/n/inside"),
        (Starlette(routes=[Host("a.example", app=Starlette(routes=[Mount("/m", app=inner())]))]), "a.example/m/inside"),
        (
            Starlette(routes=[Host("a.example", app=Starlette(routes=[Host("b.example", app=inner())]))]),
            "b.example/inside",
        ),
    ],
)
def test_the_innermost_host_stands_before_the_path(app: Starlette, path: str) -> None:
    assert only(app).path == path


def test_without_a_guard_nothing_is_public(guard: CognitoGuard) -> None:
    entry = only(Starlette(routes=[Route("/", guard.public(plain()))]))

    assert (entry.public, entry.guarded, entry.requirement) == (False, False, "NO GUARD")


@pytest.mark.parametrize("kind", [Mount, Host])
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_is_said_of_an_app_counts_for_all_in_it(guard: CognitoGuard, kind: Any, wrapped: bool) -> None:
    place = "/in" if kind is Mount else "a.example"

    def requirement_in(app: Any) -> str:
        outer = Starlette(routes=[kind(place, app=CORSMiddleware(app) if wrapped else app)])
        guard.install(outer)
        return requirement(outer)

    assert requirement_in(inner()) == ANY_TOKEN
    assert requirement_in(guard.public(inner())) == "public"
    assert requirement_in(guard.require(READ).wrap(inner())) == READ
    assert requirement_in(guard.require(READ).wrap(guard.public(inner()))) == READ
    assert requirement_in(Starlette(routes=[Mount("/deeper", app=inner())])) == ANY_TOKEN
    assert requirement_in(guard.public(Starlette(routes=[Mount("/deeper", app=inner())]))) == "public"
    assert requirement_in(guard.require(READ).wrap(Starlette(routes=[Mount("/deeper", app=inner())]))) == READ


def test_a_guard_lets_pass_no_app_that_it_is_inside_of(guard: CognitoGuard) -> None:
    app = inner()
    guard.install(app)
    guard.public(app)

    assert requirement(app) == ANY_TOKEN


def test_an_app_may_be_public_behind_its_guard(guard: CognitoGuard) -> None:
    assert requirement(CognitoGuardMiddleware(guard.public(inner()), guard=guard)) == "public"
    assert requirement(CognitoGuardMiddleware(inner(), guard=guard)) == ANY_TOKEN


def test_each_of_several_guards_has_to_be_told(make_guard: Any) -> None:
    outer, middle, innermost = [make_guard() for _ in range(3)]

    def requirement_behind(*, public_for: list[CognitoGuard]) -> str:
        endpoint = plain()
        for each in public_for:
            endpoint = each.public(endpoint)
        app: Any = Starlette(routes=[Route("/", endpoint)])
        for each in (innermost, middle, outer):
            app = CognitoGuardMiddleware(app, guard=each)
        return requirement(app)

    assert requirement_behind(public_for=[outer, middle, innermost]) == "public"
    for left_out in (outer, middle, innermost):
        told = [each for each in (outer, middle, innermost) if each is not left_out]
        assert requirement_behind(public_for=told) == ANY_TOKEN


def test_a_requirement_around_a_public_route_counts_and_is_remarked_upon(guard: CognitoGuard) -> None:
    app, router = FastAPI(openapi_url=None), APIRouter(dependencies=[Depends(guard.require(READ))])

    @router.get("/")
    @guard.public
    async def shown() -> None: ...

    app.include_router(router)
    guard.install(app)
    entry = only(app)

    assert (entry.public, entry.requirement) == (False, READ)
    assert [remark.partition(",")[0] for remark in entry.remarks] == ["is marked public"]
    assert entry.faults == ()


def test_public_above_the_route_decorator_is_remarked_upon(guard: CognitoGuard) -> None:
    app = FastAPI(openapi_url=None, dependencies=[Depends(guard.require(READ))])

    @guard.public
    @app.get("/")
    @guard.public
    async def shown() -> None: ...

    guard.install(app)
    entry = only(app)

    assert [remark.partition(",")[0] for remark in entry.remarks] == [
        "is marked public",
        "guard.public is above the route decorator",
    ]


def test_all_that_is_wrong_with_a_route_is_said(guard: CognitoGuard) -> None:
    app = FastAPI(openapi_url=None)

    @guard.require(READ)
    @app.get("/", dependencies=[Depends(guard.require)])
    async def shown() -> None: ...

    assert [fault.partition(" ")[0] for fault in only(app).faults] == ["Depends(guard.require)", "a"]


def test_what_was_made_of_a_handler_may_be_for_another_app(guard: CognitoGuard) -> None:
    """Where a decorator has not taken the place of the handler in its module, it was not meant to."""
    box = Box()
    for endpoint in (handler, box.handle):
        another = Starlette(routes=[Route("/", guard.require(READ)(endpoint))])

        assert only(Starlette(routes=[Route("/", endpoint)])).faults == ()
        assert only(another).faults == ()


def test_what_was_made_of_a_handler_may_be_on_another_route(guard: CognitoGuard) -> None:
    async def local(request: Request) -> Response:
        raise AssertionError

    read = guard.require(READ)(local)

    assert [fault.partition(",")[0] for fault in only(Starlette(routes=[Route("/", local)])).faults] == [
        "a requirement is above the route decorator"
    ]
    both = routes(Starlette(routes=[Route("/open", local), Route("/read", read)]))
    assert [each.faults for each in both] == [(), ()]
