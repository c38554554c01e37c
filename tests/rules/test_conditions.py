"""Conditions beyond scopes: who calls, groups, and what an app wants to know itself."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Route

from cognito_guard import CognitoGuard, Principal, UserPool, audit
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalClient, LocalPool
from tests.requests.apps import READ, WRITE, reached
from tests.requests.recording import Recorder

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]


def own_tenant(principal: Principal, conn: Any) -> bool:
    return bool(conn.path_params["tenant"] == principal.claims.get("custom:tenant"))


def minted(pool: LocalPool, client: LocalClient, tenant: str) -> str:
    claims: dict[str, Any] = {"custom:tenant": tenant}
    return pool.mint(client_id=client.client_id, **claims)


@pytest.fixture
def of_tenant(pool: LocalPool, reader: LocalClient) -> Callable[[str], str]:
    return lambda tenant: minted(pool, reader, tenant)


@pytest.mark.parametrize("how", ["starlette", "decorator", "depends", "router"])
async def test_a_predicate_sees_the_caller_and_the_path(
    guard: CognitoGuard, call: Call, record: Recorder, of_tenant: Callable[[str], str], how: str
) -> None:
    requirement = guard.require_that(own_tenant, "tenant of the path")
    app: Any
    if how == "starlette":
        app = Starlette(routes=[Route("/{tenant}/orders", requirement(record.handler("orders")))])
    else:
        app = FastAPI(openapi_url=None)
        router = APIRouter(dependencies=[Depends(requirement)] if how == "router" else [])
        handler = record.operation("orders")
        router.get("/{tenant}/orders", dependencies=[Depends(requirement)] if how == "depends" else [])(
            requirement(handler) if how == "decorator" else handler
        )
        app.include_router(router)
    guard.install(app)

    assert (await call(app, "GET", "/acme/orders", of_tenant("acme"))).status_code == 200
    assert record.take() == ["orders"]
    refused = await call(app, "GET", "/acme/orders", of_tenant("other"))
    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")
    assert "scope=" not in refused.headers["www-authenticate"]
    assert (await call(app, "GET", "/acme/orders")).status_code == 401
    assert record.take() == []
    assert [route.requirement for route in audit.routes(app)] == ["tenant of the path"]


@pytest.mark.parametrize("answer", [1, "yes", None, object(), False, [True]])
async def test_only_true_passes(guard: CognitoGuard, call: Call, may_read: str, answer: Any) -> None:
    app = Starlette(routes=[Route("/", guard.require_that(lambda _principal, _conn: answer, "x")(reached))])
    guard.install(app)

    assert (await call(app, "GET", "/", may_read)).status_code == 403


async def test_a_predicate_that_raises_refuses_and_is_logged(
    guard: CognitoGuard, call: Call, may_read: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_principal: Principal, _conn: Any) -> bool:
        raise LookupError("no such tenant")

    app = Starlette(routes=[Route("/", guard.require_that(broken, "tenant")(reached))])
    guard.install(app)

    assert (await call(app, "GET", "/", may_read)).status_code == 403
    logged = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "'tenant' raised" in logged[0].getMessage()
    assert logged[0].exc_info
    assert logged[0].exc_info[0] is LookupError


async def coroutine(_principal: Principal, _conn: Any) -> bool:
    raise AssertionError


class Asynchronous:
    async def __call__(self, _principal: Principal, _conn: Any) -> bool:
        raise AssertionError


@pytest.mark.parametrize("predicate", [coroutine, Asynchronous(), None, "predicate"])
def test_an_asynchronous_predicate_is_a_mistake(guard: CognitoGuard, predicate: Any) -> None:
    with pytest.raises(ConfigurationError, match="plain function"):
        guard.require_that(predicate, "label")


@pytest.mark.parametrize("label", ["", "  ", None, "two\nlines"])
def test_a_condition_has_a_name(guard: CognitoGuard, label: Any) -> None:
    with pytest.raises(ConfigurationError, match="label"):
        guard.require_that(own_tenant, label)


async def test_the_same_function_and_label_are_the_same_requirement(
    make_guard: MakeGuard, call: Call, of_tenant: Callable[[str], str]
) -> None:
    guard = make_guard()
    one, other = guard.require_that(own_tenant, "tenant"), guard.require_that(own_tenant, "tenant")
    app = FastAPI(openapi_url=None)
    app.get("/{tenant}")(one(Recorder().operation("x")))
    app.dependency_overrides[other] = lambda: None
    guard.install(app)

    assert (one, hash(one)) == (other, hash(other))
    assert one != guard.require_that(own_tenant, "another")
    assert one != make_guard().require_that(own_tenant, "tenant")
    assert (await call(app, "GET", "/acme", of_tenant("other"))).status_code == 200


async def test_machines_and_users_are_told_apart(
    guard: CognitoGuard, call: Call, pool: LocalPool, reader: LocalClient, may_read: str
) -> None:
    app = Starlette(routes=[Route("/machines", guard.machine_only(reached)), Route("/users", guard.user_only(reached))])
    guard.install(app)
    user = pool.mint_user("ada", READ, client_id=reader.client_id)
    neither = pool.mint(client_id=reader.client_id, sub=None)

    statuses = {
        path: [(await call(app, "GET", path, token)).status_code for token in (may_read, user, neither, None)]
        for path in ("/machines", "/users")
    }
    assert statuses == {"/machines": [200, 403, 403, 401], "/users": [403, 200, 403, 401]}
    assert [route.requirement for route in audit.routes(app)] == ["machines only", "users only"]


async def test_is_met_by_does_not_refuse(
    guard: CognitoGuard, call: Call, pool: LocalPool, reader: LocalClient, may_read: str
) -> None:
    asked: dict[str, bool] = {}

    async def handler(request: HTTPConnection) -> Any:
        caller = guard.principal(request)
        asked["read"] = guard.require(READ).is_met_by(caller)
        asked["write"] = guard.require(WRITE).is_met_by(caller)
        asked["any"] = guard.require_any(READ, WRITE).is_met_by(caller)
        asked["tenant"] = guard.require_that(own_tenant, "tenant").is_met_by(caller, request)
        asked["tenant without a request"] = guard.require_that(own_tenant, "tenant").is_met_by(caller)
        asked["nobody"] = guard.authenticated.is_met_by(None)
        return await reached(request)  # type: ignore[arg-type]

    app = Starlette(routes=[Route("/{tenant}", handler)])
    guard.install(app)

    token = minted(pool, reader, "acme")
    assert (await call(app, "GET", "/acme", token)).status_code == 200
    assert asked == {
        "read": True,
        "write": False,
        "any": True,
        "tenant": True,
        "tenant without a request": False,
        "nobody": False,
    }


async def test_a_short_scope_is_shown_and_asked_for_in_full(
    make_guard: MakeGuard, call: Call, pool: LocalPool, reader: LocalClient, may_read: str
) -> None:
    guard = make_guard(UserPool(pool.pool_id, client_ids={reader.client_id}, resource_servers={"orders"}))
    app = FastAPI()
    app.get("/read")(guard.require("order.read")(Recorder().operation("x")))
    app.get("/write")(guard.require_any("order.write", "openid")(Recorder().operation("x")))
    guard.install(app)

    assert (await call(app, "GET", "/read", may_read)).status_code == 200
    refused = await call(app, "GET", "/write", may_read)
    assert 'scope="openid orders/order.write"' in refused.headers["www-authenticate"]
    assert guard.require("order.read") == guard.require(READ)
    assert {route.path: route.requirement for route in audit.routes(app)}["/write"] == "openid or orders/order.write"
    assert app.openapi()["paths"]["/read"]["get"]["security"] == [{"bearer": [READ]}]


def test_without_one_resource_server_a_short_scope_is_a_mistake(make_guard: MakeGuard) -> None:
    two = {"orders", "billing"}
    for servers in (None, two):
        guard = make_guard(UserPool("eu-central-1_AbCdEf123", client_ids={"c1"}, resource_servers=servers))
        with pytest.raises(ConfigurationError, match="short scope"):
            guard.require("order.read")


async def test_a_token_for_another_api_opens_no_route(make_guard: MakeGuard, call: Call, pool: LocalPool) -> None:
    pool.add_resource_server("billing", {"read": "Read bills"})
    client = pool.add_client(name="both", scopes=["billing/read", READ])
    guard = make_guard(UserPool(pool.pool_id, client_ids={client.client_id}, resource_servers={"orders"}))
    app = Starlette(routes=[Route("/default", reached), Route("/any", guard.authenticated(reached))])
    guard.install(app)

    for path in ("/default", "/any", "/unknown"):
        refused = await call(app, "GET", path, pool.mint("billing/read", client_id=client.client_id))
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")
    assert (await call(app, "GET", "/any", pool.mint(READ, client_id=client.client_id))).status_code == 200


def anyone(*_: object) -> bool:
    raise AssertionError


@pytest.mark.parametrize(
    ("name", "arguments", "data", "words", "reason"),
    [
        ("require", ("a/b", "c/d"), {"scopes": [["a/b", "c/d"]]}, "a/b and c/d", "scope"),
        ("require_any", ("a/b", "c/d"), {"scopes": [["a/b"], ["c/d"]]}, "a/b or c/d", "scope"),
        ("authenticated", None, {"scopes": [[]]}, "any valid token", "scope"),
        ("require_groups", ("b", "a"), {"groups": ["a", "b"]}, "group a or b", "group"),
        ("machine_only", None, {"caller": "machine"}, "machines only", "caller"),
        ("user_only", None, {"caller": "user"}, "users only", "caller"),
        ("require_that", (anyone, "may ship"), {"condition": "may ship"}, "may ship", "condition"),
    ],
)
def test_a_condition_is_a_value_with_a_name(
    guard: CognitoGuard, name: str, arguments: tuple[Any, ...] | None, data: Any, words: str, reason: str
) -> None:
    def requirement() -> Any:
        found = getattr(guard, name)
        return found if arguments is None else found(*arguments)

    condition = requirement().condition

    assert (condition.as_data(), str(condition), condition.reason) == (data, words, reason)
    assert condition.needs_request is (name == "require_that")
    assert (condition == requirement().condition, hash(condition)) == (True, hash(requirement().condition))
    assert not hasattr(condition, "__dict__")
    with pytest.raises(FrozenInstanceError):
        setattr(condition, fields(condition)[0].name, None)
