"""What a test replaces: time, waiting and chance."""

from __future__ import annotations

import random as randomness
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seams:
    """
    Where time and chance come from.

    Attributes:
        clock: Seconds since the epoch. Tokens are timed with it, because a monotonic clock may stand still while a
            machine is suspended, and their expiry does not.
        timer: Monotonic clock, in seconds. Pauses and deadlines are measured with it.
        sleep: Waits a number of seconds, on a thread of the client.
        random: Returns a number from 0 up to 1, of a generator that is seeded anew after a fork.

    """

    clock: Callable[[], float] = time.time
    timer: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    random: Callable[[], float] = randomness.random
