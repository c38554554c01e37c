"""Replaces the clock and the keys of an existing guard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cognito_guard import CognitoGuard, KeyPolicy, UserPool
from cognito_guard._keys.fetch import Fetch
from cognito_guard._requests.internals import internals_of


def pools_of(guard: CognitoGuard) -> tuple[UserPool, ...]:
    """Return the user pools of *guard*."""
    return internals_of(guard).verifier.pools


def policy_of(guard: CognitoGuard) -> KeyPolicy:
    """Return how *guard* keeps keys."""
    return internals_of(guard).verifier.policy


async def settle(guard: CognitoGuard) -> None:
    """Wait until *guard* has fetched the keys that it has begun to fetch."""
    await internals_of(guard).verifier.settle()


class Takeover:
    """
    Has *guard* judge by another clock and other keys, with all its other options, until `end`.

    What the guard knew, keys and verified tokens, is set aside and comes back at the end.

    Args:
        guard: The guard to change.
        fetch: Gets key sets.
        clock: Seconds since the epoch.
        timer: Monotonic seconds.

    """

    def __init__(
        self, guard: CognitoGuard, *, fetch: Fetch, clock: Callable[[], float], timer: Callable[[], float]
    ) -> None:
        self._internals: Final = internals_of(guard)
        self._own: Final = self._internals.verifier
        self._seams: Final[dict[str, Any]] = {"fetch": fetch, "clock": clock, "timer": timer}
        self.forget()

    def forget(self) -> None:
        """Have the guard forget the keys and tokens it has seen since it was taken over."""
        self._internals.verifier = self._own.with_seams(**self._seams)

    def end(self) -> None:
        """Give the guard back what it was made with."""
        self._internals.verifier = self._own
