"""Which requests wait for an attempt, and for how long. Tests move the time; nothing here sleeps."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cognito_guard import CognitoGuard, KeyPolicy
from cognito_guard._keys.attempt import Attempt
from cognito_guard._keys.fetch import FetchError
from cognito_guard._keys.key_set import KeySet
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import (
    KeysUnavailableError,
)
from cognito_guard.events import Event, KeysFailed
from cognito_guard.local import LocalClient, LocalPool
from tests.keys.gate import IN_TIME, Gate

POOL_ID = "eu-central-1_AbCdEf123"
ORIGINAL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/.well-known/jwks.json"
POLICY = KeyPolicy(max_age=100.0, stale_for=1_000.0, cooldown=10.0, timeout=3.0)

LOOKS_BEFORE_WAITING = 4
"""How often a caller of `find` has looked at the clock when only the wait is left. Up to then it may hold the lock."""

# -- cold start


@pytest.mark.anyio
async def test_a_hundred_first_requests_make_one_fetch(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, fetch: Any
) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(guard.verify, pool.mint(client_id=reader.client_id))

    assert fetch.calls == 1
    await internals_of(guard).verifier.issuers.settle()


@pytest.mark.anyio
async def test_a_slow_fetch_serves_all_requests_that_came_meanwhile(
    make_keys: Callable[..., KeySet], kid: str, gate: Gate
) -> None:
    keys = make_keys(fetch=gate)
    found = []

    async def find() -> None:
        found.append(await keys.find(kid))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(find)
        await anyio.to_thread.run_sync(gate.reached.wait)
        for _ in range(50):
            group.start_soon(find)
        await anyio.wait_all_tasks_blocked()
        gate.open.set()

    assert (len(found), gate.calls) == (100, 1)
    await keys.settle()


@pytest.mark.anyio
async def test_the_request_that_started_the_fetch_may_be_cancelled(
    make_keys: Callable[..., KeySet], kid: str, gate: Gate
) -> None:
    keys = make_keys(fetch=gate)

    starter = anyio.CancelScope()

    async def start() -> None:
        with starter:
            await keys.find(kid)

    async with anyio.create_task_group() as group:
        group.start_soon(start)
        await anyio.to_thread.run_sync(gate.reached.wait)
        for _ in range(10):
            group.start_soon(keys.find, kid)
        await anyio.wait_all_tasks_blocked()
        starter.cancel()
        await anyio.wait_all_tasks_blocked()
        gate.open.set()

    assert starter.cancelled_caught
    assert gate.calls == 1
    await keys.settle()


@pytest.mark.anyio
async def test_all_waiting_requests_may_be_cancelled(make_keys: Callable[..., KeySet], kid: str, gate: Gate) -> None:
    keys = make_keys(fetch=gate)

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(keys.find, kid)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    gate.open.set()
    await keys.settle()

    assert await keys.find(kid)
    assert gate.calls == 1


@pytest.mark.anyio
async def test_a_request_may_be_cancelled_at_each_of_its_awaits(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str
) -> None:
    """Cancelled beforehand, it ends at the first await there is."""
    keys = make_keys()

    with anyio.CancelScope() as scope:
        scope.cancel()
        await keys.find(kid)
    await keys.settle()

    assert await keys.find(kid)
    assert fetch.calls == 1


@pytest.mark.anyio
async def test_a_fetch_that_ends_before_a_request_waits_for_it_is_not_missed(
    make_keys: Callable[..., KeySet], fetch: Any, pool: LocalPool, kid: str, timer: Any, settle_from_a_thread: Any
) -> None:
    """The race of a fast fetch: it is over between the first look at the keys and the moment to wait."""
    looks = 0

    class Slow:
        """The clock of a caller that is interrupted when it has an attempt, before it waits for it."""

        def __call__(self) -> float:
            nonlocal looks
            if threading.current_thread() is threading.main_thread():
                looks += 1
                if looks == LOOKS_BEFORE_WAITING:
                    settle_from_a_thread(keys)
            now: float = timer()
            return now

    keys = make_keys(timer=Slow(), policy=KeyPolicy(timeout=2 * IN_TIME))

    with anyio.fail_after(IN_TIME):
        assert await keys.find(kid)
    assert fetch.calls == 1
    assert looks > LOOKS_BEFORE_WAITING
    await keys.settle()


# -- a known kid never waits


@pytest.mark.parametrize("age", [0.0, 99.0, 100.0, 500.0, 999.0])
def test_a_known_kid_never_waits_while_a_refresh_hangs(
    warm_keys: KeySet,
    kid: str,
    timer: Any,
    age: float,
    settle: Any,
    at_once: Any,
    gate: Gate,
) -> None:
    timer.advance(age)

    for _ in range(1_000):
        assert at_once(warm_keys.find(kid)) is warm_keys.get(kid)

    assert gate.calls == (1 if age < 100 else 2)
    gate.open.set()
    settle(warm_keys)


@pytest.mark.parametrize(("age", "calls"), [(99.0, 1), (100.0, 2)])
def test_keys_are_refreshed_from_max_age_on(
    loaded: KeySet, fetch: Any, kid: str, timer: Any, age: float, calls: int, settle: Any, at_once: Any
) -> None:
    timer.advance(age)

    at_once(loaded.find(kid))
    settle(loaded)

    assert fetch.calls == calls
    assert loaded.status()["age"] == (age if calls == 1 else 0.0)


def test_a_token_is_verified_without_waiting_while_a_refresh_hangs(
    make_guard: Callable[..., CognitoGuard],
    pool: LocalPool,
    reader: LocalClient,
    timer: Any,
    at_once: Any,
    gate: Gate,
) -> None:
    gate.open.set()
    guard = make_guard(fetch=gate, key_policy=POLICY)
    asyncio.run(guard.prefetch())
    gate.open.clear()
    timer.advance(100)
    token = pool.mint(client_id=reader.client_id, lifetime=3_600)

    for _ in range(100):
        assert at_once(guard.verify(token)).client_id == reader.client_id

    gate.open.set()
    asyncio.run(internals_of(guard).verifier.issuers.settle())
    assert gate.calls == 2


def test_a_known_kid_is_served_through_any_number_of_failures(
    loaded: KeySet, fetch: Any, kid: str, timer: Any, settle: Any, at_once: Any
) -> None:
    fetch.fail(FetchError("no"))
    for _ in range(90):
        timer.advance(10)
        at_once(loaded.find(kid))
        settle(loaded)

    assert fetch.calls == 1 + 81
    assert loaded.status() == {
        "ready": True,
        "keys": 2,
        "age": 900.0,
        "last_error": f"{ORIGINAL}: no",
        "next_attempt": 10.0,
    }


# -- loops, threads, leftovers


def test_several_loops_in_turn_share_one_fetch(keys: KeySet, fetch: Any, kid: str, settle: Any) -> None:
    for backend in ("asyncio", "trio", "asyncio", "trio"):
        assert anyio.run(keys.find, kid, backend=backend)

    assert fetch.calls == 1
    settle(keys)


def test_several_loops_at_once_share_one_fetch(
    make_keys: Callable[..., KeySet], kid: str, settle: Any, gate: Gate
) -> None:
    keys = make_keys(fetch=gate)
    ready = threading.Barrier(9)
    found: list[object] = []

    async def find_many() -> None:
        async def find() -> None:
            found.append(await keys.find(kid))

        await anyio.to_thread.run_sync(ready.wait)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(find)

    threads = [
        threading.Thread(target=partial(anyio.run, find_many, backend=backend)) for backend in ("asyncio", "trio") * 4
    ]
    for thread in threads:
        thread.start()
    ready.wait(IN_TIME)
    assert gate.reached.wait(IN_TIME)
    gate.open.set()
    for thread in threads:
        thread.join()

    assert (len(found), gate.calls) == (80, 1)
    assert len({id(key) for key in found}) == 1
    settle(keys)


def test_threads_that_ask_at_the_same_moment_share_one_fetch(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any, settle: Any, gate: Gate
) -> None:
    """One of them is held up where it has decided to fetch, but has not begun to."""
    inside, leave = threading.Event(), threading.Event()
    looks: list[str] = []

    def holding_timer() -> float:
        looks.append(threading.current_thread().name)
        if looks.count("holder") == 2:
            inside.set()
            leave.wait(IN_TIME)
        now: float = timer()
        return now

    keys = make_keys(fetch=gate, timer=holding_timer)
    holder = threading.Thread(target=keys.get, args=(kid,), name="holder")
    other = threading.Thread(target=keys.get, args=(kid,), name="other")
    holder.start()
    assert inside.wait(IN_TIME)
    other.start()
    other.join(0.1)
    leave.set()
    holder.join()
    other.join()
    gate.open.set()
    settle(keys)

    assert gate.calls == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_may_be_gone_when_the_fetch_it_waited_for_ends(
    make_keys: Callable[..., KeySet],
    kid: str,
    backend: str,
    caplog: pytest.LogCaptureFixture,
    settle: Any,
    gate: Gate,
) -> None:
    keys = make_keys(fetch=gate)

    async def leave() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(keys.find, kid)
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()

    anyio.run(leave, backend=backend)
    with caplog.at_level(logging.WARNING):
        gate.open.set()
        settle(keys)

    assert keys.get(kid)
    assert caplog.records == []


@pytest.mark.anyio
async def test_settled_means_that_the_thread_is_gone(make_keys: Callable[..., KeySet], gate: Gate) -> None:
    keys = make_keys(fetch=gate)
    # Threads of other tests may end at any time.
    before = set(threading.enumerate())
    keys.get("any")
    [started] = set(threading.enumerate()) - before

    async with anyio.create_task_group() as group:
        group.start_soon(keys.settle)
        await anyio.wait_all_tasks_blocked()
        gate.open.set()

    assert not started.is_alive()


def test_a_fetch_that_hangs_does_not_keep_the_process_from_ending(
    make_keys: Callable[..., KeySet], gate: Gate, settle: Any
) -> None:
    keys = make_keys(fetch=gate)
    before = set(threading.enumerate())
    keys.refresh_if_due()

    [started] = set(threading.enumerate()) - before
    assert started.daemon

    gate.open.set()
    settle(keys)


@pytest.mark.anyio
async def test_settle_does_nothing_for_unused_keys(keys: KeySet, fetch: Any) -> None:
    await keys.settle()

    assert fetch.calls == 0


@pytest.mark.anyio
async def test_a_fetch_that_never_ends_is_not_waited_for_for_ever(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, gate: Gate
) -> None:
    """The user's own fetch ignores its timeout. Requests are still answered, and the app still shuts down."""
    keys = make_keys(fetch=gate, policy=KeyPolicy(timeout=0.1))

    async def check() -> None:
        with pytest.raises(KeysUnavailableError) as caught:
            await keys.find(kid)
        assert caught.value.retry_after == 1

    keys.get(kid)
    async with anyio.create_task_group() as group:
        group.start_soon(check)
        group.start_soon(check)
        group.start_soon(keys.settle)
    assert gate.calls == 1

    gate.open.set()
    await keys.settle()
    assert keys.get(kid)


def test_nothing_keeps_a_key_set_alive(make_keys: Callable[..., KeySet], settle: Any) -> None:
    keys = make_keys()
    asyncio.run(keys.load())
    settle(keys)

    reference = weakref.ref(keys)
    del keys
    gc.collect()

    assert reference() is None


def test_a_thread_that_cannot_be_started_is_a_failed_attempt(
    loaded: KeySet,
    make_keys: Callable[..., KeySet],
    fetch: Any,
    kid: str,
    timer: Any,
    events: list[Event],
    settle: Any,
    at_once: Any,
) -> None:
    """More memory for its stack than any machine has: starting one fails as it does when there are too many."""
    cold = make_keys()
    events.clear()
    timer.advance(100)
    size = threading.stack_size(1 << 46)
    try:
        assert at_once(loaded.find(kid))
        with pytest.raises(KeysUnavailableError) as caught:
            at_once(cold.find(kid))
    finally:
        threading.stack_size(size)

    error, advice = "no thread could be started", "check the limits on threads and memory of the process"
    assert caught.value.retry_after == 1
    assert events == [
        KeysFailed(POOL_ID, error, usable=True, advice=advice, next_attempt=10.0),
        KeysFailed(POOL_ID, error, usable=False, advice=advice, next_attempt=1.0),
    ]
    assert cold.status()["last_error"] == f"{error}; {advice}"
    assert fetch.calls == 1

    timer.advance(10)
    at_once(loaded.find(kid))
    settle(loaded)
    asyncio.run(cold.load())
    settle(cold)
    assert fetch.calls == 3


@pytest.mark.anyio
async def test_an_attempt_is_under_way_until_its_work_is_done() -> None:
    gate = threading.Event()
    attempt = Attempt(gate.wait, name="cognito-guard work")

    await attempt.end(0.05)
    assert attempt.under_way

    gate.set()
    for _ in range(2):
        await attempt.end(IN_TIME)
        await attempt.wait(IN_TIME)
        assert not attempt.under_way
