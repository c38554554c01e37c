"""Replaces the clock and the keys of an existing guard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cognito_guard import CognitoGuard, KeyPolicy, UserPool
from cognito_guard._keys.fetch import Fetch
from cognito_guard._requests.internals import internals_of


def pools_of(guard: CognitoGuard) -> tuple[UserPool, ...]:
    """Return the user pools of *guard*."""
    return internals_of(guard).verifier.pools


def policy_of(guard: CognitoGuard) -> KeyPolicy:
    """Return how *guard* keeps keys."""
    return internals_of(guard).verifier.policy


@contextmanager
def taken_over(guard: CognitoGuard, *, fetch: Fetch, clock: Callable[[], float]) -> Iterator[None]:
    """Have *guard* judge by these for a block, with all its other options, and forget what it knew until after."""
    internals = internals_of(guard)
    own = internals.verifier
    internals.verifier = own.with_seams(fetch=fetch, clock=clock, timer=clock)
    try:
        yield
    finally:
        internals.verifier = own
