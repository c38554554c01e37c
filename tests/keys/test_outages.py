"""What an outage and a bad answer change, and how the guard recovers."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import pytest

from cognito_guard import CognitoGuard, KeyPolicy
from cognito_guard._keys.fetch import FetchError
from cognito_guard._keys.key_set import KeySet
from cognito_guard._keys.pace import Pace
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import (
    KeysUnavailableError,
)
from cognito_guard.events import Event, KeysFailed
from cognito_guard.local import LocalClient, LocalPool, PoolKeys

POOL_ID = "eu-central-1_AbCdEf123"
ORIGINAL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/.well-known/jwks.json"
UPDATED = "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/.well-known/jwks.json"
POLICY = KeyPolicy(max_age=100.0, stale_for=1_000.0, cooldown=10.0, timeout=3.0)


# -- bad answers


BAD_ANSWERS = [
    pytest.param(lambda document: document[:-5], "the answer is not JSON", id="truncated"),
    pytest.param(lambda _: b"", "the answer is not JSON", id="empty"),
    pytest.param(lambda _: b"<html>", "the answer is not JSON", id="html"),
    pytest.param(lambda _: b"[" * 60_000, "the answer is nested too deep", id="nested-too-deep"),
    pytest.param(lambda _: b"[]", "the answer is not a JSON object", id="a-list"),
    pytest.param(lambda _: b"{}", "the key set holds no usable key", id="no-keys"),
    pytest.param(lambda _: b'{"keys": []}', "the key set holds no usable key", id="empty-keys"),
    pytest.param(
        lambda document: document.replace(b"RSA", b"EC"), "the key set holds no usable key", id="nothing-usable"
    ),
    pytest.param(lambda _: None, "the fetch returned NoneType, not bytes", id="no-bytes"),
    pytest.param(lambda document: document.decode(), "the fetch returned str, not bytes", id="text"),
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
    settle: Any,
) -> None:
    good = fetch.document
    fetch.document = lambda: spoil(good())
    key = loaded.get(kid)
    timer.advance(100)

    assert loaded.get(kid) is key
    settle(loaded)

    assert loaded.get(kid) is key
    advice = OWN_FETCH if "the fetch" in error else NO_KEY_SET
    error = f"{ORIGINAL}: {error}"
    assert loaded.status() == {
        "ready": True,
        "keys": 2,
        "age": 100.0,
        "last_error": f"{error}; {advice}",
        "next_attempt": 10.0,
    }
    assert events[-1] == KeysFailed(POOL_ID, error, usable=True, advice=advice, next_attempt=10.0)


NO_KEY_SET = "check jwks_url, and for a proxy or login page that answers instead"
OWN_FETCH = "check the function given as fetch"


class OwnError(BaseException):
    """What a user's own fetch may raise."""


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
    make_keys: Callable[..., KeySet],
    fetch: Any,
    kid: str,
    timer: Any,
    events: list[Event],
    error: Exception,
    settle: Any,
) -> None:
    """It is a failed attempt like any other. Its type is shown, but not its message."""
    keys = make_keys()
    good = fetch.document
    fetch.fail(error)

    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.load())
    settle(keys)

    message = f"{ORIGINAL}: the fetch raised {type(error).__name__}"
    assert events == [KeysFailed(POOL_ID, message, usable=False, advice=OWN_FETCH, next_attempt=1.0)]
    assert keys.status()["last_error"] == f"{message}; {OWN_FETCH}"
    fetch.document = good
    timer.advance(1)
    assert asyncio.run(keys.find(kid))
    assert keys.status()["last_error"] is None
    settle(keys)


def test_an_on_event_that_raises_has_no_effect(
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
    asyncio.run(internals_of(guard).verifier.issuers.settle())

    status = guard.status()[POOL_ID]
    assert (status["ready"], status["last_error"]) == (True, f"{ORIGINAL} and {UPDATED}: no")
    failures = {record.getMessage() for record in caplog.records if record.exc_info}
    assert failures == {f"on_event failed for {name}" for name in ("KeysFetched", "KeysFailed", "Verified")}


def test_an_on_event_may_ask_the_guard(
    make_guard: Callable[..., CognitoGuard], timer: Any, fetch: Any, at_once: Any
) -> None:
    """No lock is held meanwhile, not even if no thread can be started."""
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

    ((event, error),) = seen
    assert isinstance(event, KeysFailed)
    assert error == f"{event.error}; {event.advice}"
    assert event.error == "no thread could be started"


# -- outage


def test_keys_are_used_until_stale_for_and_no_longer(
    loaded: KeySet, fetch: Any, kid: str, timer: Any, settle: Any, at_once: Any
) -> None:
    fetch.fail(FetchError("no"))
    timer.advance(999.9)
    assert at_once(loaded.find(kid))
    settle(loaded)
    assert loaded.status()["ready"]

    timer.advance(0.1)
    assert loaded.status() == {
        "ready": False,
        "keys": 0,
        "age": 1_000.0,
        "last_error": f"{ORIGINAL}: no",
        "next_attempt": 0.0,
    }
    for name in (kid, "made-up"):
        with pytest.raises(KeysUnavailableError):
            asyncio.run(loaded.find(name))
    settle(loaded)


def test_when_keys_are_dropped_no_cooldown_delays_the_next_attempt(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any, settle: Any
) -> None:
    """Otherwise an outage that is over would last for the rest of the cooldown."""
    keys = make_keys(policy=KeyPolicy(max_age=100, stale_for=1_000, cooldown=5_000))
    asyncio.run(keys.load())
    settle(keys)
    timer.advance(1_000)

    assert asyncio.run(keys.find(kid))
    assert fetch.calls == 2
    settle(keys)


def test_the_cooldown_does_not_count_while_there_are_no_keys(
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any, settle: Any
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
    make_keys: Callable[..., KeySet], fetch: Any, kid: str, timer: Any, jitter: float, steps: list[float], at_once: Any
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
    assert keys.status() == {"ready": True, "keys": 2, "age": 0.0, "last_error": None, "next_attempt": None}
    await keys.settle()


def test_in_an_outage_of_any_length_the_longest_wait_is_thirty_seconds() -> None:
    pace = Pace(POLICY, jitter=lambda: 1.0)
    for _ in range(2_000):
        pace.failed(0.0, 0.0, held=False)

    assert pace.next_attempt_in(0.0, held=False) == 30.0


@pytest.mark.anyio
async def test_after_a_recovery_the_back_off_starts_again(
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
    """Fetches that use all of their time and then fail."""

    def fetch_in_vain(_: str, timeout: float) -> bytes:
        threading.Event().wait(timeout)
        raise FetchError("no complete answer")

    keys = make_keys(fetch=fetch_in_vain, policy=KeyPolicy(timeout=0.1))
    for step in (1, 2, 4):
        with pytest.raises(KeysUnavailableError) as caught:
            await keys.find(kid)
        assert caught.value.retry_after == step
        timer.advance(step)

    assert keys.status()["last_error"] == f"{ORIGINAL}: no complete answer"
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
    await internals_of(guard).verifier.issuers.settle()


def test_an_outage_takes_few_log_lines(
    make_keys: Callable[..., KeySet],
    fetch: Any,
    pool: LocalPool,
    kid: str,
    timer: Any,
    caplog: pytest.LogCaptureFixture,
    settle: Any,
    new_keys: Callable[[], PoolKeys],
) -> None:
    caplog.set_level(logging.INFO, "cognito_guard")
    keys = make_keys()
    good = fetch.document

    def use(after: float) -> None:
        timer.advance(after)
        for _ in range(100):
            keys.get(kid)
        settle(keys)

    fetch.fail(FetchError("status 500 instead of 200"))
    use(after=0)
    fetch.document = good
    use(after=1)
    use(after=100)
    fetch.fail(FetchError("no answer within 3 s", "check the route"))
    use(after=100)
    use(after=900)
    pool.rotate(new_keys())
    pool.withdraw(kid)
    fetch.document = good
    use(after=30)

    lines = [record.getMessage().removeprefix(f"keys of {POOL_ID} ") for record in caplog.records]
    assert lines == [
        f"not fetched: {ORIGINAL}: status 500 instead of 200; no keys to verify tokens with; next attempt in 1.0 s",
        "fetched: 2, 2 new",
        (
            f"not fetched: {ORIGINAL}: no answer within 3 s; check the route; 2 keys, fetched 100 s ago, "
            "stay in use for 900 s at most; next attempt in 10.0 s"
        ),
        (
            f"not fetched: {ORIGINAL}: no answer within 3 s; check the route; no keys to verify tokens with; "
            "next attempt in 1.0 s"
        ),
        "fetched: 3, 2 new, 1 gone",
    ]
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "WARNING", "ERROR", "INFO"]
