"""The policy itself: its values and their bounds."""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trio
import trio.testing

from cognito_guard import KeyPolicy, UserPool
from cognito_guard._keys.key_set import KeySet
from cognito_guard._report.reporter import Reporter
from cognito_guard.errors import (
    ConfigurationError,
    KeysUnavailableError,
    SignatureError,
)
from tests.keys.gate import IN_TIME, Gate


def test_the_defaults_of_the_policy_are_the_documented_ones() -> None:
    policy = KeyPolicy()

    assert (policy.max_age, policy.stale_for, policy.cooldown, policy.timeout) == (3_600.0, 86_400.0, 10.0, 3.0)


NAMES = ("max_age", "stale_for", "cooldown", "timeout")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value", [0, 0.0, -0.0, -1, -0.001, math.nan, math.inf, -math.inf, 10**400, True, False, "10", b"1", None, [1], 1j]
)
def test_a_value_that_is_not_a_positive_number_of_seconds_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^{name} must be a positive number of seconds, got "):
        KeyPolicy(**{name: value})


@pytest.mark.parametrize("value", [1, 7, 0.25, 1e-9, 1e9])
def test_any_positive_number_of_seconds_is_accepted(value: float) -> None:
    for name in NAMES:
        values = {"max_age": 1e-9, "stale_for": 1e9} | {name: value}
        assert getattr(KeyPolicy(**values), name) == value


@pytest.mark.parametrize("value", [sys.float_info.max, int(sys.float_info.max)])
def test_the_largest_float_is_the_largest_number_of_seconds(value: float) -> None:
    assert KeyPolicy(max_age=value, stale_for=value, cooldown=value, timeout=value).timeout == value

    with pytest.raises(ConfigurationError, match="positive number"):
        KeyPolicy(timeout=int(value) + 1)


def test_a_policy_takes_its_values_by_name_and_keeps_them() -> None:
    policy: Any = KeyPolicy()

    for name in (*NAMES, "max_aeg"):
        with pytest.raises((FrozenInstanceError, TypeError)):
            setattr(policy, name, 1.0)
    assert not hasattr(policy, "__dict__")
    with pytest.raises(TypeError):
        KeyPolicy(*[3_600.0])


def test_keys_may_not_be_dropped_before_they_are_due() -> None:
    assert KeyPolicy(max_age=60, stale_for=60)

    with pytest.raises(ConfigurationError, match=r"^stale_for \(59\.9 s\) must not be below max_age \(60 s\)"):
        KeyPolicy(max_age=60, stale_for=59.9)
    with pytest.raises(ConfigurationError, match="stale_for"):
        KeyPolicy(max_age=100_000)


@pytest.mark.anyio
async def test_fractions_of_a_second_work_with_a_real_clock(user_pool: UserPool, fetch: Any, kid: str) -> None:
    keys = KeySet(
        user_pool, KeyPolicy(max_age=0.001, stale_for=60, cooldown=0.001, timeout=20.5), Reporter(None), fetch=fetch
    )
    with anyio.fail_after(IN_TIME):
        while fetch.calls < 3:
            assert await keys.find(kid)
            await keys.settle()


def test_a_timer_that_stands_still_works(make_keys: Callable[..., KeySet], fetch: Any, kid: str, settle: Any) -> None:
    keys = make_keys(timer=lambda: 0.0)
    for _ in range(10):
        assert asyncio.run(keys.find(kid))
    with pytest.raises(SignatureError):
        asyncio.run(keys.find("made-up"))

    assert fetch.calls == 1
    settle(keys)


class Leaping(selectors.DefaultSelector):
    """Moves *clock* instead of waiting."""

    def __init__(self, clock: Any) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        self._clock.advance(0.0 if events else timeout or 0.0)
        return events


class LeapingLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: Any) -> None:
        self._clock = clock
        super().__init__(Leaping(clock))

    def time(self) -> float:
        now: float = self._clock()
        return now


async def waiting_in_vain(keys: KeySet, kid: str) -> float:
    """Return for how many seconds that was."""
    started = anyio.current_time()
    with pytest.raises(KeysUnavailableError):
        await keys.find(kid)
    return anyio.current_time() - started


PATIENT = KeyPolicy(timeout=7.0)
TWO_ATTEMPTS = 2 * (7.0 + 1.0)
"""A request waits for so many, and one second longer than each may take, so that it knows when the next is due."""


def test_a_request_does_not_wait_for_ever_on_asyncio(
    make_keys: Callable[..., KeySet], gate: Gate, timer: Any, kid: str, settle: Callable[[KeySet], None]
) -> None:
    keys = make_keys(fetch=gate, policy=PATIENT)

    with asyncio.Runner(loop_factory=lambda: LeapingLoop(timer)) as runner:
        waited = runner.run(waiting_in_vain(keys, kid))

    gate.open.set()
    settle(keys)
    assert gate.calls == 2
    assert waited == pytest.approx(TWO_ATTEMPTS)


def test_a_request_does_not_wait_for_ever_on_trio(
    make_keys: Callable[..., KeySet], gate: Gate, kid: str, settle: Callable[[KeySet], None]
) -> None:
    clock = trio.testing.MockClock(autojump_threshold=0.0)
    keys = make_keys(fetch=gate, policy=PATIENT, timer=clock.current_time)

    waited = trio.run(waiting_in_vain, keys, kid, clock=clock)

    gate.open.set()
    settle(keys)
    assert gate.calls == 2
    assert waited == pytest.approx(TWO_ATTEMPTS)
