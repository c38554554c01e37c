"""Every shape of handler can be guarded, and 403 comes before everything but 401."""

import functools
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from unittest.mock import AsyncMock

import httpx
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cognito_guard import CognitoGuard
from tests.requests.apps import READ, WRITE
from tests.requests.operations import FASTAPI, POSTS, fastapi_app

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


def starlette_routes(guard: CognitoGuard) -> list[Route]:
    """Every shape of handler that Starlette takes, each asking for the scope to write."""

    @guard.require(WRITE)
    async def coroutine(request: Request) -> Response:
        return PlainTextResponse("reached")

    @guard.require(WRITE)
    def function(request: Request) -> Response:
        return PlainTextResponse("reached")

    @guard.require(WRITE)
    async def renamed(conn: Request) -> Response:
        return PlainTextResponse("reached")

    async def with_extra(request: Request, extra: str) -> Response:
        return PlainTextResponse(extra)

    def sync_with_extra(request: Request, extra: str) -> Response:
        return PlainTextResponse(extra)

    class Methods(HTTPEndpoint):
        @guard.require(WRITE)
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("reached")

        @guard.require(WRITE)
        def post(self, request: Request) -> Response:
            return PlainTextResponse("reached")

    @guard.require(WRITE)
    class Whole(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("reached")

    class Service:
        @guard.require(WRITE)
        async def bound(self, request: Request) -> Response:
            return PlainTextResponse("reached")

    def other_decorator(handler: Any) -> Any:
        @functools.wraps(handler)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            return await handler(*args, **kwargs)

        return wrapper

    @guard.require(READ)
    @other_decorator
    @guard.require(WRITE)
    async def stacked(request: Request) -> Response:
        return PlainTextResponse("reached")

    return [
        Route("/coroutine", coroutine),
        Route("/function", function),
        Route("/renamed", renamed),
        Route("/partial", guard.require(WRITE)(functools.partial(with_extra, extra="reached"))),
        Route("/sync-partial", guard.require(WRITE)(functools.partial(sync_with_extra, extra="reached"))),
        Route("/partial-of-guarded", functools.partial(guard.require(WRITE)(with_extra), extra="reached")),
        Route("/methods", Methods),
        Route("/whole", Whole),
        Route("/bound", Service().bound),
        Route("/stacked", stacked),
    ]


STARLETTE = [
    ("GET", "/coroutine"),
    ("HEAD", "/coroutine"),
    ("GET", "/function"),
    ("GET", "/renamed"),
    ("GET", "/partial"),
    ("GET", "/sync-partial"),
    ("GET", "/partial-of-guarded"),
    ("GET", "/methods"),
    ("HEAD", "/methods"),
    ("POST", "/methods"),
    ("GET", "/whole"),
    ("GET", "/bound"),
    ("GET", "/stacked"),
]


@pytest.mark.parametrize(("method", "path"), STARLETTE)
async def test_every_starlette_handler_can_be_guarded(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, method: str, path: str
) -> None:
    app = Starlette(routes=starlette_routes(guard))
    guard.install(app)

    assert (await call(app, method, path)).status_code == 401
    assert (await call(app, method, path, may_read)).status_code == 403
    reached = await call(app, method, path, may_write)
    assert (reached.status_code, reached.text) == (200, "" if method == "HEAD" else "reached")


@pytest.mark.parametrize(("method", "path"), STARLETTE)
async def test_without_the_guard_a_requirement_refuses_everyone(
    guard: CognitoGuard, call: Call, caplog: pytest.LogCaptureFixture, may_write: str, method: str, path: str
) -> None:
    app = Starlette(routes=starlette_routes(guard))

    answer = await call(app, method, path, may_write)

    assert answer.status_code == 500
    assert "reached" not in answer.text
    assert any("guard.install(app)" in record.message for record in caplog.records)


@pytest.mark.parametrize(("method", "path"), FASTAPI)
async def test_every_path_operation_can_be_guarded(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, method: str, path: str
) -> None:
    app = fastapi_app(guard)
    guard.install(app)
    body = {"json": {"item": "book"}} if method == "POST" else {}

    assert (await call(app, method, path, **body)).status_code == 401
    assert (await call(app, method, path, may_read, **body)).status_code == 403
    reached = await call(app, method, path, may_write, **body)
    assert (reached.status_code, reached.text.strip('"')) == (200, "reached")


@pytest.mark.parametrize(("method", "path"), FASTAPI)
async def test_without_the_guard_a_path_operation_refuses_everyone(
    guard: CognitoGuard, call: Call, may_write: str, method: str, path: str
) -> None:
    body = {"json": {"item": "book"}} if method == "POST" else {}

    answer = await call(fastapi_app(guard), method, path, may_write, **body)

    assert answer.status_code == 500
    assert "reached" not in answer.text


@pytest.mark.parametrize("path", POSTS)
async def test_403_beats_422(guard: CognitoGuard, call: Call, may_read: str, may_write: str, path: str) -> None:
    app = fastapi_app(guard)
    guard.install(app)

    for body in (b"{}", b'{"item": 5}', b"{broken", b"\xff", b""):
        sent: dict[str, Any] = {"content": body, "headers": {"content-type": "application/json"}}
        assert (await call(app, "POST", path, may_read, **sent)).status_code == 403, body
        # FastAPI takes bytes that are not even text for a 400.
        assert (await call(app, "POST", path, may_write, **sent)).status_code == (400 if body == b"\xff" else 422), body


async def test_403_beats_a_wrong_query(guard: CognitoGuard, call: Call, may_read: str, may_write: str) -> None:
    app = fastapi_app(guard)
    guard.install(app)

    assert (await call(app, "GET", "/query?limit=many", may_read)).status_code == 403
    assert (await call(app, "GET", "/query?limit=many", may_write)).status_code == 422


@pytest.mark.parametrize("path", POSTS)
async def test_the_body_of_a_refused_request_is_not_read(guard: CognitoGuard, may_read: str, path: str) -> None:
    app = fastapi_app(guard)
    guard.install(app)
    receive = AsyncMock(return_value={"type": "http.request", "body": b"{}", "more_body": False})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [
        (b"authorization", b"Bearer " + may_read.encode()),
        (b"content-type", b"application/json"),
        (b"content-length", b"999"),
    ]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers, "query_string": b"", "root_path": ""}
    await app(scope, receive, send)

    assert sent[0]["status"] == 403
    receive.assert_not_awaited()


@pytest.mark.parametrize("form", ["decorator", "dependency"])
async def test_no_other_dependency_runs_for_a_refused_caller(
    guard: CognitoGuard, call: Call, may_read: str, form: str
) -> None:
    app = FastAPI()
    guard.install(app)

    def order_or_404() -> None:
        raise AssertionError

    if form == "decorator":

        @app.get("/orders/{order_id}")
        @guard.require(WRITE)
        async def decorated(order_id: str, order: Annotated[None, Depends(order_or_404)]) -> None: ...

    else:

        @app.get("/orders/{order_id}", dependencies=[Depends(guard.require(WRITE))])
        async def depending(order_id: str, order: Annotated[None, Depends(order_or_404)]) -> None: ...

    assert (await call(app, "GET", "/orders/1", may_read)).status_code == 403
