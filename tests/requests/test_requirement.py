"""One object that decorates any handler and is a FastAPI dependency."""

import functools
import inspect
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from unittest.mock import MagicMock

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.security import SecurityScopes
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.endpoints import WebSocketEndpoint
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from cognito_guard import CognitoGuard, Principal, UserPool
from cognito_guard._rules.requirement import Requirement
from cognito_guard.errors import ConfigurationError, NotInstalledError
from cognito_guard.local import LocalClient, LocalPool
from tests.requests.apps import READ, WRITE, websocket_messages
from tests.requests.operations import POSTS, fastapi_app

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


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


async def test_any_of_several_scopes_is_enough(
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


def test_a_guarded_route_adds_nothing_to_the_schema(guard: CognitoGuard) -> None:
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


def test_a_guarded_handler_keeps_its_attributes(guard: CognitoGuard) -> None:
    async def list_orders(request: Request) -> Response:
        """List orders."""
        raise AssertionError

    guarded = guard.require(READ)(list_orders)

    assert (guarded.__name__, guarded.__doc__) == ("list_orders", "List orders.")
    assert inspect.iscoroutinefunction(guarded)
    assert inspect.unwrap(guarded) is list_orders


@pytest.mark.slow
def test_a_handler_may_be_defined_before_fastapi_is_imported() -> None:
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
guard.install(app)
from cognito_guard import audit
assert [route.requirement for route in audit.routes(app)][-1] == "a/b"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


async def test_a_direct_call_without_a_request_is_refused(
    guard: CognitoGuard, caplog: pytest.LogCaptureFixture
) -> None:
    @guard.require(READ)
    async def handler(order_id: str) -> str:
        return "the handler by itself"

    with pytest.raises(NotInstalledError):
        await handler("5")
    assert "handler was called outside of a request" in caplog.text
    assert await inspect.unwrap(handler)("5") == "the handler by itself"


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
@pytest.mark.parametrize("scope", ["", "a b", " a", None, ["a/b"], 5])
def test_an_invalid_scope_is_a_mistake(guard: CognitoGuard, name: str, scope: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a scope"):
        getattr(guard, name)("good/scope", scope)


@pytest.mark.parametrize("group", ["", " ", None, ["admins"]])
def test_an_invalid_group_is_a_mistake(guard: CognitoGuard, group: Any) -> None:
    with pytest.raises(ConfigurationError, match="names of groups"):
        guard.require_groups(group)


@pytest.mark.parametrize("handler", ["handler", 5])
def test_an_object_that_cannot_be_called_cannot_be_decorated(guard: CognitoGuard, handler: Any) -> None:
    with pytest.raises(ConfigurationError, match="decorates a handler"):
        guard.authenticated(handler)


def test_a_class_that_is_not_an_endpoint_cannot_be_decorated(guard: CognitoGuard) -> None:
    class Orders:
        pass

    with pytest.raises(ConfigurationError, match="not an endpoint class"):
        guard.authenticated(Orders)


def test_public_and_a_requirement_exclude_each_other(guard: CognitoGuard) -> None:
    async def handler(request: Request) -> None: ...

    with pytest.raises(ConfigurationError, match="cannot be public"):
        guard.public(guard.require(READ)(handler))

    with pytest.raises(ConfigurationError, match="cannot be public"):
        guard.require(READ)(guard.public(handler))


def test_an_object_that_cannot_carry_a_mark_is_refused_with_a_hint(guard: CognitoGuard) -> None:
    class Service:
        __slots__ = ()

        async def __call__(self, request: Request) -> None: ...

    with pytest.raises(ConfigurationError, match="public_paths"):
        guard.public(Service())


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

    for path in ("/function", "/class"):
        assert (await websocket_messages(app, path))[0]["code"] == 3000
        assert (await websocket_messages(app, path, may_read))[0]["code"] == 3003
        assert reached == [] or path == "/class"
        assert (await websocket_messages(app, path, may_write))[0]["type"] == "websocket.accept"
    assert reached == ["function", "class"]


async def test_a_log_line_names_the_caller_and_the_missing_scope(
    guard: CognitoGuard, call: Call, may_read: str, reader: LocalClient, caplog: pytest.LogCaptureFixture
) -> None:
    app = fastapi_app(guard)
    guard.install(app)
    caplog.set_level(logging.INFO, "cognito_guard")

    await call(app, "GET", "/coroutine", may_read)

    [line] = [record for record in caplog.records if "refused" in record.message]
    assert line.message.startswith(
        f"GET /coroutine refused 403 scope: the token of client {reader.client_id} grants orders/order.read, needed is "
    )
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


async def ignored(scope: Any, receive: Any, send: Any) -> None:
    """Not called."""


@pytest.mark.parametrize("handler", [ignored, functools.partial(ignored), functools.partial(ignored, send=None)])
def test_a_function_is_a_handler_whatever_its_parameters_are_called(guard: CognitoGuard, handler: Any) -> None:
    guarded: Any = guard.require(WRITE)(handler)

    assert inspect.iscoroutinefunction(guarded)
    assert guarded.__name__ == "ignored"


async def test_an_object_whose_call_is_a_coroutine_is_guarded_as_one(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    class Orders:
        async def __call__(self, request: Request) -> Response:
            return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", guard.require(WRITE)(Orders()))])
    guard.install(app)

    assert (await call(app, "GET", "/", may_write)).text == "reached"
    assert (await call(app, "GET", "/", may_read)).status_code == 403


@pytest.mark.parametrize("scopes", [[], [READ], [WRITE], [READ, WRITE]])
async def test_a_dependency_that_is_called_by_hand_judges_the_scopes_of_security(
    guard: CognitoGuard, call: Call, may_read: str, scopes: list[str]
) -> None:
    async def handler(request: Request) -> Response:
        dependency: Any = guard.authenticated
        principal = await dependency(conn=request, security_scopes=SecurityScopes(scopes))
        return PlainTextResponse(principal.client_id)

    app = Starlette(routes=[Route("/", handler)])
    guard.install(app)

    answer = await call(app, "GET", "/", may_read)
    assert answer.status_code == (403 if WRITE in scopes else 200)


def test_a_requirement_that_is_called_without_a_handler_is_a_mistake(guard: CognitoGuard) -> None:
    with pytest.raises(ConfigurationError, match="leave out the parentheses"):
        guard.require(READ)()  # type: ignore[call-overload]


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
async def test_a_requirement_counts_above_what_makes_a_method_static(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, kind: Any
) -> None:
    async def answer(*args: Any) -> Response:
        return PlainTextResponse("reached")

    class Service:
        method = guard.require(WRITE)(kind(answer))

    app = Starlette(routes=[Route("/", Service().method)])
    guard.install(app)

    assert (await call(app, "GET", "/", may_write)).text == "reached"
    assert (await call(app, "GET", "/", may_read)).status_code == 403


async def test_a_condition_is_always_asked_with_the_request(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    asked: list[object] = []

    def may(principal: Principal, conn: Any) -> bool:
        asked.append(conn and conn.url.path)
        return WRITE in principal.scopes

    @guard.require_that(may, "may write")
    async def handler(request: Request) -> Response:
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/x", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/x", may_write)).text == "reached"
    assert (await call(app, "GET", "/x", may_read)).status_code == 403
    assert set(asked) == {"/x"}


async def test_request_auth_names_the_scopes_of_each_token(
    guard: CognitoGuard, call: Call, pool: LocalPool, reader: LocalClient
) -> None:
    async def handler(request: Request) -> Response:
        return JSONResponse(request.auth.scopes)

    app = Starlette(routes=[Route("/", handler)])
    guard.install(app)

    for _ in range(2):
        assert (await call(app, "GET", "/", pool.mint("orders/of.this.test"))).json() == ["orders/of.this.test"]


def test_a_requirement_of_what_is_no_guard_decorates_nothing() -> None:
    requirement = Requirement(MagicMock())

    with pytest.raises(ConfigurationError, match="belongs to a CognitoGuard"):
        requirement(lambda request: "reached")


def test_a_subclass_of_the_guard_may_decorate_before_it_is_ready(user_pool: UserPool) -> None:
    class Own(CognitoGuard):
        def __init__(self) -> None:
            self.handler = Requirement(self)(lambda request: "reached")
            super().__init__(user_pool)

    with pytest.raises(NotInstalledError):
        Own().handler(None)
