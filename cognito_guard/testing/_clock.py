"""A clock that tests move, and that follows freezegun and time-machine."""

from __future__ import annotations

import math
import sys
import time
from types import BuiltinFunctionType


class ManualClock:
    """
    Stands still until it is moved, or until freezegun or time-machine changes the time of the process.

    While one of these is active, the clock shows their time, plus the seconds by which the clock was moved.

    Args:
        now: The start, in seconds since the epoch. A clock with a given start does not follow freezegun or
            time-machine. Default: the present time, in whole seconds.

    Attributes:
        moved: Seconds by which the clock has been moved; negative if it was moved back.

    """

    def __init__(self, now: float | None = None) -> None:
        self._start = now
        self._follows = now is None
        self._forward = 0.0
        self.moved: float = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds since the epoch."""
        return self._unmoved() + self.moved

    @property
    def now(self) -> float:
        """The time, in seconds since the epoch. It can be set to any time."""
        return self()

    @now.setter
    def now(self, now: float) -> None:
        self.advance(now - self())

    def advance(self, seconds: float) -> None:
        """Move the clock forward by *seconds*, or back if they are negative."""
        self.moved += seconds
        self._forward += max(seconds, 0.0)

    def timer(self) -> float:
        """
        Return by how many seconds the clock was moved forward in total: the monotonic clock of this clock.

        The age of keys is measured with it. Like `time.monotonic` in production, it does not follow a faked time of
        day: if a test travels to another year, its keys do not age.
        """
        return self._forward

    def _unmoved(self) -> float:
        if self._follows and _is_faked():
            return time.time()
        if self._start is None:
            self._start = float(math.floor(time.time()))
        return self._start

    def __repr__(self) -> str:
        return f"ManualClock({self()!r})"


def _is_faked() -> bool:
    """Return whether the time of the process is not the real one."""
    # freezegun and mocks replace time.time, a built-in. time-machine changes the result of the built-in.
    machine = sys.modules.get("time_machine")
    return not isinstance(time.time, BuiltinFunctionType) or (
        machine is not None and machine.escape_hatch.is_travelling()
    )
