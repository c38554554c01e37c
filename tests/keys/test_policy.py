"""The policy itself: its values and their bounds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cognito_guard import KeyPolicy, UserPool
from cognito_guard._keys.key_set import KeySet
from cognito_guard._report.reporter import Reporter
from cognito_guard.errors import (
    ConfigurationError,
    SignatureError,
)
from tests.keys.gate import IN_TIME


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
