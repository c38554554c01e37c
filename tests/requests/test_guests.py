"""Other parts of an app continue to work: its answers, middleware, state and sub-apps."""

import functools
import gzip
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from tests.requests.apps import READ, WRITE, guard_client
from tests.requests.recording import Recorder, rewriting

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


class Account(BaseModel):
    """What everyone may see of an account."""

    name: str


class PrivateAccount(Account):
    """What nobody may see."""

    password: str


@pytest.mark.parametrize("form", ["require", "public"])
async def test_the_return_annotation_of_a_handler_still_filters_its_answer(
    guard: CognitoGuard, call: Call, may_read: str, form: str
) -> None:
    async def account() -> Account:
        return PrivateAccount(name="ada", password="secret")

    def sync_account() -> Account:
        return PrivateAccount(name="ada", password="secret")

    mark: Callable[[Any], Any] = guard.require(READ) if form == "require" else guard.public
    app = FastAPI(openapi_url=None)
    app.get("/account")(mark(account))
    app.get("/sync")(mark(sync_account))
    guard.install(app)

    for path in ("/account", "/sync"):
        assert (await call(app, "GET", path, may_read)).json() == {"name": "ada"}


async def test_public_routes_of_starlette_need_no_fastapi(guard: CognitoGuard, call: Call, record: Recorder) -> None:
    app = Starlette(
        routes=[
            Route("/public", guard.public(record.handler("public"))),
            Route("/partial", guard.public(functools.partial(record.handler("partial")))),
            Mount("/in", routes=[Route("/public", guard.public(record.handler("in")))]),
            Route("/private", record.handler("private")),
        ]
    )
    guard.install(app)

    for path, name in (("/public", "public"), ("/partial", "partial"), ("/in/public", "in")):
        assert (await call(app, "GET", path)).text == name
    assert (await call(app, "GET", "/private")).status_code == 401


class Tagging:
    """Middleware of the app's own, which says that it was there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-tag", b"seen")]
            await send(message)

        await self.app(scope, receive, tagged)


async def test_a_mount_may_have_middleware_of_its_own_around_public_routes(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    routes = [Route("/public", guard.public(record.handler("public"))), Route("/private", record.handler("private"))]
    app = Starlette(
        routes=[
            Mount("/mount", routes=routes, middleware=[Middleware(Tagging)]),
            Mount("/app", app=Starlette(routes=routes, middleware=[Middleware(Tagging)])),
            Mount("/twice", routes=[Mount("/mount", routes=routes, middleware=[Middleware(Tagging)] * 2)]),
        ]
    )
    guard.install(app)

    for prefix in ("/mount", "/app", "/twice/mount"):
        answer = await call(app, "GET", f"{prefix}/public")
        assert (prefix, answer.text, answer.headers["x-tag"][:4]) == (prefix, "public", "seen")
        record.take()
        refused = await call(app, "GET", f"{prefix}/private")
        assert (refused.status_code, refused.headers.get("x-tag"), record.take()) == (401, None, [])


@pytest.mark.parametrize("form", ["subclass", "dispatch"])
async def test_middleware_inside_of_the_guard_serves_strangers_only_on_public_routes(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, form: str
) -> None:
    class Noting(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            record.note("middleware")
            return await call_next(request)

    app = FastAPI(openapi_url=None, middleware=[Middleware(Noting if form == "subclass" else Tagging)])
    app.add_api_route("/public", guard.public(record.operation("public")))
    app.add_api_route("/private", record.operation("private"))
    app.add_api_route("/write", guard.require(WRITE)(record.operation("write")))
    guard.install(app, outermost=True)
    before = ["middleware"] if form == "subclass" else []

    assert (await call(app, "GET", "/private")).status_code == 401
    assert (await call(app, "GET", "/none")).status_code == 401
    assert record.take() == []
    assert (await call(app, "GET", "/public")).status_code == 200
    assert record.take() == [*before, "public"]
    assert (await call(app, "GET", "/write", may_read)).status_code == 403
    assert record.take() == before
    assert (await call(app, "GET", "/private", may_read)).status_code == 200
    assert record.take() == [*before, "private"]


async def test_a_mounted_app_with_a_root_path_keeps_its_public_routes(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    """FastAPI's root_path takes the place of the mount's, so the whole path is what it matches."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sub = FastAPI(root_path="/elsewhere", openapi_url=None)
    sub.add_api_route("/sub/public", guard.public(record.operation("whole")))
    sub.add_api_route("/public", record.operation("short"))
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app)

    shown = await call(app, "GET", "/sub/public", may_read)
    ran = record.take()
    answer = await call(app, "GET", "/sub/public")
    assert (shown.status_code, ran) == (200, ["whole"])
    assert (answer.text, record.take()) == (shown.text, ["whole"])


async def test_middleware_outside_sees_what_was_chosen(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    """As telemetry and access logs do, when the response starts and when it is over."""
    seen: list[Any] = []

    class Telemetry:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def watch(message: Message) -> None:
                if message["type"] == "http.response.start":
                    seen.append(
                        (message["status"], getattr(scope.get("route"), "path", None), scope.get("path_params"))
                    )
                await send(message)

            await self.app(scope, receive, watch)
            principal = guard.principal(Request(scope))
            state = scope.get("state", {})
            seen.append((getattr(scope.get("route"), "path", None), principal is not None, state.get("number")))

    app = FastAPI(openapi_url=None, middleware=[Middleware(Telemetry), Middleware(GZipMiddleware)])
    router = APIRouter(prefix="/items")

    @router.get("/{number}")
    @guard.require(WRITE)
    async def items(number: int, request: Request) -> str:
        request.state.number = number
        return str(request.user.display_name)

    app.include_router(router)
    guard.install(app)

    assert (await call(app, "GET", "/items/1", may_write)).json() == guard_client(may_write)
    status, route, parameters = seen[0]
    assert (status, route in {"/items/{number}", "/{number}"}, parameters) == (200, True, {"number": "1"})
    assert seen[1][1:] == (True, 1)
    seen.clear()
    assert (await call(app, "GET", "/items/1", may_read)).status_code == 403
    assert (seen[0][0], seen[0][2], seen[1][1:]) == (403, {"number": "1"}, (True, None))
    seen.clear()
    assert (await call(app, "GET", "/items/1")).status_code == 401
    assert (seen[0][0], seen[1]) == (401, (None, False, None))


@pytest.mark.parametrize("outermost", [True, False])
async def test_answers_are_compressed_and_have_cors_headers(
    guard: CognitoGuard, call: Call, may_read: str, outermost: bool
) -> None:
    async def long(request: Request) -> Response:
        return PlainTextResponse("long" * 500)

    app = Starlette(
        routes=[Route("/public", guard.public(long)), Route("/private", long)],
        middleware=[Middleware(GZipMiddleware), Middleware(CORSMiddleware, allow_origins=["*"])],
    )
    guard.install(app, outermost=outermost)
    headers = {"origin": "https://shop.example", "accept-encoding": "gzip"}

    for path, token in (("/public", None), ("/private", may_read)):
        answer = await call(app, "GET", path, token, headers=headers)
        assert (answer.text, answer.headers["content-encoding"]) == ("long" * 500, "gzip")
        assert answer.headers["access-control-allow-origin"] == "*"
    refused = await call(app, "GET", "/private", headers=headers)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "*")
    assert len(gzip.compress(b"long" * 500)) < 500


async def test_urls_are_found_behind_the_guard(guard: CognitoGuard, call: Call) -> None:
    async def links(request: Request, /) -> Response:
        return PlainTextResponse(f"{request.url_for('links')} {request.url_for('in:links')} {request.url.path}")

    app = Starlette(
        routes=[
            Route("/links", guard.public(links), name="links"),
            Mount("/in", routes=[Route("/links", guard.public(links), name="links")], name="in"),
        ]
    )
    guard.install(app)

    for path in ("/links", "/in/links"):
        urls = f"http://api.example/links http://api.example/in/links {path}"
        assert (await call(app, "GET", path)).text == urls


async def test_a_handler_may_copy_its_scope(guard: CognitoGuard, call: Call, may_read: str) -> None:
    async def copies(request: Request) -> Response:
        scope: Any = request.scope
        for copied in ({**scope}, dict(scope), scope.copy(), scope | {}):
            assert copied["path"] == request.scope["path"] == Request(copied).url.path
        return PlainTextResponse("copied")

    app = Starlette(routes=[Route("/public", guard.public(copies)), Route("/private", copies)])
    guard.install(app)

    assert (await call(app, "GET", "/public")).text == "copied"
    assert (await call(app, "GET", "/private", may_read)).text == "copied"


async def test_a_path_that_middleware_of_a_sub_app_changes_is_judged_as_changed(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    """A caller who is known goes where the app sends the request, and is judged there."""
    sub = Starlette(
        routes=[Route("/new", guard.require(WRITE)(record.handler("new")))],
        middleware=[Middleware(rewriting("old", "new"))],
    )
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app)

    assert (await call(app, "GET", "/sub/old", may_read)).status_code == 403
    assert (await call(app, "GET", "/sub/old")).status_code == 401
    assert record.take() == []


async def test_a_background_task_of_a_public_route_runs(guard: CognitoGuard, call: Call, record: Recorder) -> None:
    app = FastAPI(openapi_url=None, dependencies=[Depends(record.dependency("dependency"))])
    app.add_api_route("/x", guard.public(record.operation("x")))
    guard.install(app)

    assert (await call(app, "GET", "/x")).text == '"x"'
    assert record.take() == ["dependency", "x"]


@pytest.mark.parametrize("member", ["user", "auth"])
async def test_what_middleware_outside_has_put_into_a_scope_stays(
    guard: CognitoGuard, call: Call, may_read: str, member: str
) -> None:
    """One of the two is enough: the other would not fit to it."""
    seen: list[Any] = []

    class Outside:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope[member] = "jane"
            await self.app(scope, receive, send)

    async def who(request: Request) -> Response:
        seen.append((request.scope.get("user"), request.scope.get("auth"), guard.principal(request) is not None))
        return PlainTextResponse()

    sub = Starlette(routes=[Route("/who", who)])
    guard.install(sub)
    for app in (Outside(sub), Outside(CognitoGuardMiddleware(Starlette(routes=[Mount("/in", app=sub)]), guard=guard))):
        path = "/who" if app.app is sub else "/in/who"
        assert (await call(app, "GET", path, may_read)).status_code == 200
    assert seen == [(("jane", None) if member == "user" else (None, "jane")) + (True,)] * 2


async def test_request_user_is_the_caller_of_the_innermost_guard(
    make_guard: Callable[..., CognitoGuard], call: Call, may_read: str
) -> None:
    outer, inner = make_guard(), make_guard()

    async def who(request: Request) -> Response:
        assert request.user is inner.principal(request) is not outer.principal(request)
        return PlainTextResponse("reached")

    sub = Starlette(routes=[Route("/who", who)])
    inner.install(sub)
    app = Starlette(routes=[Mount("/in", app=sub)])
    outer.install(app)

    assert (await call(app, "GET", "/in/who", may_read)).text == "reached"


async def test_middleware_outside_sees_the_route_that_was_chosen(
    guard: CognitoGuard, call: Call, may_read: str
) -> None:
    seen: dict[str, Any] = {}

    async def item(request: Request) -> Response:
        return PlainTextResponse(request.path_params["number"])

    route = Route("/items/{number}", item)
    app = Starlette(routes=[route])
    guard.install(app)

    async def watching(scope: Scope, receive: Receive, send: Send) -> None:
        await app(scope, receive, send)
        seen.update(scope)

    assert (await call(watching, "GET", "/items/7", may_read)).text == "7"
    assert (seen["endpoint"], seen["path_params"], seen["route"]) == (item, {"number": "7"}, route)
