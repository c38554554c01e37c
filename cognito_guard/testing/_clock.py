"""A clock that is moved by hand, and that follows freezegun and time-machine."""

from __future__ import annotations

import math
import sys
import time
from types import BuiltinFunctionType


class ManualClock:
    """
    Shows the same time until it is moved, or until freezegun or time-machine changes the time of the process.

    While one of these is active, the clock shows their time. What the clock was moved by is added.

    Args:
        now: Seconds since the epoch to start from; such a clock follows neither freezegun nor time-machine. Default:
            the present, in whole seconds.

    Attributes:
        moved: Seconds by which the clock was moved so far; negative if it was moved back.

    """

    def __init__(self, now: float | None = None) -> None:
        self._start = now
        self._follows = now is None
        self._forward = 0.0
        self.moved: float = 0.0

    def __call__(self) -> float:
        """Return the time it shows, in seconds since the epoch."""
        return self._unmoved() + self.moved

    @property
    def now(self) -> float:
        """The time it shows, in seconds since the epoch. Set it to any time."""
        return self()

    @now.setter
    def now(self, now: float) -> None:
        self.advance(now - self())

    def advance(self, seconds: float) -> None:
        """Move it by so many *seconds*; by a negative number to move it back."""
        self.moved += seconds
        self._forward += max(seconds, 0.0)

    def timer(self) -> float:
        """
        Return how many seconds it was moved forward in all: the monotonic clock that belongs to this one.

        The age of keys is measured with it. Like `time.monotonic` in production, it does not follow a faked time of
        day: a test that travels to another year finds its keys as old as before.
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
    # freezegun and mocks replace time.time, which is a built-in. time-machine changes what the built-in returns.
    machine = sys.modules.get("time_machine")
    return not isinstance(time.time, BuiltinFunctionType) or (
        machine is not None and machine.escape_hatch.is_travelling()
    )
