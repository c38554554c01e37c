"""
A process that is stopped in the middle of a fetch: AWS Lambda between two calls, a suspended container.

Tests move the timer. A fetch hangs until the test sets its result.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cognito_guard import KeyPolicy
from cognito_guard._keys.fetch import FetchError
from cognito_guard._keys.key_set import KeySet
from cognito_guard.errors import KeysUnavailableError, SignatureError
from cognito_guard.events import Event, KeysFailed, KeysFetched
from cognito_guard.local import LocalPool, PoolKeys
from tests.keys.gate import IN_TIME

FROZEN = 60.0
"""Seconds for which the process stands still: more than `timeout` and `cooldown`."""


class Turns:
    """A fetch each call of which hangs until the test has set its result."""

    def __init__(self) -> None:
        self._turns: SimpleQueue[Future[bytes]] = SimpleQueue()
        self.began = 0

    def __call__(self, url: str, timeout: float) -> bytes:
        self.began += 1
        turn = Future[bytes]()
        self._turns.put(turn)
        return turn.result(IN_TIME)

    def next(self) -> Future[bytes]:
        return self._turns.get(timeout=IN_TIME)


@pytest.fixture
def turns() -> Turns:
    return Turns()


@pytest.fixture
def frozen(make_keys: Callable[..., KeySet], turns: Turns) -> KeySet:
    """A key set whose every fetch hangs until its turn."""
    return make_keys(fetch=turns)


@pytest.fixture
def jwks(pool: LocalPool) -> Callable[[], bytes]:
    return lambda: json.dumps(pool.jwks()).encode()


async def found(keys: KeySet, kid: str, turns: Turns, *results: bytes) -> bool:
    """Ask for *kid*, with *results* for the fetches that this starts; return whether the key is there."""

    async def answer() -> None:
        for result in results:
            turn = await anyio.to_thread.run_sync(turns.next)
            turn.set_result(result)

    key = None
    async with anyio.create_task_group() as group:
        group.start_soon(answer)
        key = await keys.find(kid)
    return key is not None


NO = FetchError("no")


def load(keys: KeySet, turns: Turns, document: bytes) -> None:
    """Have *keys* fetched, without any time passing."""
    keys.refresh_if_due()
    turns.next().set_result(document)
    asyncio.run(keys.settle())


# -- thawed: who comes finds an attempt from before


@pytest.mark.anyio
async def test_a_first_fetch_that_was_frozen_is_not_waited_for(
    frozen: KeySet, turns: Turns, timer: Any, kid: str, jwks: Any
) -> None:
    frozen.refresh_if_due()
    old = turns.next()
    timer.advance(FROZEN)

    assert await found(frozen, kid, turns, jwks())

    old.set_exception(NO)
    await frozen.settle()


@pytest.mark.anyio
async def test_a_rotated_key_is_found_although_a_frozen_attempt_hangs(
    frozen: KeySet, turns: Turns, timer: Any, pool: LocalPool, jwks: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    await anyio.to_thread.run_sync(load, frozen, turns, jwks())
    timer.advance(100)
    frozen.refresh_if_due()
    old = turns.next()
    timer.advance(FROZEN)
    new = pool.rotate(new_keys()).access.kid

    assert await found(frozen, new, turns, jwks())

    old.set_exception(NO)
    await frozen.settle()
    assert frozen.get(new)


@pytest.mark.anyio
async def test_keys_that_ran_out_during_the_freeze_are_fetched_at_once(
    frozen: KeySet, turns: Turns, timer: Any, kid: str, jwks: Any
) -> None:
    await anyio.to_thread.run_sync(load, frozen, turns, jwks())
    timer.advance(999)
    frozen.refresh_if_due()
    old = turns.next()
    timer.advance(FROZEN)
    assert not frozen.status()["ready"]

    assert await found(frozen, kid, turns, jwks())

    old.set_exception(NO)
    await frozen.settle()


@pytest.mark.parametrize(("age", "joined"), [(2.999, True), (3.0, False)])
def test_an_attempt_is_joined_until_it_has_outlived_its_timeout(
    frozen: KeySet, turns: Turns, timer: Any, age: float, joined: bool, kid: str
) -> None:
    frozen.refresh_if_due()
    old = turns.next()
    timer.advance(age)

    coro = frozen.find(kid)
    if joined:
        asyncio.run(cancelled(coro))
        assert frozen.status()["last_error"] is None
    else:
        # The next one may not start yet: a second after this one should have failed.
        with pytest.raises(KeysUnavailableError) as caught:
            coro.send(None)
        assert caught.value.retry_after == 1
        assert "did not end within its timeout" in str(frozen.status()["last_error"])
    assert turns.began == 1
    old.set_exception(NO)
    asyncio.run(frozen.settle())


async def cancelled(coro: Any) -> None:
    """Let *coro* wait, and then end it."""
    task = asyncio.ensure_future(coro)
    await anyio.wait_all_tasks_blocked()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.anyio
async def test_the_cooldown_holds_beside_an_outlived_attempt(
    frozen: KeySet, turns: Turns, timer: Any, pool: LocalPool, jwks: Any, at_once: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    await anyio.to_thread.run_sync(load, frozen, turns, jwks())
    timer.advance(100)
    frozen.refresh_if_due()
    old = turns.next()
    new = pool.rotate(new_keys()).access.kid

    timer.advance(9.9)
    with pytest.raises(SignatureError):
        at_once(frozen.find(new))
    assert turns.began == 2
    timer.advance(0.1)
    assert await found(frozen, new, turns, jwks())

    old.set_exception(NO)
    await frozen.settle()


def test_there_are_two_attempts_at_most(frozen: KeySet, turns: Turns, timer: Any, kid: str, at_once: Any) -> None:
    """A fetch that ignores its timeout must not leave a thread behind each time."""
    frozen.refresh_if_due()
    first = turns.next()
    timer.advance(FROZEN)
    frozen.refresh_if_due()
    second = turns.next()

    for _ in range(10):
        timer.advance(FROZEN)
        with pytest.raises(KeysUnavailableError):
            at_once(frozen.find(kid))
    assert turns.began == 2
    names = [thread.name for thread in threading.enumerate()]
    assert len([name for name in names if name.startswith("cognito-guard")]) == 2

    for turn in (first, second):
        turn.set_exception(NO)
    asyncio.run(frozen.settle())
    frozen.refresh_if_due()
    turns.next().set_exception(NO)
    asyncio.run(frozen.settle())


# -- thawed: who waits finds that the attempt has failed


async def freeze(turns: Turns, timer: Any) -> None:
    """Stop the process during the next fetch, while requests wait for it. The fetch fails after that."""
    turn = await anyio.to_thread.run_sync(turns.next)
    await anyio.wait_all_tasks_blocked()
    timer.advance(FROZEN)
    turn.set_exception(NO)


async def freeze_then_answer(turns: Turns, timer: Any, document: bytes) -> None:
    await freeze(turns, timer)
    (await anyio.to_thread.run_sync(turns.next)).set_result(document)


@pytest.mark.anyio
@pytest.mark.parametrize("starter", [True, False], ids=["started-it", "joined-it"])
async def test_a_request_that_was_frozen_while_waiting_tries_once_more(
    frozen: KeySet, turns: Turns, timer: Any, kid: str, jwks: Any, starter: bool
) -> None:
    if not starter:
        frozen.refresh_if_due()

    async with anyio.create_task_group() as group:
        group.start_soon(freeze_then_answer, turns, timer, jwks())
        assert await frozen.find(kid)

    assert turns.began == 2
    await frozen.settle()


@pytest.mark.anyio
async def test_start_up_that_was_frozen_tries_once_more(frozen: KeySet, turns: Turns, timer: Any, jwks: Any) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(freeze_then_answer, turns, timer, jwks())
        await frozen.load()

    assert frozen.status()["ready"]
    await frozen.settle()


@pytest.mark.anyio
async def test_a_request_tries_only_once_more(
    make_keys: Callable[..., KeySet], turns: Turns, timer: Any, kid: str
) -> None:
    keys = make_keys(fetch=turns)

    async def freeze_each() -> None:
        for _ in range(2):
            await freeze(turns, timer)

    async with anyio.create_task_group() as group:
        group.start_soon(freeze_each)
        with pytest.raises(KeysUnavailableError):
            await keys.find(kid)

    # The next attempt has begun, but no request waits for it.
    (await anyio.to_thread.run_sync(turns.next)).set_exception(NO)
    assert turns.began == 3
    await keys.settle()


@pytest.mark.anyio
async def test_a_request_that_joined_an_attempt_from_before_the_rotation_asks_once_more(
    make_keys: Callable[..., KeySet],
    turns: Turns,
    timer: Any,
    pool: LocalPool,
    jwks: Any,
    new_keys: Callable[[], PoolKeys],
) -> None:
    """The answer under way was given before the key existed."""
    keys = make_keys(fetch=turns, policy=KeyPolicy(max_age=100, stale_for=1_000, cooldown=1))
    await anyio.to_thread.run_sync(load, keys, turns, jwks())
    timer.advance(100)
    keys.refresh_if_due()
    before = jwks()
    new = pool.rotate(new_keys()).access.kid
    timer.advance(1)

    assert await found(keys, new, turns, before, jwks())

    assert turns.began == 3
    await keys.settle()


@pytest.mark.anyio
async def test_a_request_that_started_a_successful_attempt_does_not_ask_again(
    make_keys: Callable[..., KeySet], turns: Turns, timer: Any, jwks: Any
) -> None:
    keys = make_keys(fetch=turns, policy=KeyPolicy(max_age=100, stale_for=1_000, cooldown=0.001))
    await anyio.to_thread.run_sync(load, keys, turns, jwks())
    timer.advance(1)

    async def answer() -> None:
        turn = await anyio.to_thread.run_sync(turns.next)
        timer.advance(1)
        turn.set_result(jwks())

    async with anyio.create_task_group() as group:
        group.start_soon(answer)
        with pytest.raises(SignatureError):
            await keys.find("made-up")

    assert turns.began == 2
    await keys.settle()


@pytest.mark.anyio
@pytest.mark.parametrize("found", [True, False])
async def test_a_request_whose_attempt_failed_asks_once_more_if_it_may(
    make_keys: Callable[..., KeySet],
    turns: Turns,
    timer: Any,
    pool: LocalPool,
    jwks: Any,
    new_keys: Callable[[], PoolKeys],
    found: bool,
) -> None:
    keys = make_keys(fetch=turns, policy=KeyPolicy(max_age=100, stale_for=1_000, cooldown=0.001))
    await anyio.to_thread.run_sync(load, keys, turns, jwks())
    kid = pool.rotate(new_keys()).access.kid
    timer.advance(1)

    async def answer() -> None:
        for succeeds in (False, found):
            turn = await anyio.to_thread.run_sync(turns.next)
            timer.advance(1)
            if succeeds:
                turn.set_result(jwks())
            else:
                turn.set_exception(NO)

    async with anyio.create_task_group() as group:
        group.start_soon(answer)
        if found:
            assert await keys.find(kid)
        else:
            with pytest.raises(SignatureError):
                await keys.find(kid)

    assert turns.began == 3
    await keys.settle()


# -- what comes of an attempt that has outlived its timeout


@pytest.fixture
def outlived(frozen: KeySet, turns: Turns, timer: Any) -> tuple[Future[bytes], Future[bytes]]:
    """Two attempts under way: one that was frozen, and one that began after that."""
    frozen.refresh_if_due()
    old = turns.next()
    timer.advance(FROZEN)
    frozen.refresh_if_due()
    return old, turns.next()


def test_its_failure_is_reported_once(
    frozen: KeySet, outlived: tuple[Future[bytes], Future[bytes]], events: list[Event], jwks: Any
) -> None:
    old, new = outlived
    old.set_exception(NO)
    new.set_result(jwks())
    asyncio.run(frozen.settle())

    failed, fetched = events
    assert isinstance(failed, KeysFailed)
    assert failed.error == "the fetch did not end within its timeout"
    assert failed.next_attempt == 0
    assert isinstance(fetched, KeysFetched)
    assert frozen.status()["last_error"] is None


@pytest.mark.parametrize("last", ["old", "new"])
def test_its_keys_are_used_unless_newer_ones_are_held(
    frozen: KeySet,
    outlived: tuple[Future[bytes], Future[bytes]],
    timer: Any,
    jwks: Any,
    pool: LocalPool,
    last: str,
    new_keys: Callable[[], PoolKeys],
) -> None:
    old, new = outlived
    first = pool.keys.access.kid
    documents = [jwks()]
    pool.rotate(new_keys())
    pool.withdraw(first)
    documents.append(jwks())
    turns = list(zip((old, new), documents, strict=True))
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("cognito-guard")]

    for turn, document in turns if last == "new" else reversed(turns):
        turn.set_result(document)
        while sum(thread.is_alive() for thread in threads) == len(threads):
            threads[0].join(0.01)
        threads = [thread for thread in threads if thread.is_alive()]
    asyncio.run(frozen.settle())

    assert frozen.get(first) is None
    assert frozen.get(pool.keys.access.kid)
    assert frozen.status()["age"] == 0


def test_the_age_of_keys_counts_from_the_request(frozen: KeySet, turns: Turns, timer: Any, jwks: Any, kid: str) -> None:
    """Nobody read the answer while the process was frozen, and the pool may have changed its keys meanwhile."""
    frozen.refresh_if_due()
    turn = turns.next()
    timer.advance(FROZEN)
    turn.set_result(jwks())
    asyncio.run(frozen.settle())

    assert frozen.status()["age"] == FROZEN
    timer.advance(100 - FROZEN)
    assert frozen.get(kid)
    turns.next().set_exception(NO)
    asyncio.run(frozen.settle())


def test_the_back_off_begins_when_the_attempt_should_have_ended(
    frozen: KeySet, turns: Turns, timer: Any, events: list[Event]
) -> None:
    frozen.refresh_if_due()
    turn = turns.next()
    timer.advance(3.5)
    turn.set_exception(NO)
    asyncio.run(frozen.settle())

    (failed,) = events
    assert isinstance(failed, KeysFailed)
    assert failed.next_attempt == 0.5
