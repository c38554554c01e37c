"""When the next attempt may start."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

from cognito_guard._keys.policy import FIRST_BACKOFF, LAST_BACKOFF, KeyPolicy


class Pace:
    """
    While keys are held, a cooldown separates attempts. While none are held, a back-off does.

    Args:
        policy: Only `cooldown` and `timeout` are used.
        jitter: Returns a number from 0 to 1 that spreads the attempts of many processes.

    Attributes:
        attempted_at: When the last attempt began.

    """

    def __init__(self, policy: KeyPolicy, jitter: Callable[[], float] = random.random) -> None:
        self._policy: Final = policy
        self._jitter: Final = jitter
        self._retry_at = -math.inf
        self._failures = 0
        self.attempted_at = -math.inf

    def next_attempt_in(self, now: float, *, held: bool) -> float:
        """Return the seconds until the next attempt may start. *held* says whether keys are held."""
        return max(0.0, (self.attempted_at + self._policy.cooldown if held else self._retry_at) - now)

    def succeeded(self) -> None:
        """Reset the back-off."""
        self._failures = 0

    def failed(self, began: float, now: float, *, held: bool) -> None:
        """Record that the attempt that *began* at that time has failed."""
        if held:
            # The cooldown separates the attempts. When the keys are dropped, the next attempt may start at once.
            return
        longest = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 10))
        # If the process was stopped during the attempt, that time counts as waiting.
        self._retry_at = min(now, began + self._policy.timeout) + longest * (1 + self._jitter()) / 2
        self._failures += 1
