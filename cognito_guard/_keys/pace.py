"""How soon after one attempt the next may start."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final

from cognito_guard._keys.policy import FIRST_BACKOFF, LAST_BACKOFF, KeyPolicy


class Pace:
    """
    The cooldown while keys are held, the back-off while none are.

    Args:
        policy: Its `cooldown` and `timeout` count.
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
        """Return the seconds until the next attempt may start. *held*: whether keys are held."""
        return max(0.0, (self.attempted_at + self._policy.cooldown if held else self._retry_at) - now)

    def succeeded(self) -> None:
        """Begin the next back-off anew."""
        self._failures = 0

    def failed(self, began: float, now: float, *, held: bool) -> None:
        """Note that an attempt that *began* then has failed."""
        if held:
            # The cooldown bounds the attempts. Once the keys have run out, the next one may start at once.
            self._failures = 0
            return
        longest = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 10))
        # A process that was stopped meanwhile has waited already.
        self._retry_at = min(now, began + self._policy.timeout) + longest * (1 + self._jitter()) / 2
        self._failures += 1
