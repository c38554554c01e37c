"""
Another clock and other keys for a guard that is already made.

The one place that knows what a guard is made of.
"""
# ruff: noqa: SLF001 - see above

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cognito_guard import CognitoGuard, KeyPolicy, UserPool
from cognito_guard._keys.fetch import Fetch
from cognito_guard._tokens.verifier import Verifier


def pools_of(guard: CognitoGuard) -> tuple[UserPool, ...]:
    """Return the user pools of *guard*."""
    return tuple(trusted.pool for trusted in guard._pools)


def policy_of(guard: CognitoGuard) -> KeyPolicy:
    """Return how *guard* keeps keys."""
    return guard._pools[0].keys._policy


@contextmanager
def taken_over(guard: CognitoGuard, *, fetch: Fetch, clock: Callable[[], float]) -> Iterator[None]:
    """Have *guard* judge by these for a block, with all its other options, and forget what it knew until after."""
    own = dict(vars(guard))
    other = Verifier(
        pools_of(guard),
        leeway=guard._leeway,
        token_cache=guard._verdicts._capacity,
        key_policy=policy_of(guard),
        reporter=guard._reporter,
        clock=clock,
        timer=clock,
        fetch=fetch,
    )
    # Not assigned: for everybody else it never changes what a guard judges by.
    vars(guard).update(vars(other))
    try:
        yield
    finally:
        vars(guard).update(own)
