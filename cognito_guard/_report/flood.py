"""Limits the log lines of refusals: the first ones are written in full, the others are counted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count
from typing import Final, NamedTuple

IN_FULL: Final = 10
"""How many refusals of each reason are written in full within one window."""

WINDOW: Final = 10.0
"""Seconds after which the others are summarised."""


class Kind(NamedTuple):
    """The refusals that are counted together have these in common."""

    level: int
    status: int
    reason: str


Summarise = Callable[[Kind, int], None]


class _Window:
    """The refusals of ten seconds: a counter for each kind. `next` on a counter is atomic."""

    __slots__ = ("counters", "ends_at", "owner")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.counters: dict[Kind, count[int]] = {}
        self.owner: dict[str, object] = {}


class Flood:
    """
    Decides which refusals are written in full. It has no thread, and no lock, because a fork could leave a lock locked.

    The count is written at the next call of `admits` or `settle` after the ten seconds. The guard calls
    `settle` for each token that it accepts. If neither is called, `close` writes it when the app shuts down; otherwise
    it is written when the guard is dropped or the interpreter exits.

    Args:
        timer: Returns monotonic seconds.
        summarise: Called with each kind of counted refusals, and their number.

    Attributes:
        is_pending: Whether there is a count that has not been written yet.

    """

    def __init__(self, timer: Callable[[], float], summarise: Summarise) -> None:
        self._timer: Final = timer
        self._summarise: Final = summarise
        self._windows: Final = [_Window(float("-inf"))]
        self.is_pending = False
        weakref.finalize(self, _write_out, self._windows, summarise)

    def admits(self, kind: Kind) -> bool:
        """Return whether a refusal of *kind* must be written in full. If not, it is counted."""
        self.settle()
        number = next(self._windows[0].counters.setdefault(kind, count(1)))
        if number > IN_FULL:
            self.is_pending = True
        return number <= IN_FULL

    def settle(self) -> None:
        """Write the count if its ten seconds are over."""
        now = self._timer()
        if now >= self._windows[0].ends_at:
            self._turn(now)

    def close(self) -> None:
        """Write the count, even if its ten seconds are not over."""
        self._turn(self._timer())

    def _turn(self, now: float) -> None:
        self.is_pending = False
        old = self._windows[0]
        self._windows[0] = _Window(now + WINDOW)
        _write_out([old], self._summarise)


def _write_out(windows: list[_Window], summarise: Summarise) -> None:
    window, me = windows[0], object()
    # Two threads may end a window at once. setdefault is atomic, so only one of them writes the counts.
    if window.owner.setdefault("", me) is me:
        for kind, counter in list(window.counters.items()):
            counted = next(counter) - 1 - IN_FULL
            if counted > 0:
                summarise(kind, counted)
