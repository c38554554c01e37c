"""A clock that is moved by hand."""

from __future__ import annotations

import math
import time


class ManualClock:
    """
    Shows the same time until it is moved.

    Args:
        now: Seconds since the epoch; by default the present, in whole seconds.

    Attributes:
        now: What it shows. Set it to any time.

    """

    def __init__(self, now: float | None = None) -> None:
        self.now: float = math.floor(time.time()) if now is None else now

    def __call__(self) -> float:
        """Return what it shows."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move it by so many *seconds*."""
        self.now += seconds

    def __repr__(self) -> str:
        return f"ManualClock({self.now!r})"
