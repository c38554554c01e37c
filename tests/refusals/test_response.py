"""A refusal has the same answer, wherever it comes from."""

import functools
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi import HTTPException as FastAPIHTTPException
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from cognito_guard.errors import BearerError, RefusalError
from tests.requests.apps import WRITE, guarded_app, no_body, raw_app, reached

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]

BODY = {
    "error": "insufficient_scope",
    "error_description": "The access token lacks a scope that this resource requires.",
}


def apps_that_refuse(guard: CognitoGuard) -> dict[str, tuple[ASGIApp, str]]:
    """Apps whose route refuses, below everything that could change the answer."""

    @guard.require(WRITE)
    async def handler(request: Request) -> Response:
        raise AssertionError

    class Around(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            return response

    plain, with_base, parent, fast, sub = Starlette(), Starlette(), Starlette(), FastAPI(), FastAPI()
    sub_with_base = FastAPI()
    for app in (plain, with_base, fast, sub, sub_with_base):
        app.router.routes.append(Route("/refused", handler))
    with_base.add_middleware(Around)
    sub_with_base.add_middleware(Around)
    parent.router.routes += [Mount("/sub", app=sub), Mount("/base", app=sub_with_base)]
    for app in (plain, with_base, fast, parent):
        guard.install(app)
    outside = Starlette(routes=[Route("/refused", handler)])
    return {
        "plain": (plain, "/refused"),
        "base": (with_base, "/refused"),
        "fastapi": (fast, "/refused"),
        "sub-app": (parent, "/sub/refused"),
        "sub-app-base": (parent, "/base/refused"),
        "wrapped": (CognitoGuardMiddleware(outside, guard=guard), "/refused"),
        "wrapped-fastapi": (CognitoGuardMiddleware(sub, guard=guard), "/refused"),
    }


NAMES = ["plain", "base", "fastapi", "sub-app", "sub-app-base", "wrapped", "wrapped-fastapi"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_refusal_always_has_the_same_answer(guard: CognitoGuard, call: Call, token: str, name: str) -> None:
    app, path = apps_that_refuse(guard)[name]

    answer = await call(app, "GET", path, token)

    assert (answer.status_code, answer.json()) == (403, BODY)
    assert answer.headers["www-authenticate"] == (
        f'Bearer error="insufficient_scope", error_description="{BODY["error_description"]}", scope="{WRITE}"'
    )


@pytest.mark.parametrize("key", [HTTPException, FastAPIHTTPException, BearerError, RefusalError, "status"])
@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_an_apps_own_handler_shapes_the_answer(
    guard: CognitoGuard, call: Call, token: str, key: Any, kind: str, framework: Any
) -> None:
    calls = []

    def shape(request: Request, error: HTTPException) -> Response:
        calls.append(request.url.path)
        return JSONResponse({"problem": error.detail}, error.status_code, error.headers)

    async def shape_async(request: Request, error: HTTPException) -> Response:
        return shape(request, error)

    handler = shape if kind == "sync" else shape_async
    app = framework()
    app.router.routes += [Route("/refused", guard.require(WRITE)(functools.partial(reached)))]
    for each in (401, 403) if key == "status" else (key,):
        app.add_exception_handler(each, handler)
    guard.install(app)

    by_middleware, by_route = await call(app, "GET", "/refused"), await call(app, "GET", "/refused", token)

    assert by_middleware.json() == {"problem": "A bearer access token is required."}
    assert by_middleware.headers["www-authenticate"] == "Bearer"
    assert by_route.json() == {"problem": BODY["error_description"]}
    assert by_route.headers["www-authenticate"].startswith('Bearer error="insufficient_scope"')
    assert calls == ["/refused", "/refused"]


async def test_a_handler_of_other_errors_is_not_called(guard: CognitoGuard, call: Call, token: str) -> None:
    def never(request: Request, error: Exception) -> Response:
        raise AssertionError

    app = Starlette(
        routes=[Route("/refused", guard.require(WRITE)(functools.partial(reached)))],
        exception_handlers={404: never, ValueError: never, Exception: never, 500: never},
    )
    guard.install(app)

    assert (await call(app, "GET", "/refused")).status_code == 401
    assert (await call(app, "GET", "/refused", token)).json() == BODY


async def test_a_parents_handler_shapes_what_a_sub_app_refuses(guard: CognitoGuard, call: Call, token: str) -> None:
    async def shape(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"problem": error.detail}, error.status_code, error.headers)

    sub = FastAPI()
    sub.router.routes.append(Route("/refused", guard.require(WRITE)(functools.partial(reached))))
    app = Starlette(routes=[Mount("/sub", app=sub)])
    app.add_exception_handler(HTTPException, shape)  # type: ignore[arg-type]
    guard.install(app)

    assert (await call(app, "GET", "/sub/refused")).json() == {"problem": "A bearer access token is required."}
    assert (await call(app, "GET", "/sub/refused", token)).json() == {"problem": BODY["error_description"]}


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("name", NAMES)
async def test_on_error_shapes_every_refusal(
    make_guard: MakeGuard, call: Call, token: str, kind: str, name: str
) -> None:
    def shape(conn: Any, error: RefusalError) -> Response:
        return PlainTextResponse(f"{conn.url.path} {error.reason}", error.status, error.headers)

    async def shape_async(conn: Any, error: RefusalError) -> Response:
        return shape(conn, error)

    guard = make_guard(on_error=shape if kind == "sync" else shape_async)
    app, path = apps_that_refuse(guard)[name]

    assert (await call(app, "GET", path)).text == f"{path} missing_token"
    refused = await call(app, "GET", path, token)
    assert (refused.status_code, refused.text) == (403, f"{path} scope")
    assert refused.headers["www-authenticate"].endswith(f'scope="{WRITE}"')


async def test_on_error_comes_before_a_handler_of_the_app(make_guard: MakeGuard, call: Call, token: str) -> None:
    async def shape(request: Request, error: Exception) -> Response:
        return PlainTextResponse("the app's", 403)

    guard = make_guard(on_error=lambda conn, error: PlainTextResponse("mine", error.status))
    app = Starlette(
        routes=[Route("/refused", guard.require(WRITE)(functools.partial(reached)))],
        exception_handlers={HTTPException: shape},
    )
    guard.install(app)

    assert (await call(app, "GET", "/refused")).text == "mine"
    assert (await call(app, "GET", "/refused", token)).text == "mine"


async def test_the_realm_is_in_every_challenge(make_guard: MakeGuard, call: Call, token: str) -> None:
    app = guarded_app(make_guard(realm="Orders"))

    assert (await call(app, "GET", "/orders")).headers["www-authenticate"] == 'Bearer realm="Orders"'
    refused = await call(app, "GET", "/refused", token)
    assert refused.headers["www-authenticate"].startswith('Bearer realm="Orders", error="insufficient_scope"')


async def test_an_error_of_the_app_stays_the_apps(guard: CognitoGuard, call: Call, token: str) -> None:
    async def broken(request: Request) -> Response:
        raise LookupError("broken")

    app = Starlette(routes=[Route("/broken", broken)])
    guard.install(app)

    assert (await call(app, "GET", "/broken", token, crash=False)).status_code == 500
    with pytest.raises(LookupError):
        await call(app, "GET", "/broken", token)


async def test_a_cleanup_that_fails_after_a_refusal_is_not_hidden(guard: CognitoGuard, token: str) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            await guard.require(WRITE)(conn=request)
        finally:
            raise LookupError("cleanup")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer " + token.encode())]
    with pytest.raises(LookupError):
        await CognitoGuardMiddleware(broken, guard=guard)(
            {"type": "http", "method": "GET", "path": "/", "headers": headers}, no_body, send
        )
    assert sent[0]["status"] == 403


async def test_a_refusal_after_the_response_has_begun_is_the_apps_error(
    guard: CognitoGuard, call: Call, token: str
) -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await guard.require(WRITE)(conn=Request(scope, receive, send))

    with pytest.raises(RefusalError):
        await call(CognitoGuardMiddleware(late, guard=guard), "GET", "/", token)


async def test_an_app_that_handles_nothing_is_answered_for(guard: CognitoGuard, call: Call, token: str) -> None:
    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await guard.require(WRITE)(conn=Request(scope, receive, send))

    assert (await call(CognitoGuardMiddleware(bare, guard=guard), "GET", "/", token)).json() == BODY


async def test_a_refusal_is_final(guard: CognitoGuard, call: Call, token: str) -> None:
    async def swallows(request: Request) -> Response:
        with suppress(RefusalError):
            await guard.require(WRITE)(conn=request)
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", swallows)])
    guard.install(app)

    assert (await call(app, "GET", "/", token)).json() == BODY


@pytest.mark.parametrize("status", [300, 303, 401])
async def test_a_handler_of_the_app_is_called_once_for_a_refusal(
    guard: CognitoGuard, call: Call, token: str, status: int
) -> None:
    """Also if it sends browsers elsewhere."""
    calls = 0

    async def shape(request: Request, error: Exception) -> Response:
        nonlocal calls
        calls += 1
        return PlainTextResponse("shaped", status)

    app = Starlette(
        routes=[Route("/refused", guard.require(WRITE)(functools.partial(reached)))],
        exception_handlers={HTTPException: shape},
    )
    guard.install(app)

    answer = await call(app, "GET", "/refused", token)
    assert (answer.text, answer.status_code, calls) == ("shaped", status, 1)


@pytest.mark.parametrize("in_a_group", [False, True])
async def test_a_handler_of_an_outer_app_answers_what_a_mounted_app_only_passes_on(
    guard: CognitoGuard, call: Call, token: str, in_a_group: bool
) -> None:
    async def shape(request: Request, error: Exception) -> Response:
        return PlainTextResponse("outer", 403)

    async def inner(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = Starlette()
        try:
            await guarded(scope, receive, send)
        except RefusalError as refusal:
            raise (ExceptionGroup("from tasks", [refusal]) if in_a_group else refusal) from None

    guarded = guard.require(WRITE).wrap(raw_app)
    app = Starlette(routes=[Mount("/", app=inner)], exception_handlers={HTTPException: shape})
    guard.install(app)

    assert (await call(app, "GET", "/", token)).text == "outer"


async def test_only_an_on_error_that_is_no_coroutine_runs_in_a_thread(make_guard: MakeGuard, call: Call) -> None:
    threads: list[int] = []

    def shape(conn: Any, error: RefusalError) -> Response:
        threads.append(threading.get_ident())
        return PlainTextResponse("shaped", error.status)

    async def shape_async(conn: Any, error: RefusalError) -> Response:
        return shape(conn, error)

    for on_error in (shape, shape_async):
        app = guarded_app(make_guard(on_error=on_error))
        assert (await call(app, "GET", "/orders")).text == "shaped"

    assert [each == threading.get_ident() for each in threads] == [False, True]


async def test_an_answer_that_ignores_a_refusal_is_dropped_where_the_app_has_a_handler_for_it(
    guard: CognitoGuard, call: Call, token: str
) -> None:
    admin = guard.require(WRITE)(functools.partial(reached))

    async def careless(request: Request) -> Response:
        with suppress(HTTPException):
            await admin(request)
        return PlainTextResponse("all is well")

    async def shape(request: Request, error: HTTPException) -> Response:
        return PlainTextResponse("shaped", error.status_code)

    app = Starlette(routes=[Route("/", careless)])
    app.add_exception_handler(HTTPException, shape)  # type: ignore[arg-type]
    guard.install(app)

    answer = await call(app, "GET", "/", token)
    assert (answer.text, answer.status_code) == ("shaped", 403)


@pytest.mark.parametrize("other", [None, ValueError("of the app")])
async def test_a_refusal_in_a_group_of_errors_is_answered_and_the_others_are_the_apps(
    guard: CognitoGuard, call: Call, token: str, other: Exception | None
) -> None:
    guarded = guard.require(WRITE).wrap(raw_app)

    async def grouping(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await guarded(scope, receive, send)
        except RefusalError as refusal:
            raise ExceptionGroup("from tasks", [refusal, *filter(None, [other])]) from None

    app = CognitoGuardMiddleware(grouping, guard=guard)

    if other is None:
        assert (await call(app, "GET", "/", token)).status_code == 403
    else:
        with pytest.raises(ExceptionGroup) as caught:
            await call(app, "GET", "/", token)
        assert other in caught.value.exceptions


async def test_without_a_handler_the_answer_is_a_json_object(make_guard: MakeGuard, call: Call) -> None:
    """With a realm of its own, so that no answer of another test is remembered."""
    answer = await call(guarded_app(make_guard(realm="of this test")), "GET", "/orders")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {"error": "missing_token", "error_description": "A bearer access token is required."}
    assert answer.headers["www-authenticate"] == 'Bearer realm="of this test"'


async def test_the_app_that_the_scope_names_answers_first(guard: CognitoGuard, call: Call, token: str) -> None:
    async def shape(request: Request, error: Exception) -> Response:
        return PlainTextResponse("shaped", 403)

    named = Starlette(exception_handlers={HTTPException: shape})
    guarded = guard.require(WRITE).wrap(raw_app)

    async def naming(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = named
        await guarded(scope, receive, send)

    assert (await call(CognitoGuardMiddleware(naming, guard=guard), "GET", "/", token)).text == "shaped"
