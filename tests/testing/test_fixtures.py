"""The fixtures of `cognito_guard.testing`, as a team's tests would use them on an app whose guard is already made."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from cognito_guard import ANY_CLIENT, CognitoGuard, KeyPolicy, UserPool, testing
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import ConfigurationError, KeysUnavailableError
from cognito_guard.events import Event, Refused
from cognito_guard.local import Fault, LocalCognito
from cognito_guard.testing import (
    HOSTILE_TOKENS,
    Caller,
    HostileTokens,
    KeyDrills,
    KeyRing,
    StandIn,
    guard_of,
    stand_in,
)

pytest_plugins = ["cognito_guard.testing"]

CLIENTS = {"7lhlkkfbfb4q5kpp90urffao", "6example0client00000000000"}
READ = "orders/order.read"

events: list[Event] = []
production_guard = CognitoGuard(
    UserPool("eu-west-1_AbCdEf123", client_ids=CLIENTS), key_policy=KeyPolicy(timeout=60), on_event=events.append
)


@production_guard.require(READ)
async def orders(_request: Request) -> JSONResponse:
    return JSONResponse([])


async def me(request: Request) -> JSONResponse:
    user = request.user
    return JSONResponse([user.client_id, user.username, sorted(user.groups), sorted(user.scopes)])


@production_guard.require(READ)
async def feed(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


app = Starlette(routes=[Route("/orders", orders), Route("/me", me), WebSocketRoute("/feed", feed)])
production_guard.install(app)


@pytest.fixture
def guard() -> CognitoGuard:
    return production_guard


@pytest.fixture
def client() -> TestClient:
    return TestClient(app)


Headers = Callable[..., dict[str, str]]
As = Callable[..., Caller]


# Tokens that are accepted


def test_headers_carry_the_scopes_they_are_asked_for(client: TestClient, auth_headers: Headers) -> None:
    assert client.get("/orders", headers=auth_headers(READ)).status_code == 200
    assert client.get("/orders", headers=auth_headers("orders/order.write")).status_code == 403
    assert client.get("/orders", headers=auth_headers()).status_code == 403
    assert client.get("/orders").status_code == 401


def test_a_token_is_of_a_client_that_the_guard_accepts_or_of_the_one_given(
    client: TestClient, auth_headers: Headers
) -> None:
    some = client.get("/me", headers=auth_headers()).json()
    given = client.get("/me", headers=auth_headers(client_id="7lhlkkfbfb4q5kpp90urffao")).json()

    assert some[0] in CLIENTS
    assert given[0] == "7lhlkkfbfb4q5kpp90urffao"
    assert client.get("/me", headers=auth_headers(client_id="somebody else")).status_code == 401


def test_users_have_names_and_groups(client: TestClient, auth_headers: Headers) -> None:
    user = client.get("/me", headers=auth_headers(READ, username="jane", groups=["admins"])).json()

    assert user[1:] == ["jane", ["admins"], [READ]]


def test_machines_are_in_no_groups(auth_headers: Headers) -> None:
    with pytest.raises(ConfigurationError, match="username"):
        auth_headers(groups=["admins"])


@pytest.mark.anyio
@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_caller_works_as_auth_of_async_clients(anyio_backend: str, library: Any, as_: As) -> None:
    caller = as_("6example0client00000000000", scopes=[READ])
    async with library.AsyncClient(
        transport=library.ASGITransport(app), base_url="http://api.example", auth=caller
    ) as http:
        assert (await http.get("/orders")).status_code == 200
        assert (await http.get("/me")).json() == ["6example0client00000000000", None, [], [READ]]


def test_a_caller_gets_a_new_token_for_each_request(
    client: TestClient, as_: As, auth_headers: Headers, cognito_stand_in: StandIn
) -> None:
    caller, once = as_(scopes=[READ]), auth_headers(READ)
    assert client.get("/orders", auth=caller).status_code == 200

    cognito_stand_in.clock.advance(60 * 60)

    assert client.get("/orders", auth=caller).status_code == 200
    assert client.get("/orders", headers=once).status_code == 401


def test_a_caller_has_headers_for_websockets(client: TestClient, as_: As) -> None:
    with client.websocket_connect("/feed", headers=as_(scopes=[READ]).headers) as websocket:
        assert websocket.receive()["type"] == "websocket.close"


def test_a_token_is_good_until_the_second_it_expires(
    client: TestClient, auth_headers: Headers, cognito_stand_in: StandIn
) -> None:
    headers = auth_headers(READ, lifetime=300)

    cognito_stand_in.clock.advance(299)
    assert client.get("/orders", headers=headers).status_code == 200
    cognito_stand_in.clock.advance(1)
    assert client.get("/orders", headers=headers).status_code == 401


def test_the_stand_in_counts_what_the_guard_fetches(
    client: TestClient, auth_headers: Headers, local_cognito: LocalCognito
) -> None:
    for _ in range(3):
        client.get("/orders", headers=auth_headers(READ))

    assert [seen.path for seen in local_cognito.requests] == ["/eu-west-1_AbCdEf123/.well-known/jwks.json"]


def test_nothing_is_carried_over_from_one_block_to_another(client: TestClient) -> None:
    with stand_in(production_guard) as one:
        headers = one.headers(READ)
        assert client.get("/orders", headers=headers).status_code == 200

    assert not production_guard.status()["eu-west-1_AbCdEf123"]["ready"]
    with stand_in(production_guard, keys=KeyRing()):
        assert client.get("/orders", headers=headers).status_code == 401


@pytest.mark.anyio
async def test_a_token_verified_while_a_block_ends_does_not_count_after_it(anyio_backend: str) -> None:
    """A request of another thread may still be on its way."""

    def fetch(url: str, timeout: float) -> bytes:
        raise OSError

    guard = CognitoGuard(pool("eu-west-1_AbCdEf123"), fetch=fetch)
    with stand_in(guard) as one:
        token = one.token(READ)
        on_its_way = internals_of(guard).verifier
    assert await on_its_way.verify(token)

    with pytest.raises(KeysUnavailableError):
        await guard.verify(token)
    await internals_of(guard).verifier.issuers.settle()


# How the guard is set up


def make_app(guard: CognitoGuard) -> TestClient:
    made = Starlette(routes=[Route("/me", me)])
    guard.install(made)
    return TestClient(made)


def pool(pool_id: str, **options: Any) -> UserPool:
    client_ids = options.pop("client_ids", {pool_id[-9:]})
    return UserPool(pool_id, client_ids=client_ids, **options)


def test_each_pool_of_a_guard_has_a_stand_in_and_the_client_decides_which_one_issues() -> None:
    guard = CognitoGuard(pool("eu-west-1_AbCdEf123"), pool("us-east-1_GhIjKl456"))
    http = make_app(guard)

    with stand_in(guard) as standing_in:
        for client_id in ("AbCdEf123", "GhIjKl456"):
            response = http.get("/me", headers=standing_in.headers(client_id=client_id))
            assert response.json()[0] == client_id
        assert [local.pool_id for local in standing_in.cognito.pools] == list(guard.status())


@pytest.mark.parametrize(
    ("options", "client_id"),
    [
        pytest.param({"client_ids": ANY_CLIENT}, "whoever", id="any client"),
        pytest.param(
            {"client_ids": {"orders-api"}, "issuers": ["https://login.example/pool"]}, None, id="ids of another form"
        ),
        pytest.param({"audience": "https://orders.example"}, None, id="an audience"),
        pytest.param({"issuers": ["https://login.example/pool"]}, None, id="an issuer"),
        pytest.param({"issuers": ["http://inside/pool"], "jwks_url": "https://keys.example"}, None, id="a JWKS URL"),
    ],
)
def test_tokens_fit_the_set_up_of_the_guard(options: dict[str, Any], client_id: str | None) -> None:
    guard = CognitoGuard(pool("eu-west-1_AbCdEf123", **options))

    with stand_in(guard) as standing_in:
        response = make_app(guard).get("/me", auth=standing_in.caller(client_id))

    assert response.status_code == 200


def test_all_other_options_of_the_guard_stay_in_force() -> None:
    seen: list[Event] = []
    guard = CognitoGuard(pool("eu-west-1_AbCdEf123"), leeway=5, on_event=seen.append)

    with stand_in(guard) as standing_in:
        http, headers = make_app(guard), standing_in.headers(lifetime=60)
        standing_in.clock.advance(64)
        assert http.get("/me", headers=headers).status_code == 200
        standing_in.clock.advance(1)
        assert http.get("/me", headers=headers).status_code == 401

    assert seen[-1] == Refused(401, "expired", None)


def test_guard_of_returns_the_guard_of_an_app() -> None:
    assert guard_of(app) is production_guard


def test_guard_of_refuses_an_app_without_a_guard() -> None:
    with pytest.raises(ConfigurationError, match="has 0"):
        guard_of(Starlette())


# Hostile tokens


@pytest.mark.parametrize("name", HOSTILE_TOKENS)
def test_a_hostile_token_is_refused_for_the_reason_it_states(
    client: TestClient, hostile_tokens: HostileTokens, name: str
) -> None:
    hostile = hostile_tokens[name]
    response = client.get("/orders", headers=hostile.headers)

    assert response.status_code == hostile.status
    assert events[-1] == Refused(hostile.status, hostile.reason, None)
    assert hostile.token not in repr(hostile)


def test_hostile_tokens_can_be_gone_through(hostile_tokens: HostileTokens) -> None:
    assert tuple(hostile_tokens) == HOSTILE_TOKENS
    assert len(hostile_tokens) == len(HOSTILE_TOKENS)
    with pytest.raises(KeyError):
        hostile_tokens["friendly"]


def test_a_guard_that_accepts_any_client_has_no_wrong_client() -> None:
    with stand_in(CognitoGuard(pool("eu-west-1_AbCdEf123", client_ids=ANY_CLIENT))) as standing_in:
        assert set(HOSTILE_TOKENS) - set(standing_in.hostile) == {"wrong_client"}
        with pytest.raises(KeyError):
            standing_in.hostile["wrong_client"]


# Drills


def test_a_rotation_goes_unnoticed(client: TestClient, key_drills: KeyDrills, as_: As, auth_headers: Headers) -> None:
    before = auth_headers(READ)
    client.get("/orders", headers=before)

    key_drills.rotate()

    assert client.get("/orders", auth=as_(scopes=[READ])).status_code == 200
    assert client.get("/orders", headers=before).status_code == 200


@pytest.mark.anyio
async def test_tokens_of_a_withdrawn_key_are_no_longer_accepted(
    anyio_backend: str, key_drills: KeyDrills, as_: As, auth_headers: Headers
) -> None:
    before = auth_headers(READ, lifetime=24 * 60 * 60)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.example") as http:
        assert (await http.get("/orders", headers=before)).status_code == 200

        key_drills.withdraw()

        assert (await http.get("/orders", headers=before)).status_code == 401
        assert events[-1] == Refused(401, "unknown_key", None)
        assert (await http.get("/orders", auth=as_(scopes=[READ]))).status_code == 200


def test_withdrawal_includes_the_keys_of_earlier_rotations(
    client: TestClient, key_drills: KeyDrills, auth_headers: Headers
) -> None:
    before = auth_headers(READ, lifetime=24 * 60 * 60)
    key_drills.rotate()
    key_drills.rotate()
    assert client.get("/orders", headers=before).status_code == 200

    key_drills.withdraw()

    assert client.get("/orders", headers=before).status_code == 401


def test_an_outage_affects_only_a_guard_without_keys(client: TestClient, key_drills: KeyDrills, as_: As) -> None:
    caller = as_(scopes=[READ])

    with key_drills.outage():
        assert client.get("/orders", auth=caller).status_code == 503
    assert client.get("/orders", auth=caller).status_code == 200
    with key_drills.outage(lasting=KeyPolicy().max_age):
        assert client.get("/orders", auth=caller).status_code == 200
    with key_drills.outage(lasting=KeyPolicy().stale_for):
        assert client.get("/orders", auth=caller).status_code == 503


def test_keys_withdrawn_during_an_outage_stay_in_use(
    client: TestClient, key_drills: KeyDrills, auth_headers: Headers
) -> None:
    before = auth_headers(READ, lifetime=24 * 60 * 60)
    client.get("/orders", headers=before)

    with key_drills.outage():
        key_drills.withdraw()
        assert client.get("/orders", headers=before).status_code == 200


def test_withdrawal_works_during_an_outage_for_a_guard_without_keys(key_drills: KeyDrills, client: TestClient) -> None:
    with key_drills.outage():
        key_drills.withdraw()
        assert client.get("/orders", headers={"Authorization": "Bearer of.no.use"}).status_code == 401


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        pytest.param(Fault(hangs=True), 503, id="hangs"),
        pytest.param(Fault(delay=59.9), 200, id="slow"),
        pytest.param(Fault(delay=60.1), 503, id="too slow"),
        pytest.param(Fault(bad_json=True), 503, id="bad JSON"),
        pytest.param(Fault(status=404), 503, id="not found"),
    ],
)
def test_faults_of_the_key_set_take_no_time(
    client: TestClient, local_cognito: LocalCognito, as_: As, fault: Fault, status: int
) -> None:
    local_cognito.faults.jwks = fault
    started = time.perf_counter()

    assert client.get("/orders", auth=as_(scopes=[READ])).status_code == status
    assert time.perf_counter() - started < 30


@pytest.mark.anyio
async def test_other_callers_of_the_stand_in_do_wait(anyio_backend: str, local_cognito: LocalCognito) -> None:
    local_cognito.faults.token = Fault(delay=0.05)
    started = time.perf_counter()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local_cognito), base_url="http://cognito") as http:
        assert (await http.post("/oauth2/token", data={"grant_type": "none"})).status_code == 400

    assert time.perf_counter() - started >= 0.05


# Names


def test_the_listed_names_are_exactly_those_that_exist() -> None:
    assert all(getattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'KeyChain'"):
        testing.KeyChain  # noqa: B018
