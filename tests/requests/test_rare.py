"""Apps, handlers and middleware that few apps have."""

import inspect
import sys
from collections.abc import Awaitable, Callable, Generator
from contextvars import Context
from types import ModuleType
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware, audit
from cognito_guard.errors import ConfigurationError, RefusalError
from cognito_guard.local import LocalClient, LocalPool
from tests.requests.apps import READ, WRITE, reached
from tests.requests.recording import Recorder

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]


# Middleware


def test_a_guard_middleware_without_a_guard_guards_nothing(guard: CognitoGuard) -> None:
    app = Starlette(routes=[Route("/", reached)], middleware=[Middleware(CognitoGuardMiddleware)])  # type: ignore[call-arg]

    assert [entry.guarded for entry in audit.routes(app)] == [False]

    guard.install(app)
    assert [entry.guarded for entry in audit.routes(app)] == [True]


def test_a_guard_is_not_installed_on_an_app_that_it_opens(make_guard: MakeGuard) -> None:
    guard, app = make_guard(), Starlette()
    guard.public(app)

    with pytest.raises(ConfigurationError, match="the app is marked public"):
        guard.install(app)

    make_guard().install(app)


async def test_the_user_of_middleware_outside_is_left_to_it(guard: CognitoGuard, call: Call, may_read: str) -> None:
    class Badge(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
            return AuthCredentials(["door"]), SimpleUser("jane")

    async def who(request: Request) -> Response:
        caller = guard.principal(request)
        assert caller is not None
        return PlainTextResponse(f"{request.user.display_name} {request.auth.scopes} {sorted(caller.scopes)}")

    app = Starlette(routes=[Route("/", guard.require(READ)(who))])
    guard.install(app)
    app.add_middleware(AuthenticationMiddleware, backend=Badge())

    assert (await call(app, "GET", "/", may_read)).text == f"jane ['door'] {[READ]}"


@pytest.mark.filterwarnings("ignore:The `root_path` parameter is deprecated")
@pytest.mark.parametrize(("where", "status"), [("/v1/inner", 200), ("/inner", 401)])
async def test_preflights_find_middleware_where_the_root_path_of_an_app_puts_it(
    guard: CognitoGuard, call: Call, where: str, status: int
) -> None:
    """An app with a root path of its own, in place of that of its mount, matches whole paths."""
    middle = FastAPI(root_path="/api")
    middle.mount(where, CORSMiddleware(Starlette(routes=[Route("/orders", reached)]), allow_origins=["*"]))
    app = Starlette(routes=[Mount("/v1", app=middle)])
    guard.install(app)
    headers = {"origin": "https://shop.example", "access-control-request-method": "GET"}

    assert (await call(app, "OPTIONS", "/v1/inner/orders", headers=headers)).status_code == status


# Handlers


async def test_a_handler_of_refusals_may_answer_in_another_way(guard: CognitoGuard, call: Call, may_read: str) -> None:
    async def to_login(request: Request, error: Exception) -> Response:
        return RedirectResponse("/login", 303)

    async def to_the_same(request: Request, error: Exception) -> Response:
        return PlainTextResponse("no", 403)

    for handler, status, challenged in ((to_login, 303, False), (to_the_same, 403, True)):
        app = Starlette(routes=[Route("/", guard.require(WRITE)(reached))], exception_handlers={RefusalError: handler})
        guard.install(app)
        answer = await call(app, "GET", "/", may_read)
        assert (answer.status_code, "www-authenticate" in answer.headers) == (status, challenged)


class Answering:
    """Not an endpoint class of Starlette's: an ASGI app of the second kind, made for each request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._request = scope, receive, send

    def __await__(self) -> Generator[Any, None, None]:
        return PlainTextResponse("reached")(*self._request).__await__()


async def test_a_class_that_is_awaited_is_guarded_and_may_be_public(
    guard: CognitoGuard, call: Call, may_read: str
) -> None:
    class Open(Answering):
        pass

    app = Starlette(routes=[Route("/guarded", Answering), Route("/open", guard.public(Open))])
    guard.install(app)

    assert (await call(app, "GET", "/guarded")).status_code == 401
    assert (await call(app, "GET", "/guarded", may_read)).text == "reached"
    assert (await call(app, "GET", "/open")).text == "reached"


async def test_a_method_may_be_public_above_what_makes_it_static(guard: CognitoGuard, call: Call) -> None:
    class Handlers:
        @guard.public
        @staticmethod
        async def of_no_object(request: Request) -> Response:
            return PlainTextResponse("reached")

        @guard.public
        @classmethod
        async def of_the_class(cls, request: Request) -> Response:
            return PlainTextResponse(cls.__name__)

        @staticmethod
        async def closed(request: Request) -> Response:
            raise AssertionError

    app = Starlette(
        routes=[
            Route("/static", Handlers.of_no_object),
            Route("/class", Handlers.of_the_class),
            Route("/closed", Handlers.closed),
        ]
    )
    guard.install(app)

    assert (await call(app, "GET", "/static")).text == "reached"
    assert (await call(app, "GET", "/class")).text == "Handlers"
    assert (await call(app, "GET", "/closed")).status_code == 401


async def test_a_guarded_app_is_started_though_that_is_no_caller(guard: CognitoGuard) -> None:
    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    seen: list[str] = []
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}}

    await guard.require(WRITE).wrap(inner)(scope, None, None)  # type: ignore[arg-type]

    assert seen == ["lifespan"]


async def test_a_handler_that_runs_in_a_context_of_its_own_judges_the_request_that_it_is_handed(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    """As on a thread that was started without the context of the request."""

    @guard.require(WRITE)
    def write(request: Request) -> Response:
        return PlainTextResponse("written")

    async def outside(request: Request) -> Response:
        return Context().run(write, request)

    app = Starlette(routes=[Route("/", guard.authenticated(outside))])
    guard.install(app)

    assert (await call(app, "GET", "/", may_write)).text == "written"
    assert (await call(app, "GET", "/", may_read)).status_code == 403


class Early(Starlette):
    """An app that chooses by itself, before its router does."""

    def __init__(self, routes: list[BaseRoute], run: Any) -> None:
        super().__init__(routes=routes)
        self._run = run

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["endpoint"] = self._run
        await (await self._run(Request(scope, receive, send)))(scope, receive, send)


async def test_a_choice_that_is_written_into_the_scope_is_judged(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    public, secret = guard.public(record.handler("public")), record.handler("secret")
    app = Starlette(
        routes=[
            Mount("/lies", app=Early([Route("/", public)], secret)),
            Mount("/truths", app=Early([Route("/", public)], public)),
        ]
    )
    guard.install(app)

    assert (await call(app, "GET", "/lies/")).status_code == 401
    assert record.take() == []
    assert (await call(app, "GET", "/truths/")).status_code == 200
    assert record.take() == ["public"]


# What the audit finds


def test_public_above_the_route_decorator_is_remarked(guard: CognitoGuard) -> None:
    app = FastAPI(openapi_url=None)

    @guard.public
    @app.get("/above")
    async def above() -> None:
        raise AssertionError

    @app.get("/below")
    @guard.public
    async def below() -> None:
        raise AssertionError

    guard.install(app)
    first, second = audit.routes(app)

    assert ([first.public, second.public], second.remarks) == ([False, True], ())
    assert "guard.public is above the route decorator" in first.remarks[0]


def test_a_method_of_a_requirement_is_no_dependency(guard: CognitoGuard) -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/")
    async def handler(judged: Annotated[Any, Depends(guard.require(READ).__str__)]) -> None:
        raise AssertionError

    guard.install(app)

    with pytest.raises(AssertionError, match=r"Depends\(requirement\.__str__\) asks for nothing"):
        audit.assert_guarded(app)


def test_without_fastapi_a_dependency_asks_for_the_connection_alone(
    guard: CognitoGuard, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert list(inspect.signature(guard.require(READ)).parameters) == ["conn", "security_scopes"]

    monkeypatch.setitem(sys.modules, "fastapi.security", ModuleType("fastapi.security"))

    assert list(inspect.signature(guard.require(READ)).parameters) == ["conn"]


# Two guards


async def test_of_two_guards_each_refuses_a_copy_of_the_scope_to_its_own_strangers(
    make_guard: MakeGuard, pool: LocalPool, reader: LocalClient, call: Call
) -> None:
    """The outer one knows the caller; for the inner one, which has another client, that is a stranger."""
    outer = make_guard()
    inner = make_guard(pool.user_pool(client_ids={"another"}))

    class Copying:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app({**scope}, receive, send)

    guards = [
        Middleware(CognitoGuardMiddleware, guard=outer),
        Middleware(CognitoGuardMiddleware, guard=inner, public_paths={("GET", "/")}),
    ]
    routes = [Route("/", outer.require(READ)(reached))]
    token = pool.mint(client_id=reader.client_id)

    assert (await call(Starlette(routes=routes, middleware=guards), "GET", "/", token)).status_code == 200
    app = Starlette(routes=routes, middleware=[*guards, Middleware(Copying)])
    assert (await call(app, "GET", "/", token)).status_code == 401
