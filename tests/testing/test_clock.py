"""The clock of the testing kit, and the guard's own, under freezegun and time-machine."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeAlias
from unittest import mock

import pytest
import time_machine
from freezegun import freeze_time
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.local import LocalPool, PoolKeys
from cognito_guard.testing import ManualClock, stand_in

PRESENT = time.time()
FAR_FUTURE = 1_935_705_600.0  # 2031-05-05
FAR_PAST = 946_684_800.0  # 2000-01-01

Fake: TypeAlias = Callable[[float], AbstractContextManager[Callable[[float], object]]]


def by_freezegun(seconds: float) -> Any:
    """Freeze time at *seconds* for a block that is given a function to move it on."""
    frozen = freeze_time(dt.datetime.fromtimestamp(seconds, dt.UTC))
    return _given(frozen, "tick")


def by_time_machine(seconds: float) -> Any:
    """Travel to *seconds*, and stay there, for a block that is given a function to move it on."""
    return _given(time_machine.travel(seconds, tick=False), "shift")


class _given:  # noqa: N801 - used like a function
    def __init__(self, context: Any, move: str) -> None:
        self.context, self.move = context, move

    def __enter__(self) -> Any:
        return getattr(self.context.__enter__(), self.move)

    def __exit__(self, *error: object) -> None:
        self.context.__exit__(*error)


fakes = pytest.mark.parametrize(
    "fake", [pytest.param(by_freezegun, id="freezegun"), pytest.param(by_time_machine, id="time-machine")]
)


# By hand


def test_a_clock_shows_what_it_is_set_to() -> None:
    clock = ManualClock(10)
    clock.advance(1.5)

    assert (clock(), clock.now, repr(clock)) == (11.5, 11.5, "ManualClock(11.5)")
    clock.now = 7
    assert clock() == 7


def test_a_clock_starts_at_the_present_in_whole_seconds_and_stands_still() -> None:
    clock = ManualClock()
    shown = clock()

    assert shown == pytest.approx(time.time(), abs=60)
    assert shown % 1 == 0
    # Another built-in function, so that it passes for the real time.
    with mock.patch("time.time", time.monotonic):
        assert clock() == shown


def test_its_timer_never_goes_back() -> None:
    clock = ManualClock(1000)
    before = clock.timer()

    clock.advance(5)
    clock.now = 500
    assert clock.timer() == before + 5
    clock.advance(1)
    assert clock.timer() == before + 6


# Under freezegun and time-machine


@fakes
@pytest.mark.parametrize("moment", [FAR_FUTURE, FAR_PAST])
def test_a_clock_follows_the_time_that_is_faked_and_only_then(fake: Fake, moment: float) -> None:
    clock = ManualClock()
    present = clock()

    with fake(moment) as move_on:
        assert clock() == moment
        move_on(2.5)
        assert clock() == moment + 2.5
    assert clock() == present


@fakes
def test_a_clock_made_while_time_is_faked_shows_the_real_time_afterwards(fake: Fake) -> None:
    with fake(FAR_FUTURE):
        clock = ManualClock()
        assert clock() == FAR_FUTURE

    assert clock() == pytest.approx(time.time(), abs=60)


@fakes
def test_what_a_clock_was_moved_by_counts_in_faked_time_too(fake: Fake) -> None:
    clock = ManualClock()
    clock.advance(10)

    with fake(FAR_FUTURE):
        assert clock() == FAR_FUTURE + 10
        clock.now = FAR_FUTURE + 60
        assert clock() == FAR_FUTURE + 60


@fakes
def test_a_clock_with_a_start_of_its_own_does_not_follow(fake: Fake) -> None:
    clock = ManualClock(10)

    with fake(FAR_FUTURE):
        assert clock() == 10


@fakes
def test_its_timer_does_not_follow(fake: Fake) -> None:
    clock = ManualClock()
    before = clock.timer()

    with fake(FAR_FUTURE) as move_on:
        move_on(60)
        assert clock.timer() == before


def test_a_clock_follows_a_patched_function_too() -> None:
    clock = ManualClock()

    with mock.patch("time.time", return_value=5.0):
        assert clock() == 5


# An app


def make_app(guard: CognitoGuard) -> TestClient:
    async def orders(_request: Request) -> PlainTextResponse:
        return PlainTextResponse("[]")

    app = Starlette(routes=[Route("/orders", guard.require("orders/order.read")(orders))])
    guard.install(app)
    return TestClient(app)


@pytest.fixture
def own_guard() -> CognitoGuard:
    return CognitoGuard(UserPool("eu-west-1_AbCdEf123", client_ids={"7lhlkkfbfb4q5kpp90urffao"}))


@fakes
@pytest.mark.parametrize("moment", [PRESENT, FAR_FUTURE, FAR_PAST], ids=["present", "far future", "far past"])
def test_a_token_expires_by_faked_time(fake: Fake, moment: float, own_guard: CognitoGuard) -> None:
    client = make_app(own_guard)
    with stand_in(own_guard) as cognito, fake(int(moment)) as move_on:
        headers = cognito.headers("orders/order.read", lifetime=300)
        move_on(299)
        assert client.get("/orders", headers=headers).status_code == 200
        move_on(1)
        assert client.get("/orders", headers=headers).status_code == 401


@fakes
def test_a_token_of_the_present_has_expired_by_the_time_one_travels_to(fake: Fake, own_guard: CognitoGuard) -> None:
    client = make_app(own_guard)
    with stand_in(own_guard) as cognito:
        headers = cognito.headers("orders/order.read")
        assert client.get("/orders", headers=headers).status_code == 200
        with fake(FAR_FUTURE):
            assert client.get("/orders", headers=headers).status_code == 401
            assert client.get("/orders", headers=cognito.headers("orders/order.read")).status_code == 200
        assert client.get("/orders", headers=headers).status_code == 200


@fakes
@pytest.mark.parametrize("moment", [FAR_FUTURE, FAR_PAST])
def test_drills_work_in_faked_time(fake: Fake, moment: float, own_guard: CognitoGuard) -> None:
    client = make_app(own_guard)
    with stand_in(own_guard) as cognito:
        before = cognito.headers("orders/order.read")
        assert client.get("/orders", headers=before).status_code == 200
        with fake(moment):
            headers = cognito.headers("orders/order.read", lifetime=24 * 60 * 60)
            assert client.get("/orders", headers=headers).status_code == 200
            cognito.drills.rotate()
            assert client.get("/orders", headers=cognito.headers("orders/order.read")).status_code == 200
            cognito.drills.withdraw()
            assert client.get("/orders", headers=headers).status_code == 401


# A guard as in production


@pytest.fixture
def pool_of_the_present(pool_keys: PoolKeys) -> LocalPool:
    pool = LocalPool("eu-west-1_AbCdEf123", keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    pool.add_client(scopes=["orders/order.read"])
    return pool


@pytest.fixture
def client(pool_of_the_present: LocalPool) -> TestClient:
    user_pool = pool_of_the_present.user_pool("https://cognito.example")
    jwks = json.dumps(pool_of_the_present.jwks()).encode()
    return make_app(CognitoGuard(user_pool, fetch=lambda url, timeout: jwks))


@fakes
def test_a_guard_made_as_in_production_uses_faked_time(
    fake: Fake, client: TestClient, pool_of_the_present: LocalPool
) -> None:
    headers = {"Authorization": f"Bearer {pool_of_the_present.mint(lifetime=3600)}"}

    assert client.get("/orders", headers=headers).status_code == 200
    with fake(time.time() + 2 * 60 * 60):
        assert client.get("/orders", headers=headers).status_code == 401
    assert client.get("/orders", headers=headers).status_code == 200


@fakes
def test_a_pool_in_memory_issues_tokens_by_faked_time(
    fake: Fake, client: TestClient, pool_of_the_present: LocalPool
) -> None:
    with fake(FAR_FUTURE):
        headers = {"Authorization": f"Bearer {pool_of_the_present.mint(lifetime=3600)}"}
        assert client.get("/orders", headers=headers).status_code == 200
    with fake(FAR_FUTURE + 3600):
        assert client.get("/orders", headers=headers).status_code == 401
