"""One object that decorates any handler and is a FastAPI dependency."""

import functools
import inspect
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any
from unittest.mock import AsyncMock

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from cognito_guard import CognitoGuard, Principal
from cognito_guard.errors import ConfigurationError, NotInstalledError
from cognito_guard.local import LocalClient, LocalPool

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
READ, WRITE = "orders/order.read", "orders/order.write"


class Order(BaseModel):
    item: str


@pytest.fixture
def may_read(pool: LocalPool, reader: LocalClient) -> str:
    return pool.mint(client_id=reader.client_id)


@pytest.fixture
def may_write(pool: LocalPool, writer: LocalClient) -> str:
    return pool.mint(client_id=writer.client_id)


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
async def test_without_the_guard_a_requirement_refuses_everybody(
    guard: CognitoGuard, call: Call, caplog: pytest.LogCaptureFixture, may_write: str, method: str, path: str
) -> None:
    app = Starlette(routes=starlette_routes(guard))

    answer = await call(app, method, path, may_write)

    assert answer.status_code == 500
    assert "reached" not in answer.text
    assert any("guard.install(app)" in record.message for record in caplog.records)


def fastapi_app(guard: CognitoGuard) -> FastAPI:
    """Every shape of path operation, each asking for the scope to write."""
    app = FastAPI()
    writer = guard.require(WRITE)

    @app.get("/coroutine")
    @guard.require(WRITE)
    async def coroutine() -> str:
        return "reached"

    @app.get("/function")
    @guard.require(WRITE)
    def function() -> str:
        return "reached"

    @app.get("/query")
    @guard.require(WRITE)
    async def query(limit: int) -> str:
        return "reached"

    @app.post("/decorated")
    @guard.require(WRITE)
    async def decorated(order: Order) -> str:
        return "reached"

    @app.get("/with-request")
    @guard.require(WRITE)
    async def with_request(request: Request) -> str:
        return "reached"

    @app.get("/partial")
    @guard.require(WRITE)
    async def with_default(item: str = "reached") -> str:
        return item

    @app.post("/depends")
    async def depends(order: Order, caller: Annotated[Principal, Depends(writer)]) -> str:
        return "reached"

    @app.post("/security")
    async def security(order: Order, caller: Annotated[Principal, Security(writer)]) -> str:
        return "reached"

    @app.post("/route", dependencies=[Depends(writer)])
    async def route(order: Order) -> str:
        return "reached"

    def caller_of(caller: Annotated[Principal, Depends(writer)]) -> str:
        return caller.client_id

    @app.post("/nested")
    async def nested(order: Order, client_id: Annotated[str, Depends(caller_of)]) -> str:
        return "reached"

    router = APIRouter(prefix="/router", dependencies=[Depends(writer)])

    @router.post("/included")
    async def included(order: Order) -> str:
        return "reached"

    outer = APIRouter(prefix="/outer")
    outer.include_router(router)
    app.include_router(router)
    app.include_router(outer)

    @app.get("/stream", response_class=StreamingResponse)
    @guard.require(WRITE)
    async def stream() -> AsyncIterator[str]:
        yield "reached"

    @app.get("/sync-stream", response_class=StreamingResponse)
    @guard.require(WRITE)
    def sync_stream() -> Iterator[str]:
        yield "reached"

    return app


GETS = ["/coroutine", "/function", "/query?limit=1", "/with-request", "/partial", "/stream", "/sync-stream"]
POSTS = ["/decorated", "/depends", "/security", "/route", "/nested", "/router/included", "/outer/router/included"]
FASTAPI = [*(("GET", path) for path in GETS), *(("POST", path) for path in POSTS)]


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
async def test_without_the_guard_a_path_operation_refuses_everybody(
    guard: CognitoGuard, call: Call, may_write: str, method: str, path: str
) -> None:
    body = {"json": {"item": "book"}} if method == "POST" else {}

    answer = await call(fastapi_app(guard), method, path, may_write, **body)

    assert answer.status_code == 500
    assert "reached" not in answer.text


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [b"{}", b'{"item": 5}', b"{broken", b"\xff", b""])
async def test_403_beats_422(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, path: str, body: bytes
) -> None:
    app = fastapi_app(guard)
    guard.install(app)
    sent: dict[str, Any] = {"content": body, "headers": {"content-type": "application/json"}}

    assert (await call(app, "POST", path, may_read, **sent)).status_code == 403
    # FastAPI takes bytes that are not even text for a 400.
    assert (await call(app, "POST", path, may_write, **sent)).status_code == (400 if body == b"\xff" else 422)


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
async def test_no_other_dependency_runs_for_a_caller_who_is_refused(
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


async def test_requirements_add_up(guard: CognitoGuard, call: Call, pool: LocalPool, writer: LocalClient) -> None:
    app = FastAPI()
    guard.install(app)
    router = APIRouter(dependencies=[Depends(guard.require("a/router"))])

    @router.get("/x", dependencies=[Depends(guard.require("a/route"))])
    @guard.require("a/outer")
    @guard.require_any("a/inner", "b/inner")
    async def handler(caller: Annotated[Principal, Depends(guard.require("a/parameter"))]) -> str:
        return caller.client_id

    app.include_router(router, dependencies=[Depends(guard.require("a/include"))])
    needed = ["a/router", "a/route", "a/outer", "b/inner", "a/parameter", "a/include"]

    assert (await call(app, "GET", "/x", pool.mint(*needed))).status_code == 200
    for missing in needed:
        answer = await call(app, "GET", "/x", pool.mint(*(scope for scope in needed if scope != missing)))
        assert answer.status_code == 403


async def test_any_of_several_scopes_will_do(
    guard: CognitoGuard, call: Call, pool: LocalPool, writer: LocalClient
) -> None:
    @guard.require_any("a/b", "c/d")
    async def handler(request: Request) -> Response:
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/", pool.mint("a/b"))).status_code == 200
    assert (await call(app, "GET", "/", pool.mint("c/d", "e/f"))).status_code == 200
    refused = await call(app, "GET", "/", pool.mint("a/b2"))
    assert refused.status_code == 403
    assert refused.headers["www-authenticate"].endswith('scope="a/b c/d"')


@pytest.mark.parametrize(
    "granted", ["orders/order.rea", "orders/order.read2", "orders/*", "ORDERS/ORDER.READ", "orders"]
)
async def test_scopes_are_compared_whole(
    guard: CognitoGuard, call: Call, pool: LocalPool, writer: LocalClient, granted: str
) -> None:
    @guard.require(READ)
    async def handler(request: Request) -> Response:
        raise AssertionError

    app = Starlette(routes=[Route("/", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/", pool.mint(granted))).status_code == 403


async def test_groups_are_for_users(guard: CognitoGuard, call: Call, pool: LocalPool, writer: LocalClient) -> None:
    @guard.require_groups("admins", "owners")
    async def handler(request: Request) -> Response:
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/", pool.mint_user("ada", groups=["owners", "staff"]))).status_code == 200
    refused = await call(app, "GET", "/", pool.mint_user("bob", groups=["staff"]))
    assert refused.status_code == 403
    assert "scope=" not in refused.headers["www-authenticate"]
    assert (await call(app, "GET", "/", pool.mint("admins"))).status_code == 403


async def test_a_dependency_gives_the_principal(
    guard: CognitoGuard, call: Call, may_read: str, reader: LocalClient
) -> None:
    app = FastAPI()
    guard.install(app)

    @app.get("/me")
    async def me(request: Request, caller: Annotated[Principal, Depends(guard.authenticated)]) -> dict[str, Any]:
        assert guard.principal(request) is request.user is caller
        return {"client": caller.client_id, "scopes": request.auth.scopes, "name": request.user.display_name}

    answer = await call(app, "GET", "/me", may_read)

    assert answer.json() == {"client": reader.client_id, "scopes": [READ], "name": reader.client_id}


async def test_starlettes_own_requires_works_too(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    @requires(WRITE)
    async def handler(request: Request) -> Response:
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/", may_read)).status_code == 403
    assert (await call(app, "GET", "/", may_write)).status_code == 200


def test_equal_requirements_are_one(make_guard: Callable[..., CognitoGuard]) -> None:
    guard, other = make_guard(), make_guard()

    assert guard.require("a/b", "c/d") == guard.require("c/d", "a/b")
    assert len({guard.require("a/b"), guard.require("a/b")}) == 1
    assert guard.authenticated == guard.authenticated
    distinct = {
        guard.require("a/b", "c/d"),
        guard.require_any("a/b", "c/d"),
        guard.require_groups("a/b", "c/d"),
        guard.require("a/b"),
        guard.authenticated,
        other.require("a/b"),
    }
    assert len(distinct) == 6


@pytest.mark.parametrize("path", ["/decorated", "/depends", "/route", "/nested", "/router/included"])
@pytest.mark.parametrize("body", [{"item": "book"}, {}])
async def test_dependency_overrides_find_the_requirement(
    guard: CognitoGuard, call: Call, may_read: str, path: str, body: dict[str, str]
) -> None:
    app = fastapi_app(guard)
    guard.install(app)
    stand_in = type("StandIn", (), {"client_id": "stand-in"})
    app.dependency_overrides[guard.require(WRITE)] = lambda: stand_in

    assert (await call(app, "POST", path, may_read, json=body)).status_code == (200 if body else 422)


async def test_an_override_may_give_nothing(guard: CognitoGuard, call: Call, may_read: str) -> None:
    app = fastapi_app(guard)
    guard.install(app)
    app.dependency_overrides[guard.require(WRITE)] = lambda: None

    assert (await call(app, "GET", "/coroutine", may_read)).status_code == 200


def test_a_guarded_route_shows_nothing_of_it_in_the_schema(guard: CognitoGuard) -> None:
    operations = {
        (method, path): operation
        for path, item in fastapi_app(guard).openapi()["paths"].items()
        for method, operation in item.items()
    }

    for path in ("/coroutine", "/function", "/with-request", "/stream"):
        operation = operations["get", path]
        assert not operation.keys() & {"parameters", "requestBody"}
        assert "422" not in operation["responses"]
    for path in POSTS:
        schema = operations["post", path]["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Order"}
        assert "parameters" not in operations["post", path]


def test_a_guarded_handler_stays_what_it_was(guard: CognitoGuard) -> None:
    async def list_orders(request: Request) -> Response:
        """List orders."""
        raise AssertionError

    guarded = guard.require(READ)(list_orders)

    assert (guarded.__name__, guarded.__doc__) == ("list_orders", "List orders.")
    assert inspect.iscoroutinefunction(guarded)
    assert inspect.unwrap(guarded) is list_orders


def test_a_handler_may_be_defined_before_fastapi_is_imported() -> None:
    """The signature is only made when FastAPI asks for it."""
    script = """
import sys
from cognito_guard import ANY_CLIENT, CognitoGuard, UserPool
guard = CognitoGuard(UserPool("eu-central-1_AbCdEf123", client_ids=ANY_CLIENT))

@guard.require("a/b")
async def handler(limit: int = 5) -> str: ...

import inspect
assert "fastapi" not in sys.modules
assert list(inspect.signature(handler).parameters) == ["limit"]
from fastapi import FastAPI
app = FastAPI()
app.get("/")(handler)
assert [str(each.call) for each in app.routes[-1].dependant.dependencies] == ["a/b"]
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


async def test_a_direct_call_without_a_request_is_refused(
    guard: CognitoGuard, caplog: pytest.LogCaptureFixture
) -> None:
    @guard.require(READ)
    async def handler(order_id: str) -> str:
        raise AssertionError

    with pytest.raises(NotInstalledError):
        await handler("5")
    assert "handler was called without a request" in caplog.text


async def test_a_requirement_judges_at_once_and_not_when_awaited(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    async def handler(request: Request) -> Response:
        requirement = guard.require(WRITE)
        judged = requirement(conn=request)
        also_judged = inspect.unwrap(requirement)(conn=request)
        assert await judged == await also_judged
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/", may_read)).status_code == 403
    assert (await call(app, "GET", "/", may_write)).status_code == 200


@pytest.mark.parametrize("name", ["require", "require_any", "require_groups"])
def test_a_requirement_of_nothing_is_a_mistake(guard: CognitoGuard, name: str) -> None:
    with pytest.raises(ConfigurationError):
        getattr(guard, name)()


@pytest.mark.parametrize("name", ["require", "require_any"])
@pytest.mark.parametrize("scope", ["", "a b", " a", None, ["a/b"], lambda: None])
def test_what_is_not_a_scope_is_a_mistake(guard: CognitoGuard, name: str, scope: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a scope"):
        getattr(guard, name)("good/scope", scope)


@pytest.mark.parametrize("group", ["", " ", None, ["admins"]])
def test_what_is_not_a_group_is_a_mistake(guard: CognitoGuard, group: Any) -> None:
    with pytest.raises(ConfigurationError, match="names of groups"):
        guard.require_groups(group)


@pytest.mark.parametrize("handler", [None, "handler", 5])
def test_what_can_not_be_called_can_not_be_decorated(guard: CognitoGuard, handler: Any) -> None:
    with pytest.raises(ConfigurationError, match="decorates a handler"):
        guard.authenticated(handler)


def test_a_class_that_is_no_endpoint_can_not_be_decorated(guard: CognitoGuard) -> None:
    class Orders:
        pass

    with pytest.raises(ConfigurationError, match="not an endpoint class"):
        guard.authenticated(Orders)


def test_public_and_a_requirement_exclude_each_other(guard: CognitoGuard) -> None:
    async def handler(request: Request) -> None: ...

    with pytest.raises(ConfigurationError, match="can not be public"):
        guard.public(guard.require(READ)(handler))

    with pytest.raises(ConfigurationError, match="can not be public"):
        guard.require(READ)(functools.partial(guard.public(handler)))


def test_what_can_not_carry_a_mark_is_refused_with_a_hint(guard: CognitoGuard) -> None:
    class Service:
        async def bound(self, request: Request) -> None: ...

    with pytest.raises(ConfigurationError, match="public_paths"):
        guard.public(Service().bound)


def test_requirements_read_as_sentences(guard: CognitoGuard) -> None:
    assert str(guard.require("c/d", "a/b")) == "a/b and c/d"
    assert str(guard.require_any("c/d", "a/b")) == "a/b or c/d"
    assert str(guard.require_groups("staff", "admins")) == "group admins or staff"
    assert str(guard.authenticated) == "any valid token"


async def test_a_websocket_handler_is_guarded(guard: CognitoGuard, may_read: str, may_write: str) -> None:
    reached = []

    @guard.require(WRITE)
    async def feed(websocket: WebSocket) -> None:
        reached.append("function")
        await websocket.accept()

    @guard.require(WRITE)
    class Feed(WebSocketEndpoint):
        async def on_connect(self, websocket: WebSocket) -> None:
            reached.append("class")
            await websocket.accept()

    app = Starlette(routes=[WebSocketRoute("/function", feed), WebSocketRoute("/class", Feed)])
    guard.install(app)

    async def first_message(path: str, token: str | None) -> Any:
        sent: list[Any] = []
        incoming = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

        async def receive() -> Any:
            return next(incoming)

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
        await app({"type": "websocket", "path": path, "headers": headers, "query_string": b""}, receive, send)
        return sent[0]

    for path in ("/function", "/class"):
        assert (await first_message(path, None))["code"] == 3000
        assert (await first_message(path, may_read))["code"] == 3003
        assert reached == [] or path == "/class"
        assert (await first_message(path, may_write))["type"] == "websocket.accept"
    assert reached == ["function", "class"]


async def test_a_log_line_says_who_lacked_what(
    guard: CognitoGuard, call: Call, may_read: str, reader: LocalClient, caplog: pytest.LogCaptureFixture
) -> None:
    app = fastapi_app(guard)
    guard.install(app)
    caplog.set_level(logging.INFO, "cognito_guard")

    await call(app, "GET", "/coroutine", may_read)

    [line] = [record for record in caplog.records if "refused" in record.message]
    assert line.message == f"refused with 403: scope (client {reader.client_id})"
    fields = vars(line)
    assert (fields["status"], fields["reason"], fields["client_id"]) == (403, "scope", reader.client_id)


async def test_json_response_of_a_guarded_route_is_untouched(guard: CognitoGuard, call: Call, may_write: str) -> None:
    @guard.require(WRITE)
    async def handler(request: Request) -> Response:
        return JSONResponse({"orders": []}, headers={"x-total": "0"})

    app = Starlette(routes=[Route("/", handler)])
    guard.install(app)

    answer = await call(app, "GET", "/", may_write)

    assert (answer.json(), answer.headers["x-total"]) == ({"orders": []}, "0")
