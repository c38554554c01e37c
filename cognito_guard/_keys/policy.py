"""How long the keys of a user pool are used, how often they are fetched, and how their state is shown."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Final, TypedDict

from cognito_guard.errors import ConfigurationError

FIRST_BACKOFF: Final = 1.0
"""Longest wait after the first failed attempt while there are no keys, in seconds. Each further failure doubles it."""

LAST_BACKOFF: Final = 30.0
"""Longest wait between attempts while there are no keys, in seconds."""

MOST_WAITING_COLD: Final = 10_000
"""Most requests that wait for one attempt while no keys are held: every request with a token has to wait."""

MOST_WAITING_WARM: Final = 1_000
"""Most requests that wait for one attempt while keys are held: only tokens with an unknown `kid` wait."""

GRACE: Final = 1.0
"""How much longer than `KeyPolicy.timeout` requests wait for an attempt, in seconds. The attempt ends first, so it is
known when the next one may start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """
    How long keys are used, and how often they are fetched. All values are seconds: any positive number.

    A pool that withdraws *all* of its keys looks like a broken key set, so the keys held stay in use until `stale_for`.
    To drop them sooner, restart the process or choose a shorter `stale_for`. A key that is withdrawn while others stay
    is dropped at the next refresh, `max_age` after the last one.

    Attributes:
        max_age: Refresh keys that are older. They stay in use meanwhile.
        stale_for: Drop keys that are older and could not be refreshed. At least `max_age`.
        cooldown: Shortest time between two attempts, failed or not, while keys are held. It bounds what made-up key ids
            cost. A token with an unknown `kid` gets 401 `unknown_key` during the cooldown: while such tokens arrive, a
            rotated key may stay unknown for up to `cooldown`.
        timeout: Longest time one attempt may take, from the look-up of the host to the last byte. An answer that has
            arrived by then is still read, for up to one second more.

    Raises:
        ConfigurationError: A value is zero, negative, not finite or not a number, or `stale_for` is less than
            `max_age`.

    """

    max_age: float = 60 * 60.0
    stale_for: float = 24 * 60 * 60.0
    cooldown: float = 10.0
    timeout: float = 3.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
                raise ConfigurationError(f"{name} must be a positive number of seconds, got {value!r}")
        if self.stale_for < self.max_age:
            raise ConfigurationError(
                f"stale_for ({self.stale_for:g} s) must not be below max_age ({self.max_age:g} s): "
                "keys would be dropped before they are due for a refresh"
            )


class KeyStatus(TypedDict):
    """
    The state of a pool's keys, ready for JSON.

    `ready`: tokens can be verified. `keys`: how many are in use. `age`: seconds since they were requested (for a saved
    set: since the start), or None. `last_error`: why the latest attempt failed and what to look at, or None if it did
    not fail. `next_attempt`: after a failed attempt, seconds until the next one may start; else None.
    """

    ready: bool
    keys: int
    age: float | None
    last_error: str | None
    next_attempt: float | None
