"""Stand-ins inside each other, one after the other, and side by side."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import Fault
from cognito_guard.testing import KeyRing, ManualClock, StandIn, stand_in

READ = "orders/order.read"
DAY = 24 * 60 * 60


def make_guard(pool_id: str = "eu-west-1_AbCdEf123", client_id: str = "7lhlkkfbfb4q5kpp90urffao") -> CognitoGuard:
    return CognitoGuard(UserPool(pool_id, client_ids={client_id}))


async def orders(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("[]")


Status = Callable[[CognitoGuard, dict[str, str]], int]


@pytest.fixture
def status() -> Status:
    """Returns what an app answers that a guard is installed on."""
    clients: dict[CognitoGuard, TestClient] = {}

    def status(guard: CognitoGuard, headers: dict[str, str]) -> int:
        if guard not in clients:
            app = Starlette(routes=[Route("/orders", guard.require(READ)(orders))])
            guard.install(app)
            clients[guard] = TestClient(app)
        return clients[guard].get("/orders", headers=headers).status_code

    return status


# One guard, several blocks


def test_a_block_within_another_shares_its_stand_in(status: Status) -> None:
    guard = make_guard()
    with stand_in(guard) as outer:
        before = outer.headers(READ)
        assert status(guard, before) == 200
        with stand_in(guard) as inner:
            assert inner is outer
            within = inner.headers(READ)
            assert status(guard, before) == status(guard, within) == 200
        assert status(guard, before) == status(guard, within) == 200


def test_a_stand_in_ends_with_the_last_of_its_blocks_in_any_order(status: Status) -> None:
    guard = make_guard()
    first, second = stand_in(guard), stand_in(guard)
    headers = first.__enter__().headers(READ)
    second.__enter__()

    first.__exit__(None, None, None)
    assert status(guard, headers) == 200
    second.__exit__(None, None, None)

    with stand_in(guard, keys=KeyRing()):
        assert status(guard, headers) == 401


def test_a_block_that_fails_ends_its_stand_in() -> None:
    guard = make_guard()
    with pytest.raises(LookupError), stand_in(guard) as one:
        raise LookupError

    with stand_in(guard) as another:
        assert another is not one


def test_an_inner_block_restores_clock_and_faults(status: Status) -> None:
    guard = make_guard()
    with stand_in(guard) as cognito:
        cognito.clock.advance(10)
        cognito.cognito.faults.token = fault = Fault(delay=1)
        shown, headers = cognito.clock.now, cognito.headers(READ)

        with stand_in(guard):
            cognito.clock.advance(2 * DAY)
            cognito.cognito.faults.token = None
            cognito.cognito.faults.jwks = Fault(status=503)
            assert status(guard, cognito.headers(READ)) == 503

        assert cognito.clock.now == shown
        assert cognito.cognito.faults.token is fault
        assert cognito.cognito.faults.jwks is None
        assert status(guard, headers) == 200


def rotate(cognito: StandIn) -> None:
    cognito.drills.rotate()


def withdraw(cognito: StandIn) -> None:
    cognito.drills.rotate()
    cognito.drills.withdraw()


def replace(cognito: StandIn) -> None:
    cognito.cognito.pool.replace(cognito.cognito.pool.keys.access.kid)


@pytest.mark.parametrize("change", [rotate, withdraw, replace])
@pytest.mark.parametrize("ahead", [0, 1])
def test_an_inner_block_restores_keys(status: Status, change: Callable[[StandIn], None], ahead: int) -> None:
    guard = make_guard()
    with stand_in(guard) as cognito:
        headers = [cognito.headers(READ)]
        for _ in range(ahead):
            cognito.drills.rotate()
            headers.append(cognito.headers(READ))
        published, signing = set(cognito.cognito.pool.published), cognito.cognito.pool.keys

        with stand_in(guard):
            change(cognito)
            within = cognito.headers(READ)
            assert status(guard, within) == 200

        assert status(guard, within) == 401
        assert [status(guard, each) for each in [*headers, cognito.headers(READ)]] == [200] * (ahead + 2)
        assert (set(cognito.cognito.pool.published), cognito.cognito.pool.keys) == (published, signing)
        assert cognito.drills.rotations == ahead


@pytest.mark.parametrize("option", [{"clock": ManualClock()}, {"keys": KeyRing()}])
def test_a_block_within_another_cannot_have_a_clock_or_keys_of_its_own(option: dict[str, object]) -> None:
    guard = make_guard()
    with (
        stand_in(guard) as outer,
        pytest.raises(ConfigurationError, match="has a stand-in already"),
        stand_in(guard, **option),  # type: ignore[arg-type]
    ):
        raise AssertionError
    with stand_in(guard) as outer, stand_in(guard, clock=outer.clock, keys=outer.keys) as inner:
        assert inner is outer


# Several guards


def test_a_guard_refuses_tokens_for_a_guard_of_another_pool(status: Status) -> None:
    one, other = make_guard(), make_guard("eu-west-1_GhIjKl456")
    with stand_in(one) as cognito, stand_in(other) as cognito_of_the_other:
        assert status(one, cognito.headers(READ)) == 200
        assert status(other, cognito.headers(READ)) == 401
        assert status(other, cognito_of_the_other.headers(READ)) == 200


def test_pools_have_keys_of_their_own_and_one_pool_has_the_same_at_each_guard() -> None:
    guards = [make_guard(), make_guard(client_id="1another0client00000000000"), make_guard("eu-west-1_GhIjKl456")]
    with stand_in(guards[0]) as one, stand_in(guards[1]) as same, stand_in(guards[2]) as other:
        keys = [each.cognito.pool.keys for each in (one, same, other)]

    assert keys[0] is keys[1]
    assert keys[0] is not keys[2]


def test_two_guards_may_share_one_clock(status: Status) -> None:
    one, other = make_guard(), make_guard("eu-west-1_GhIjKl456")
    with stand_in(one) as cognito, stand_in(other, clock=cognito.clock) as cognito_of_the_other:
        headers = cognito_of_the_other.headers(READ, lifetime=300)
        cognito.clock.advance(299)
        assert status(other, headers) == 200
        cognito.clock.advance(1)
        assert status(other, headers) == 401


def test_a_token_gets_past_two_guards_of_one_pool() -> None:
    outer, inner = make_guard(), make_guard()
    mounted = Starlette(routes=[Route("/orders", inner.require(READ)(orders))])
    inner.install(mounted)
    app = Starlette(routes=[Mount("/shop", mounted)])
    outer.install(app)
    client = TestClient(app)

    with stand_in(outer) as cognito, stand_in(inner):
        assert client.get("/shop/orders", headers=cognito.headers(READ)).status_code == 200
        assert client.get("/shop/orders", headers=cognito.headers("orders/order.write")).status_code == 403


# What it counts


def test_it_counts_the_tokens_it_made_and_notices_those_that_the_guard_judged(status: Status) -> None:
    guard, other = make_guard(), make_guard("eu-west-1_GhIjKl456")
    with stand_in(guard) as cognito, stand_in(other):
        headers, expired = cognito.headers(READ), cognito.headers(READ, lifetime=-1)
        cognito.mint_user("jane", READ, groups=["admins"])
        assert cognito.tokens_made == 3

        status(other, headers)
        status(guard, {"Authorization": "Bearer not.a.token"})
        assert cognito.times_judged == 0
        for each in (headers, headers, expired):
            before = cognito.times_judged
            status(guard, each)
            assert cognito.times_judged > before
        assert cognito.tokens_made == 3


# Without pytest


@pytest.mark.slow
def test_a_stand_in_needs_no_pytest() -> None:
    script = """
import sys
sys.modules["pytest"] = None
from cognito_guard.testing import HOSTILE_TOKENS, assert_no_holes, guard_of, stand_in
from cognito_guard import CognitoGuard, UserPool
with stand_in(CognitoGuard(UserPool("eu-west-1_AbCdEf123", client_ids={"7lhlkkfbfb4q5kpp90urffao"}))) as cognito:
    print(len(cognito.headers("a/b")))
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert printed.stdout.strip() == "1"
