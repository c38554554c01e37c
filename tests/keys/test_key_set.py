"""When keys are fetched, how long they are trusted, and who waits. Time is moved by hand; nothing here sleeps."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import math
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cognito_guard import ANY_CLIENT, CognitoGuard, KeyPolicy, UserPool
from cognito_guard._keys.attempt import Attempt
from cognito_guard._keys.fetch import FetchError
from cognito_guard._keys.key_set import KeySet
from cognito_guard._report import Reporter
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import (
    ClaimError,
    ConfigurationError,
    ExpiredTokenError,
    KeysUnavailableError,
    MalformedTokenError,
    RefusalError,
    SignatureError,
)
from cognito_guard.events import Event, KeysFailed, KeysFetched
from cognito_guard.local import LocalClient, LocalPool, PoolKeys

POOL_ID = "eu-central-1_AbCdEf123"
ORIGINAL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/.well-known/jwks.json"
UPDATED = "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/.well-known/jwks.json"
POLICY = KeyPolicy(max_age=100.0, stale_for=1_000.0, cooldown=10.0, timeout=3.0)
IN_TIME = 20.0
"""Seconds that a test waits for what must come, before it fails."""


class Gate:
    """A fetch that hangs until it is opened, and then hands over to another one."""

    def __init__(self, then: Callable[[str, float], bytes]) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.calls = 0
        self._then = then

    def __call__(self, url: str, timeout: float) -> bytes:
        self.calls += 1
        self.reached.set()
        assert self.open.wait(IN_TIME)
        return self._then(url, timeout)


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("cognito-guard")]
    list(map(partial(threading.Thread.join, timeout=IN_TIME), left))
    assert not any(thread.is_alive() for thread in left)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def make_keys(timer: Any, fetch: Any, events: list[Event]) -> Callable[..., KeySet]:
    one_url = UserPool(POOL_ID, client_ids=ANY_CLIENT, jwks_url=ORIGINAL)

    def make(pool: UserPool = one_url, *, policy: KeyPolicy = POLICY, **options: Any) -> KeySet:
        seams: dict[str, Any] = {"fetch": fetch, "timer": timer, "jitter": lambda: 1.0} | options
        return KeySet(pool, policy, Reporter(events.append), **seams)

    return make


@pytest.fixture
def keys(make_keys: Callable[..., KeySet]) -> KeySet:
    return make_keys()


@pytest.fixture
def kid(pool: LocalPool) -> str:
    return pool.keys.access.kid


def settle(keys: KeySet) -> None:
    """Wait for the attempt under way, without an event loop of the test's own."""
    asyncio.run(keys.settle())


def at_once(coro: Coroutine[Any, Any, Any]) -> Any:
    """Run *coro* to its end, which must come before it has waited for anything."""
    with pytest.raises(StopIteration) as stop:
        coro.send(None)
    return stop.value.value


# -- cold start


@pytest.mark.anyio
async def test_a_hundred_first_requests_make_one_fetch(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, fetch: Any
) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(guard.verify, pool.mint(client_id=reader.client_id))

    assert fetch.calls == 1
    await internals_of(guard).verifier.settle()


@pytest.mark.anyio
async def test_a_fetch_that_is_slow_serves_all_who_came_meanwhile(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str
) -> None:
    gate = Gate(fetch)
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
async def test_whoever_started_the_fetch_may_go_away(make_keys: Callable[..., KeySet], fetch: Any, kid: str) -> None:
    gate = Gate(fetch)
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
async def test_everybody_may_go_away(make_keys: Callable[..., KeySet], fetch: Any, kid: str) -> None:
    gate = Gate(fetch)
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
async def test_a_fetch_that_ends_before_anybody_can_wait_for_it_is_not_missed(
    make_keys: Callable[..., KeySet], fetch: Any, pool: LocalPool, kid: str, timer: Any
) -> None:
    """The race of a fast fetch: it is over between the first look at the keys and the moment to wait."""
    keys = make_keys()
    looks = 0

    class Slow:
        """The clock of a caller whom the scheduler keeps waiting at his second look."""

        def __call__(self) -> float:
            nonlocal looks
            if threading.current_thread() is threading.main_thread():
                looks += 1
                if looks == 3:
                    settle_from_a_thread(keys)
            now: float = timer()
            return now

    keys = make_keys(timer=Slow())

    assert await keys.find(kid)
    assert fetch.calls == 1
    assert looks > 3
    await keys.settle()


def settle_from_a_thread(keys: KeySet) -> None:
    thread = threading.Thread(target=settle, args=(keys,))
    thread.start()
    thread.join()


# -- a known kid never waits


@pytest.fixture
def loaded(make_keys: Callable[..., KeySet], fetch: Any) -> KeySet:
    keys = make_keys()
    asyncio.run(keys.load())
    settle(keys)
    assert fetch.calls == 1
    return keys


@pytest.mark.parametrize("age", [0.0, 99.0, 100.0, 500.0, 999.0])
def test_a_known_kid_never_waits_while_a_refresh_hangs(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any, age: float
) -> None:
    gate = Gate(fetch)
    gate.open.set()
    keys = make_keys(fetch=gate)
    asyncio.run(keys.load())
    gate.open.clear()
    timer.advance(age)

    for _ in range(1_000):
        assert at_once(keys.find(kid)) is keys.get(kid)

    assert gate.calls == (1 if age < 100 else 2)
    gate.open.set()
    settle(keys)


@pytest.mark.parametrize(("age", "calls"), [(99.0, 1), (100.0, 2)])
def test_keys_are_refreshed_from_max_age_on(
    loaded: KeySet, fetch: Any, kid: str, timer: Any, age: float, calls: int
) -> None:
    timer.advance(age)

    at_once(loaded.find(kid))
    settle(loaded)

    assert fetch.calls == calls
    assert loaded.status()["age"] == (age if calls == 1 else 0.0)


def test_a_token_is_verified_without_waiting_while_a_refresh_hangs(
    make_guard: Callable[..., CognitoGuard], fetch: Any, pool: LocalPool, reader: LocalClient, timer: Any
) -> None:
    gate = Gate(fetch)
    gate.open.set()
    guard = make_guard(fetch=gate, key_policy=POLICY)
    asyncio.run(guard.prefetch())
    gate.open.clear()
    timer.advance(100)
    token = pool.mint(client_id=reader.client_id, lifetime=3_600)

    for _ in range(100):
        assert at_once(guard.verify(token)).client_id == reader.client_id

    gate.open.set()
    asyncio.run(internals_of(guard).verifier.settle())
    assert gate.calls == 2


def test_a_known_kid_is_served_through_any_number_of_failures(loaded: KeySet, fetch: Any, kid: str, timer: Any) -> None:
    fetch.fail(FetchError("no"))
    for _ in range(90):
        timer.advance(10)
        at_once(loaded.find(kid))
        settle(loaded)

    assert fetch.calls == 1 + 81
    assert loaded.status() == {"ready": True, "keys": 2, "age": 900.0, "last_error": "no"}


# -- loops, threads, leftovers


def test_several_loops_in_turn_share_one_fetch(keys: KeySet, fetch: Any, kid: str) -> None:
    for backend in ("asyncio", "trio", "asyncio", "trio"):
        assert anyio.run(keys.find, kid, backend=backend)

    assert fetch.calls == 1
    settle(keys)


def test_several_loops_at_once_share_one_fetch(make_keys: Callable[..., KeySet], fetch: Any, kid: str) -> None:
    gate = Gate(fetch)
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
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any
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

    gate = Gate(fetch)
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
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, backend: str, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(fetch)
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
async def test_settled_means_that_the_thread_is_gone(make_keys: Callable[..., KeySet], fetch: Any) -> None:
    gate = Gate(fetch)
    keys = make_keys(fetch=gate)
    before = threading.active_count()
    keys.get("any")
    assert threading.active_count() == before + 1

    async with anyio.create_task_group() as group:
        group.start_soon(keys.settle)
        await anyio.wait_all_tasks_blocked()
        gate.open.set()

    assert threading.active_count() == before


@pytest.mark.anyio
async def test_to_settle_what_was_never_used_is_no_work(keys: KeySet, fetch: Any) -> None:
    await keys.settle()

    assert fetch.calls == 0


@pytest.mark.anyio
async def test_a_fetch_that_overstays_is_not_waited_for_for_ever(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str
) -> None:
    """A fetch of the user's own that heeds no timeout: requests are answered, and so is the shutdown."""
    gate = Gate(fetch)
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


def test_nothing_keeps_a_key_set_alive(make_keys: Callable[..., KeySet]) -> None:
    keys = make_keys()
    asyncio.run(keys.load())
    settle(keys)

    reference = weakref.ref(keys)
    del keys
    gc.collect()

    assert reference() is None


def test_a_thread_that_can_not_be_started_is_a_failed_attempt(
    loaded: KeySet, make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any, events: list[Event]
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

    error = "no thread could be started"
    assert caught.value.retry_after == 1
    assert events == [KeysFailed(POOL_ID, error, usable=True), KeysFailed(POOL_ID, error, usable=False)]
    assert cold.status()["last_error"] == error
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


# -- unknown kids


@pytest.mark.anyio
async def test_a_flood_of_made_up_kids_costs_one_attempt_per_cooldown(
    loaded: KeySet, fetch: Any, kid: str, timer: Any
) -> None:
    timer.advance(10)
    for cooldown in range(1, 6):
        for number in range(200):
            with pytest.raises(SignatureError) as caught:
                await loaded.find(f"made-up-{cooldown}-{number}")
            assert caught.value.reason == "unknown_key"
        assert fetch.calls == 1 + cooldown
        timer.advance(9.9)
        with pytest.raises(SignatureError):
            at_once(loaded.find("made-up"))
        assert fetch.calls == 1 + cooldown
        timer.advance(0.1)
        assert at_once(loaded.find(kid))
    await loaded.settle()


@pytest.mark.anyio
async def test_attempts_that_fail_count_as_well(loaded: KeySet, fetch: Any, timer: Any) -> None:
    fetch.fail(FetchError("no"))
    timer.advance(10)

    for _ in range(50):
        with pytest.raises(SignatureError):
            await loaded.find("made-up")

    assert fetch.calls == 2
    await loaded.settle()


def test_the_cooldown_begins_with_the_attempt(make_keys: Callable[..., KeySet], fetch: Any, timer: Any) -> None:
    def slow(url: str, timeout: float) -> bytes:
        timer.advance(3)
        body: bytes = fetch(url, timeout)
        return body

    keys = make_keys(fetch=slow)
    asyncio.run(keys.load())
    settle(keys)

    timer.advance(6.9)
    with pytest.raises(SignatureError):
        at_once(keys.find("made-up"))
    assert fetch.calls == 1
    timer.advance(0.1)
    with pytest.raises(SignatureError):
        asyncio.run(keys.find("made-up"))
    assert fetch.calls == 2
    settle(keys)


@pytest.mark.anyio
async def test_a_rotated_key_is_usable_within_one_cooldown_while_junk_keeps_coming(
    loaded: KeySet, fetch: Any, pool: LocalPool, kid: str, timer: Any
) -> None:
    timer.advance(10)
    with pytest.raises(SignatureError):
        await loaded.find("made-up")
    new = pool.rotate().access.kid

    waited = 0
    while loaded.get(new) is None:
        timer.advance(1)
        waited += 1
        with pytest.raises(SignatureError):
            await loaded.find("made-up")
        assert at_once(loaded.find(kid))

    assert waited == 10
    assert fetch.calls == 3
    await loaded.settle()


@pytest.mark.anyio
async def test_whoever_is_first_with_a_rotated_key_gets_in_at_once(
    loaded: KeySet, fetch: Any, pool: LocalPool, timer: Any
) -> None:
    timer.advance(10)
    new = pool.rotate().access.kid

    assert await loaded.find(new)
    assert fetch.calls == 2
    await loaded.settle()


@pytest.mark.anyio
async def test_junk_that_waits_delays_no_good_token(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any
) -> None:
    gate = Gate(fetch)
    gate.open.set()
    keys = make_keys(fetch=gate)
    await keys.load()
    gate.open.clear()
    timer.advance(10)
    refused = 0

    async def junk(number: int) -> None:
        nonlocal refused
        with pytest.raises(SignatureError):
            await keys.find(f"made-up-{number}")
        refused += 1

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(junk, number)
        await anyio.wait_all_tasks_blocked()
        assert at_once(keys.find(kid))
        assert refused == 0
        gate.open.set()

    assert (refused, gate.calls) == (100, 2)
    await keys.settle()


@pytest.mark.anyio
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(
            lambda pool, client: pool.mint(client_id=client, iss="https://elsewhere"), ClaimError, id="issuer"
        ),
        pytest.param(lambda pool, _: pool.mint(client_id="stranger"), ClaimError, id="client"),
        pytest.param(lambda pool, client: pool.mint(client_id=client, lifetime=0), ExpiredTokenError, id="expired"),
        pytest.param(
            lambda pool, client: pool.mint(client_id=client, lifetime=-9_999), ExpiredTokenError, id="long-ago"
        ),
        pytest.param(lambda pool, client: pool.mint(client_id=client, exp=None), ClaimError, id="no-expiry"),
        pytest.param(lambda pool, client: pool.mint(client_id=client, nbf=9e9), ClaimError, id="not-yet"),
        pytest.param(lambda pool, client: pool.mint_id("ann", client_id=client), ClaimError, id="id-token"),
        pytest.param(
            lambda pool, client: pool.mint(client_id=client, headers={"alg": "none"}),
            MalformedTokenError,
            id="no-algorithm",
        ),
        pytest.param(
            lambda pool, client: pool.mint(client_id=client, headers={"kid": None}), MalformedTokenError, id="no-kid"
        ),
        pytest.param(lambda pool, client: pool.mint(client_id=client)[:-3] + "?!.", MalformedTokenError, id="shape"),
        pytest.param(lambda _, __: "a.b.c", MalformedTokenError, id="no-json"),
        pytest.param(lambda _, __: "e" * 9_000, MalformedTokenError, id="too-long"),
    ],
)
async def test_a_token_that_could_not_be_good_anyway_causes_no_fetch(
    make_guard: Callable[..., CognitoGuard],
    pool: LocalPool,
    reader: LocalClient,
    fetch: Any,
    timer: Any,
    make: Callable[[LocalPool, str], str],
    error: type[RefusalError],
    warm: bool,
) -> None:
    guard = make_guard(key_policy=POLICY)
    if warm:
        await guard.prefetch()
        pool.rotate()
        timer.advance(100)
    calls = fetch.calls

    with pytest.raises(error):
        await guard.verify(make(pool, reader.client_id))

    assert fetch.calls == calls
    await internals_of(guard).verifier.settle()


# -- bad answers


BAD_ANSWERS = [
    pytest.param(lambda document: document[:-5], "the answer is not JSON", id="truncated"),
    pytest.param(lambda _: b"", "the answer is not JSON", id="empty"),
    pytest.param(lambda _: b"<html>", "the answer is not JSON", id="html"),
    pytest.param(lambda _: b"[" * 60_000, "the answer is not JSON", id="nested-too-deep"),
    pytest.param(lambda _: b"[]", "the answer is not a JSON object", id="a-list"),
    pytest.param(lambda _: b"{}", "the key set holds no usable key", id="no-keys"),
    pytest.param(lambda _: b'{"keys": []}', "the key set holds no usable key", id="empty-keys"),
    pytest.param(
        lambda document: document.replace(b"RSA", b"EC"), "the key set holds no usable key", id="nothing-usable"
    ),
    pytest.param(lambda _: None, "the fetch raised TypeError", id="no-bytes"),
]


@pytest.mark.parametrize(("spoil", "error"), BAD_ANSWERS)
def test_a_bad_answer_changes_nothing(
    loaded: KeySet,
    fetch: Any,
    kid: str,
    timer: Any,
    events: list[Event],
    spoil: Callable[[bytes], bytes],
    error: str,
) -> None:
    good = fetch.document
    fetch.document = lambda: spoil(good())
    key = loaded.get(kid)
    timer.advance(100)

    assert loaded.get(kid) is key
    settle(loaded)

    assert loaded.get(kid) is key
    assert loaded.status() == {"ready": True, "keys": 2, "age": 100.0, "last_error": error}
    assert events[-1] == KeysFailed(POOL_ID, error, usable=True)


class OwnError(BaseException):
    """What a fetch of somebody's own may raise."""


@pytest.mark.parametrize(
    "error",
    [
        ValueError("secret"),
        TimeoutError(),
        OSError(13, "secret"),
        KeyError("secret"),
        RecursionError(),
        MemoryError(),
        asyncio.CancelledError(),
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(),
        OwnError("secret"),
    ],
    ids=repr,
)
def test_a_fetch_may_raise_anything(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any, events: list[Event], error: Exception
) -> None:
    """It is a failed attempt like any other; and what it says is not repeated, only what it is."""
    keys = make_keys()
    good = fetch.document
    fetch.fail(error)

    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.load())
    settle(keys)

    message = f"the fetch raised {type(error).__name__}"
    assert events == [KeysFailed(POOL_ID, message, usable=False)]
    assert keys.status()["last_error"] == message
    fetch.document = good
    timer.advance(1)
    assert asyncio.run(keys.find(kid))
    assert keys.status()["last_error"] is None
    settle(keys)


def test_an_on_event_that_raises_harms_nobody(
    make_guard: Callable[..., CognitoGuard],
    pool: LocalPool,
    reader: LocalClient,
    fetch: Any,
    timer: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def on_event(event: Event) -> None:
        raise ValueError(type(event).__name__)

    guard = make_guard(on_event=on_event, key_policy=POLICY)
    token = pool.mint(client_id=reader.client_id, lifetime=3_600)

    assert asyncio.run(guard.verify(token))
    fetch.fail(FetchError("no"))
    timer.advance(100)
    assert asyncio.run(guard.verify(token))
    asyncio.run(internals_of(guard).verifier.settle())

    assert guard.status()[POOL_ID] == {"ready": True, "keys": 2, "age": 100.0, "last_error": "no"}
    failures = {record.getMessage() for record in caplog.records if record.exc_info}
    assert failures == {f"on_event failed for {name}" for name in ("KeysFetched", "KeysFailed", "Verified")}


def test_an_on_event_may_ask_the_guard(make_guard: Callable[..., CognitoGuard], timer: Any, fetch: Any) -> None:
    """No lock is held meanwhile, not even where there is no thread to be had."""
    seen: list[tuple[Event, str | None]] = []

    def on_event(event: Event) -> None:
        with pytest.raises(KeysUnavailableError):
            asyncio.run(guard.prefetch())
        seen.append((event, guard.status()[POOL_ID]["last_error"]))

    guard = make_guard(on_event=on_event)
    size = threading.stack_size(1 << 46)
    try:
        with pytest.raises(KeysUnavailableError):
            at_once(guard.prefetch())
    finally:
        threading.stack_size(size)

    error = "no thread could be started"
    assert seen == [(KeysFailed(POOL_ID, error, usable=False), error)]


# -- outage


def test_keys_serve_until_stale_for_and_not_a_moment_longer(loaded: KeySet, fetch: Any, kid: str, timer: Any) -> None:
    fetch.fail(FetchError("no"))
    timer.advance(999.9)
    assert at_once(loaded.find(kid))
    settle(loaded)
    assert loaded.status()["ready"]

    timer.advance(0.1)
    assert loaded.status() == {"ready": False, "keys": 0, "age": 1_000.0, "last_error": "no"}
    for name in (kid, "made-up"):
        with pytest.raises(KeysUnavailableError):
            asyncio.run(loaded.find(name))
    settle(loaded)


def test_when_keys_run_out_no_cooldown_stands_in_the_way(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any
) -> None:
    """Or an outage that is long over would go on for the rest of it."""
    keys = make_keys(policy=KeyPolicy(max_age=100, stale_for=1_000, cooldown=5_000))
    asyncio.run(keys.load())
    settle(keys)
    timer.advance(1_000)

    assert asyncio.run(keys.find(kid))
    assert fetch.calls == 2
    settle(keys)


def test_a_long_cooldown_has_no_say_while_there_are_no_keys(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any
) -> None:
    keys = make_keys(policy=KeyPolicy(cooldown=5_000))
    good = fetch.document
    fetch.fail(FetchError("no"))
    with pytest.raises(KeysUnavailableError) as caught:
        asyncio.run(keys.find(kid))
    assert caught.value.retry_after == 1
    fetch.document = good

    timer.advance(1)
    assert asyncio.run(keys.find(kid))
    settle(keys)


@pytest.mark.parametrize(
    ("jitter", "steps"),
    [
        (1.0, [1, 2, 4, 8, 16, 30, 30, 30]),
        (0.0, [0.5, 1, 2, 4, 8, 15, 15, 15]),
        (0.5, [0.75, 1.5, 3, 6, 12, 22.5, 22.5, 22.5]),
    ],
)
@pytest.mark.anyio
async def test_attempts_are_backed_off_from_one_second_to_thirty(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any, jitter: float, steps: list[float]
) -> None:
    keys = make_keys(jitter=lambda: jitter)
    good = fetch.document
    fetch.fail(FetchError("no"))

    for number, step in enumerate(steps, start=1):
        for _ in range(20):
            with pytest.raises(KeysUnavailableError) as caught:
                await keys.find(kid)
            assert caught.value.retry_after == max(1, math.ceil(step))
        assert fetch.calls == number
        timer.advance(step - 0.01)
        with pytest.raises(KeysUnavailableError) as caught:
            at_once(keys.find(kid))
        assert caught.value.retry_after == 1
        assert fetch.calls == number
        timer.advance(0.01)

    fetch.document = good
    assert await keys.find(kid)
    assert keys.status() == {"ready": True, "keys": 2, "age": 0.0, "last_error": None}
    await keys.settle()


@pytest.mark.anyio
async def test_after_a_recovery_the_back_off_begins_anew(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any
) -> None:
    keys = make_keys()
    good = fetch.document

    for _ in range(2):
        fetch.fail(FetchError("no"))
        for step in (1, 2, 4):
            with pytest.raises(KeysUnavailableError) as caught:
                await keys.find(kid)
            assert caught.value.retry_after == step
            timer.advance(step)
        fetch.document = good
        assert await keys.find(kid)
        timer.advance(1_000)
    await keys.settle()


@pytest.mark.anyio
async def test_failures_while_keys_are_held_do_not_lengthen_the_back_off(
    loaded: KeySet, fetch: Any, kid: str, timer: Any
) -> None:
    fetch.fail(FetchError("no"))
    for _ in range(50):
        timer.advance(20)
        loaded.get(kid)
        await loaded.settle()

    with pytest.raises(KeysUnavailableError) as caught:
        await loaded.find(kid)
    assert caught.value.retry_after == 1
    await loaded.settle()


@pytest.mark.anyio
async def test_a_request_gives_up_after_its_attempt_and_so_knows_when_the_next_is_due(
    make_keys: Callable[..., KeySet], kid: str, timer: Any
) -> None:
    """Fetches that take all of their time, and fail then."""

    def fetch_in_vain(_: str, timeout: float) -> bytes:
        threading.Event().wait(timeout)
        raise FetchError("no complete answer")

    keys = make_keys(fetch=fetch_in_vain, policy=KeyPolicy(timeout=0.1))
    for step in (1, 2, 4):
        with pytest.raises(KeysUnavailableError) as caught:
            await keys.find(kid)
        assert caught.value.retry_after == step
        timer.advance(step)

    assert keys.status()["last_error"] == "no complete answer"
    await keys.settle()


@pytest.mark.anyio
async def test_an_outage_is_answered_with_503_and_retry_after(
    make_guard: Callable[..., CognitoGuard], pool: LocalPool, reader: LocalClient, fetch: Any
) -> None:
    guard = make_guard()
    fetch.fail(FetchError("no"))

    with pytest.raises(KeysUnavailableError) as caught:
        await guard.verify(pool.mint(client_id=reader.client_id))

    assert caught.value.status == 503
    assert caught.value.retry_after == 1
    await internals_of(guard).verifier.settle()


def test_the_log_tells_the_story_of_an_outage_in_a_few_lines(
    make_keys: Callable[..., KeySet],
    fetch: Any,
    pool: LocalPool,
    kid: str,
    timer: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "cognito_guard")
    keys = make_keys()
    good = fetch.document

    def use(after: float) -> None:
        timer.advance(after)
        for _ in range(100):
            keys.get(kid)
        settle(keys)

    fetch.fail(FetchError("status 500 in place of 200"))
    use(after=0)
    fetch.document = good
    use(after=1)
    use(after=100)
    fetch.fail(FetchError("no answer within 3 s"))
    use(after=100)
    use(after=900)
    pool.rotate()
    pool.withdraw(kid)
    fetch.document = good
    use(after=30)

    lines = [record.getMessage().removeprefix(f"keys of {POOL_ID} ") for record in caplog.records]
    assert lines == [
        "not fetched: status 500 in place of 200; no keys to verify tokens with, next attempt in 1.0 s",
        "fetched: 2, 2 new",
        "not fetched: no answer within 3 s; 2 keys, fetched 100 s ago, stay in use for 900 s at most",
        "not fetched: no answer within 3 s; no keys to verify tokens with, next attempt in 1.0 s",
        "fetched: 3, 2 new, 1 gone",
    ]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "WARNING", "ERROR", "INFO"]


# -- withdrawal


def test_a_key_that_left_the_set_is_gone_at_the_next_refresh(
    loaded: KeySet, pool: LocalPool, kid: str, timer: Any, events: list[Event]
) -> None:
    pool.withdraw(kid)
    timer.advance(100)
    assert loaded.get(kid), "the refresh has only begun"
    settle(loaded)

    assert loaded.get(kid) is None
    with pytest.raises(SignatureError):
        at_once(loaded.find(kid))
    assert events[-1] == KeysFetched(
        POOL_ID, kids=frozenset({pool.keys.identity.kid}), added=frozenset(), removed=frozenset({kid})
    )


def test_a_key_replaced_under_its_name_counts_from_the_next_refresh_on(
    loaded: KeySet, pool: LocalPool, kid: str, timer: Any, events: list[Event]
) -> None:
    old = loaded.get(kid)
    new = pool.replace(kid)
    timer.advance(100)
    loaded.get(kid)
    settle(loaded)

    key = loaded.get(kid)
    assert key is not None
    assert key is not old
    assert key.signed(b"message", new.sign(b"message"))
    assert events[-1] == KeysFetched(
        POOL_ID, kids=frozenset({kid, pool.keys.identity.kid}), added=frozenset({kid}), removed=frozenset()
    )


def test_tokens_of_a_withdrawn_key_are_refused(
    make_guard: Callable[..., CognitoGuard], pool: LocalPool, reader: LocalClient, kid: str, timer: Any
) -> None:
    guard = make_guard(key_policy=POLICY)
    token = pool.mint(client_id=reader.client_id, lifetime=3_600)
    assert asyncio.run(guard.verify(token))

    pool.replace(kid)
    timer.advance(100)
    asyncio.run(guard.prefetch())
    with pytest.raises(SignatureError) as caught:
        asyncio.run(guard.verify(token))
    assert caught.value.reason == "signature"

    pool.withdraw(kid)
    timer.advance(100)
    asyncio.run(guard.prefetch())
    with pytest.raises(SignatureError) as caught:
        asyncio.run(guard.verify(token))
    assert caught.value.reason == "unknown_key"
    asyncio.run(internals_of(guard).verifier.settle())


def test_a_key_that_did_not_change_stays_the_same_object(loaded: KeySet, fetch: Any, kid: str, timer: Any) -> None:
    """So verdicts that were reached with it can be recognised as still good."""
    key = loaded.get(kid)
    for _ in range(3):
        timer.advance(1_000)
        asyncio.run(loaded.load())
        settle(loaded)

    assert fetch.calls == 4
    assert loaded.get(kid) is key


# -- a saved key set


@pytest.fixture(params=["mapping", "path"])
def seed(request: pytest.FixtureRequest, pool: LocalPool, tmp_path: Path) -> Any:
    if request.param == "mapping":
        return pool.jwks()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(pool.jwks()))
    return path


def test_a_saved_set_serves_at_once_and_is_replaced_when_the_network_is_there(
    make_keys: Callable[..., KeySet], pool: LocalPool, seed: Any, fetch: Any, kid: str, events: list[Event]
) -> None:
    saved = kid
    keys = make_keys(UserPool(POOL_ID, client_ids=ANY_CLIENT, jwks=seed))
    pool.rotate()
    pool.withdraw(saved)
    assert keys.status() == {"ready": True, "keys": 2, "age": 0.0, "last_error": None}
    assert fetch.calls == 0

    assert at_once(keys.find(saved))
    settle(keys)

    assert fetch.calls == 1
    assert keys.get(saved) is None
    assert keys.get(pool.keys.access.kid)
    assert events == [
        KeysFetched(
            POOL_ID,
            kids=frozenset(key["kid"] for key in pool.jwks()["keys"]),
            added=frozenset({pool.keys.access.kid, pool.keys.identity.kid}),
            removed=frozenset({saved}),
        )
    ]


def test_a_saved_set_serves_offline_until_stale_for(
    make_keys: Callable[..., KeySet], seed: Any, fetch: Any, kid: str, timer: Any
) -> None:
    keys = make_keys(UserPool(POOL_ID, client_ids=ANY_CLIENT, jwks=seed))
    fetch.fail(FetchError("no"))
    asyncio.run(keys.load())

    timer.advance(999)
    assert at_once(keys.find(kid))
    settle(keys)
    timer.advance(1)
    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.find(kid))
    settle(keys)


@pytest.mark.parametrize("jwks", [{}, {"keys": []}, {"keys": [{"kty": "EC"}]}])
def test_a_saved_set_without_usable_keys_is_refused_at_construction(
    make_guard: Callable[..., CognitoGuard], jwks: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"^jwks: the key set holds no usable key$"):
        make_guard(UserPool(POOL_ID, client_ids=ANY_CLIENT, jwks=jwks))


# -- several pools, several URLs


@pytest.mark.anyio
async def test_each_pool_has_keys_of_its_own_even_under_the_same_kid(
    make_guard: Callable[..., CognitoGuard], pool_keys: PoolKeys, clock: Any
) -> None:
    first = LocalPool("eu-central-1_First", keys=pool_keys, clock=clock)
    second = LocalPool(
        "eu-west-1_Second", keys=PoolKeys(access=pool_keys.identity, identity=pool_keys.access), clock=clock
    )
    documents = {}
    for local in (first, second):
        local.add_client(scopes=["openid"], client_id="client", allowed_flows=["code"])
        # Both publish their key under one name.
        documents[local.pool_id] = json.dumps({"keys": [local.keys.access.jwk() | {"kid": "same"}]}).encode()

    def fetch(url: str, _: float) -> bytes:
        return documents[url.split("/")[3]]

    guard = make_guard(*(UserPool(local.pool_id, client_ids={"client"}) for local in (first, second)), fetch=fetch)
    headers = {"kid": "same"}

    for local, other in ((first, second), (second, first)):
        principal = await guard.verify(local.mint(headers=headers))
        assert principal.issuer == local.issuer
        with pytest.raises(SignatureError):
            await guard.verify(local.mint(headers=headers, iss=other.issuer))
    assert set(guard.status()) == {"eu-central-1_First", "eu-west-1_Second"}
    await internals_of(guard).verifier.settle()


@pytest.mark.anyio
async def test_an_outage_of_one_pool_is_none_of_the_other(
    make_guard: Callable[..., CognitoGuard],
    pool: LocalPool,
    pool_keys: PoolKeys,
    reader: LocalClient,
    user_pool: UserPool,
    fetch: Any,
    clock: Any,
) -> None:
    down = LocalPool("eu-west-1_Down", keys=pool_keys, clock=clock)

    def fetch_one(url: str, timeout: float) -> bytes:
        if POOL_ID not in url:
            raise FetchError("no")
        body: bytes = fetch(url, timeout)
        return body

    guard = make_guard(UserPool(down.pool_id, client_ids=ANY_CLIENT), user_pool, fetch=fetch_one)

    with pytest.raises(KeysUnavailableError):
        await guard.verify(down.mint(client_id=reader.client_id))
    assert await guard.verify(pool.mint(client_id=reader.client_id))
    assert [status["ready"] for status in guard.status().values()] == [False, True]
    await internals_of(guard).verifier.settle()


@pytest.mark.anyio
async def test_both_forms_of_issuer_share_one_key_set(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, user_pool: UserPool, fetch: Any
) -> None:
    for issuer in user_pool.issuers:
        assert await guard.verify(pool.mint(client_id=reader.client_id, iss=issuer))

    assert fetch.urls == [ORIGINAL]
    await internals_of(guard).verifier.settle()


@pytest.mark.anyio
async def test_replica_regions_share_the_key_set_and_are_tried_in_turn(
    make_guard: Callable[..., CognitoGuard], pool: LocalPool, reader: LocalClient
) -> None:
    urls = []

    def fetch(url: str, _: float) -> bytes:
        urls.append(url)
        if "us-east-1" not in url:
            raise FetchError("no")
        return json.dumps(pool.jwks()).encode()

    user_pool = UserPool(POOL_ID, client_ids={reader.client_id}, replica_regions=["us-east-1"])
    guard = make_guard(user_pool, fetch=fetch)
    replica = f"https://cognito-idp.us-east-1.amazonaws.com/{POOL_ID}"

    assert await guard.verify(pool.mint(client_id=reader.client_id, iss=replica))
    assert urls == [ORIGINAL, UPDATED, f"{replica}/.well-known/jwks.json"]
    await internals_of(guard).verifier.settle()


def only(working: str, fetch: Any, *, after: Callable[[], None] = lambda: None) -> Callable[[str, float], bytes]:
    """A network in which one URL works, and the others fail *after* something."""

    def fetch_only(url: str, timeout: float) -> bytes:
        body: bytes = fetch(url, timeout)
        if url == working:
            return body
        after()
        raise FetchError(f"status {500 + len(fetch.urls)} in place of 200")

    return fetch_only


def test_the_next_url_is_asked_in_the_same_attempt_and_remembered(
    make_keys: Callable[..., KeySet], user_pool: UserPool, fetch: Any, timer: Any, events: list[Event]
) -> None:
    keys = make_keys(user_pool, fetch=only(UPDATED, fetch))

    asyncio.run(keys.load())
    timer.advance(100)
    asyncio.run(keys.load())
    settle(keys)

    assert fetch.urls == [ORIGINAL, UPDATED, UPDATED]
    assert [type(event) for event in events] == [KeysFetched, KeysFetched]


def test_an_attempt_that_hung_at_one_url_lets_the_next_one_begin_with_the_other(
    make_keys: Callable[..., KeySet], user_pool: UserPool, fetch: Any, kid: str, timer: Any
) -> None:
    keys = make_keys(user_pool, fetch=only(UPDATED, fetch, after=lambda: timer.advance(3.0)))

    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.find(kid))
    assert fetch.urls == [ORIGINAL]

    timer.advance(1)
    assert asyncio.run(keys.find(kid))
    assert fetch.urls == [ORIGINAL, UPDATED]
    settle(keys)


def test_the_urls_of_an_attempt_share_its_time(
    make_keys: Callable[..., KeySet], user_pool: UserPool, timer: Any
) -> None:
    timeouts = []

    def fetch(_: str, timeout: float) -> bytes:
        timeouts.append(timeout)
        timer.advance(2.0)
        raise FetchError("no")

    keys = make_keys(user_pool, fetch=fetch)
    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.load())
    settle(keys)

    assert timeouts == [3.0, 1.0]


def test_if_all_urls_fail_each_reason_is_told_once(
    make_keys: Callable[..., KeySet], user_pool: UserPool, fetch: Any, timer: Any
) -> None:
    keys = make_keys(user_pool, fetch=only("none", fetch))
    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.load())
    assert keys.status()["last_error"] == "status 501 in place of 200, then status 502 in place of 200"

    keys = make_keys(user_pool)
    fetch.fail(FetchError("no"))
    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.load())
    assert keys.status()["last_error"] == "no"
    assert fetch.urls == [ORIGINAL, UPDATED] * 2
    settle(keys)


# -- prefetch and status


@pytest.mark.anyio
async def test_prefetch_fetches_what_is_not_fresh_and_nothing_else(
    make_guard: Callable[..., CognitoGuard], fetch: Any, timer: Any
) -> None:
    guard = make_guard(key_policy=POLICY)
    for age, calls in ((0, 1), (99.9, 1), (0.1, 2), (0, 2)):
        timer.advance(age)
        await guard.prefetch()
        assert fetch.calls == calls
    await internals_of(guard).verifier.settle()


@pytest.mark.anyio
async def test_prefetch_waits_for_new_keys_even_while_old_ones_are_held(
    loaded: KeySet, pool: LocalPool, timer: Any
) -> None:
    new = pool.rotate().access.kid
    timer.advance(100)

    await loaded.load()

    assert loaded.get(new)
    await loaded.settle()


@pytest.mark.anyio
async def test_prefetch_fails_only_if_there_are_no_keys_at_all(loaded: KeySet, fetch: Any, timer: Any) -> None:
    fetch.fail(FetchError("no"))
    timer.advance(999)
    await loaded.load()
    await loaded.load()
    assert fetch.calls == 2

    timer.advance(1)
    with pytest.raises(KeysUnavailableError):
        await loaded.load()
    await loaded.settle()


def test_the_status_of_keys_never_loaded_is_ready_for_json(keys: KeySet) -> None:
    status = keys.status()

    assert status == {"ready": False, "keys": 0, "age": None, "last_error": None}
    assert json.loads(json.dumps(status)) == status


# -- the policy itself


def test_the_defaults_of_the_policy_are_those_that_are_documented() -> None:
    policy = KeyPolicy()

    assert (policy.max_age, policy.stale_for, policy.cooldown, policy.timeout) == (3_600.0, 86_400.0, 10.0, 3.0)


NAMES = ("max_age", "stale_for", "cooldown", "timeout")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value", [0, 0.0, -0.0, -1, -0.001, math.nan, math.inf, -math.inf, 10**400, True, False, "10", b"1", None, [1], 1j]
)
def test_a_value_that_is_no_positive_number_of_seconds_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be a positive number of seconds, got "):
        KeyPolicy(**{name: value})


@pytest.mark.parametrize("value", [1, 7, 0.25, 1e-9, 1e9])
def test_any_positive_number_of_seconds_will_do(value: float) -> None:
    for name in NAMES:
        values = {"max_age": 1e-9, "stale_for": 1e9} | {name: value}
        assert getattr(KeyPolicy(**values), name) == value


def test_keys_may_not_go_before_they_are_due() -> None:
    assert KeyPolicy(max_age=60, stale_for=60)

    with pytest.raises(ConfigurationError, match=r"^stale_for \(59\.9 s\) must not be below max_age \(60 s\)"):
        KeyPolicy(max_age=60, stale_for=59.9)
    with pytest.raises(ConfigurationError, match="stale_for"):
        KeyPolicy(max_age=100_000)


@pytest.mark.anyio
async def test_fractions_of_a_second_work_with_a_real_clock(user_pool: UserPool, fetch: Any, kid: str) -> None:
    keys = KeySet(
        user_pool, KeyPolicy(max_age=0.001, stale_for=60, cooldown=0.001, timeout=0.5), Reporter(None), fetch=fetch
    )
    with anyio.fail_after(IN_TIME):
        while fetch.calls < 3:
            assert await keys.find(kid)
            await keys.settle()


def test_a_timer_that_stands_still_does_no_harm(make_keys: Callable[..., KeySet], fetch: Any, kid: str) -> None:
    keys = make_keys(timer=lambda: 0.0)
    for _ in range(10):
        assert asyncio.run(keys.find(kid))
    with pytest.raises(SignatureError):
        asyncio.run(keys.find("made-up"))

    assert fetch.calls == 1
    settle(keys)
