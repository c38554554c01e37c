"""The line at start: the pools of the guard, and what it guards."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from cognito_guard import ANY_CLIENT, CognitoGuard, UserPool
from cognito_guard.local import LocalClient, LocalPool
from tests.refusals.drill import log_lines

MakeGuard = Callable[..., CognitoGuard]


async def handler(request: Request) -> Response:
    raise AssertionError


async def raw_app(scope: Any, receive: Any, send: Any) -> None: ...


def started(app: Starlette) -> list[str]:
    with log_lines() as lines, TestClient(app):
        return list(lines)


@pytest.fixture
def for_orders(make_guard: MakeGuard, pool: LocalPool, reader: LocalClient) -> CognitoGuard:
    return make_guard(UserPool(pool.pool_id, client_ids={reader.client_id}, resource_servers={"orders"}))


def test_one_line_says_with_what_the_guard_starts(for_orders: CognitoGuard) -> None:
    routes = [
        Route("/a", for_orders.require("order.read")(handler)),
        Route("/b", for_orders.authenticated(handler)),
        Route("/health", for_orders.public(handler)),
        Route("/c", handler),
    ]
    app = Starlette(routes=routes)
    for_orders.install(app)

    lines = [line for line in started(app) if "guarding" in line or "any valid token is accepted" in line]

    assert lines[-1] == (
        "INFO guarding with eu-central-1_AbCdEf123 (1 client, 2 keys, fetched 0 s ago); routes: 2 with a requirement, "
        "1 public, 1 by default for any valid token; found: 1"
    )


def test_an_opaque_path_is_not_a_finding(for_orders: CognitoGuard) -> None:
    app = Starlette(routes=[Mount("/static", app=raw_app)])
    for_orders.install(app, opaque=["/static"])

    assert any("found: nothing" in line for line in started(app))


def test_without_keys_the_line_says_so(make_guard: MakeGuard, pool: LocalPool, fetch: Any) -> None:
    fetch.fail(OSError())
    app = Starlette()
    make_guard(UserPool(pool.pool_id, client_ids=ANY_CLIENT, resource_servers={"orders"})).install(app)

    assert any("guarding with eu-central-1_AbCdEf123 (any client, 0 keys); routes: 0" in line for line in started(app))


def test_the_repr_of_a_guard_shows_pools_and_keys(guard: CognitoGuard) -> None:
    assert repr(guard) == "<CognitoGuard of eu-central-1_AbCdEf123 (2 clients, 0 keys)>"


def test_without_lifespan_the_first_connection_has_the_line_made(for_orders: CognitoGuard) -> None:
    app = Starlette()
    for_orders.install(app)

    with log_lines() as lines:
        TestClient(app).get("/")
        TestClient(app).get("/")

    assert len([line for line in lines if "guarding with" in line]) == 1


OPEN_TO_OTHER_APIS = "WARNING any valid token is accepted for "


def test_routes_for_any_valid_token_of_the_pool_are_warned_of(guard: CognitoGuard) -> None:
    app = Starlette(routes=[Route("/a", guard.authenticated(handler)), Route("/b", guard.user_only(handler))])
    guard.install(app)

    [line] = [line for line in started(app) if line.startswith(OPEN_TO_OTHER_APIS)]
    assert line == (
        f"{OPEN_TO_OTHER_APIS}GET /a and 1 more, also one that was issued for another API of eu-central-1_AbCdEf123: "
        "name this API in UserPool(..., resource_servers={'orders'})"
    )


@pytest.mark.parametrize("what", ["resource_servers", "audience", "scope", "public"])
def test_with_resource_servers_there_is_no_warning(make_guard: MakeGuard, pool: LocalPool, what: str) -> None:
    options: dict[str, Any] = {what: {"orders"}} if what in {"resource_servers", "audience"} else {}
    guard = make_guard(UserPool(pool.pool_id, client_ids={"a"}, **options))
    guarded: dict[str, Any] = {"scope": guard.require("orders/a"), "public": guard.public}
    app = Starlette(routes=[Route("/a", guarded.get(what, guard.authenticated)(handler))])
    guard.install(app)

    assert not [line for line in started(app) if line.startswith(OPEN_TO_OTHER_APIS)]


def test_a_line_that_is_not_written_costs_nothing(for_orders: CognitoGuard, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "cognito_guard")
    app = Starlette()
    for_orders.install(app)

    with TestClient(app):
        assert not caplog.records
