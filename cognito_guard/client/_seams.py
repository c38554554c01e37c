"""Time, waiting and randomness, for tests to replace."""

from __future__ import annotations

import random as randomness
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seams:
    """
    The sources of time and randomness.

    Attributes:
        clock: Seconds since the epoch. The expiry of tokens is compared with it, because a monotonic clock may stand
            still while a machine is suspended.
        timer: Monotonic clock, in seconds. Pauses and deadlines are measured with it.
        sleep: Waits a number of seconds, on a thread of the client.
        random: Returns a random number from 0 up to 1. The generator is seeded again after a fork.

    """

    clock: Callable[[], float] = time.time
    timer: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    random: Callable[[], float] = randomness.random
