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
    """Return the `KeyPolicy` of *guard*."""
    return internals_of(guard).verifier.policy


async def settle(guard: CognitoGuard) -> None:
    """Wait until *guard* has finished the fetches of keys that are under way."""
    await internals_of(guard).verifier.issuers.settle()


class Takeover:
    """
    Makes *guard* use another clock and other keys until `end`. All its other options stay.

    The guard's keys and verified tokens are put aside, and restored at the end.

    Args:
        guard: The guard to change.
        fetch: Gets key sets.
        clock: Returns seconds since the epoch.
        timer: Returns monotonic seconds.

    """

    def __init__(
        self, guard: CognitoGuard, *, fetch: Fetch, clock: Callable[[], float], timer: Callable[[], float]
    ) -> None:
        self._internals: Final = internals_of(guard)
        self._own: Final = self._internals.verifier
        self._seams: Final[dict[str, Any]] = {"fetch": fetch, "clock": clock, "timer": timer}
        self.forget()

    def forget(self) -> None:
        """Make the guard forget its keys and verified tokens since the takeover."""
        self._internals.verifier = self._own.with_seams(**self._seams)

    def end(self) -> None:
        """Restore the guard's own clock, keys and verified tokens."""
        self._internals.verifier = self._own
