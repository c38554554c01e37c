"""The testing kit for guards that name their API, and for those that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.local import PoolKeys
from cognito_guard.testing import (
    HOSTILE_TOKENS,
    TOKENS_FOR_ANOTHER_API,
    HostileTokens,
    KeyRing,
    StandIn,
    assert_no_holes,
    stand_in,
)
from cognito_guard.testing._double import Double

CLIENT = "7lhlkkfbfb4q5kpp90urffao"
URL = "https://api.example.com"


@pytest.fixture(scope="module")
def keys() -> KeyRing:
    return KeyRing()


def served(guard: CognitoGuard) -> TestClient:
    async def me(request: Request) -> JSONResponse:
        return JSONResponse(sorted(request.user.scopes))

    @guard.require("orders/order.read")
    async def orders(_request: Request) -> JSONResponse:
        return JSONResponse([])

    app = Starlette(routes=[Route("/me", me), Route("/orders", orders)])
    guard.install(app)
    return TestClient(app)


Start = Callable[..., tuple[StandIn, TestClient]]


@pytest.fixture
def start(keys: KeyRing) -> Iterator[Start]:
    """Make a guard of one pool with options, the stand-in for it, and a client of its app."""
    blocks = []

    def start(**options: Any) -> tuple[StandIn, TestClient]:
        guard = CognitoGuard(UserPool("eu-west-1_AbCdEf123", client_ids={CLIENT}, **options))
        blocks.append(stand_in(guard, keys=keys))
        return blocks[-1].__enter__(), served(guard)

    yield start
    for block in reversed(blocks):
        block.__exit__(None, None, None)


NAMED = [
    pytest.param({}, id="no audience"),
    pytest.param({"resource_servers": {"orders"}}, id="a name"),
    pytest.param({"resource_servers": {"orders", URL}}, id="two"),
    pytest.param({"resource_servers": {"orders"}, "audience": URL}, id="a name and an audience"),
    pytest.param({"audience": URL}, id="an audience alone"),
]


@pytest.mark.parametrize("options", NAMED)
@pytest.mark.parametrize("caller", [{}, {"username": "ada"}, {"username": "ada", "groups": ["admins"]}])
def test_a_token_without_scopes_is_for_this_api_and_opens_no_route(
    start: Start, options: dict[str, Any], caller: dict[str, Any]
) -> None:
    standing_in, http = start(**options)

    assert http.get("/me", headers=standing_in.headers(**caller)).status_code == 200
    assert http.get("/orders", headers=standing_in.headers(**caller)).status_code == 403
    assert http.get("/orders", headers=standing_in.headers("orders/order.read", **caller)).status_code == 200


def test_what_a_token_without_scopes_has_is_documented(start: Start) -> None:
    standing_in, http = start(resource_servers={"orders"})

    assert http.get("/me", headers=standing_in.headers()).json() == ["orders/no.such.scope"]


def test_short_scopes_are_those_of_the_only_resource_server(start: Start) -> None:
    standing_in, http = start(resource_servers={"orders"})

    assert http.get("/orders", headers=standing_in.headers("order.read")).status_code == 200
    assert http.get("/me", headers=standing_in.headers("order.read", "openid", "a/b")).json() == [
        "a/b",
        "openid",
        "orders/order.read",
    ]


@pytest.mark.parametrize("options", NAMED)
def test_only_scopes_of_another_api_are_refused_if_this_api_has_a_name(start: Start, options: dict[str, Any]) -> None:
    standing_in, http = start(**options)

    status = 401 if "resource_servers" in options else 200
    assert http.get("/me", headers=standing_in.headers("billing/read")).status_code == status


@pytest.mark.parametrize("options", NAMED)
def test_every_hostile_token_is_refused_for_the_reason_it_states(start: Start, options: dict[str, Any]) -> None:
    standing_in, http = start(**options)

    assert set(HOSTILE_TOKENS) <= set(standing_in.hostile)
    for hostile in standing_in.hostile.values():
        answer = http.get("/me", headers=hostile.headers)
        assert answer.status_code == hostile.status == 401, hostile
        assert answer.json()["error"] == "invalid_token"
        if hostile.reason == "audience":
            assert answer.json()["error_description"] == "The access token is not meant for this API."


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, set()),
        (
            {"resource_servers": {"orders"}},
            {"other_resource_server", "resource_server_lookalike", "signed_in_by_api", "other_audience"},
        ),
        ({"audience": URL}, {"other_audience", "no_audience"}),
    ],
)
def test_tokens_for_another_api_are_hostile_to_guards_that_can_tell(
    start: Start, options: dict[str, Any], names: set[str]
) -> None:
    standing_in, _ = start(**options)

    assert set(standing_in.hostile) - set(HOSTILE_TOKENS) == names <= set(TOKENS_FOR_ANOTHER_API)
    assert all(standing_in.hostile[name].reason == "audience" for name in names)


def test_an_oversized_token_is_longer_than_the_guard_accepts() -> None:
    double = Double(UserPool("eu-west-1_AbCdEf123", client_ids={CLIENT}), PoolKeys(), lambda: 1_800_000_000.0)

    assert len(HostileTokens(double, PoolKeys(), longest=20_000)["oversized"].token) > 20_000
    assert 8192 < len(HostileTokens(double, PoolKeys())["oversized"].token) < 20_000


@pytest.mark.anyio
@pytest.mark.parametrize("requirement", ["groups", "authenticated", "nothing"])
async def test_the_matrix_knows_which_api_a_token_must_be_for(keys: KeyRing, requirement: str) -> None:
    """Routes that name no scope say nothing of the resource server; the guard does."""
    guard = CognitoGuard(UserPool("eu-west-1_AbCdEf123", client_ids={CLIENT}, resource_servers={"orders"}))
    asked = {"groups": guard.require_groups("admins"), "authenticated": guard.authenticated}.get(requirement)

    async def handler(_request: Request) -> JSONResponse:
        return JSONResponse([])

    app = Starlette(routes=[Route("/", handler if asked is None else asked(handler))])
    guard.install(app)

    with stand_in(guard, keys=keys) as standing_in:
        await assert_no_holes(app, standing_in.mint_user)
