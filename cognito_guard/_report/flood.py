"""Refusals by the thousand: the first ones are written in full, the others are counted."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from itertools import count
from typing import Final, NamedTuple

IN_FULL: Final = 10
"""Refusals of each reason that are written in full within one window."""

WINDOW: Final = 10.0
"""Seconds after which the others are summarised."""


class Kind(NamedTuple):
    """What refusals that are counted together have in common."""

    level: int
    status: int
    reason: str


Summarise = Callable[[Kind, int], None]


class _Window:
    """The refusals of ten seconds, by kind: of each a counter, whose `next` is atomic."""

    __slots__ = ("counters", "ends_at", "owner")

    def __init__(self, ends_at: float) -> None:
        self.ends_at = ends_at
        self.counters: dict[Kind, count[int]] = {}
        self.owner: dict[str, object] = {}


class Flood:
    """
    Decides which refusals are written in full. No thread, no lock: a fork could leave a lock locked for ever.

    What was counted is written with the next call of `admits` or `settle` after the ten seconds. The guard calls
    `settle` for each token that it accepts. Where neither comes, `close` writes it: when the app shuts down, when the
    guard is dropped, or when the interpreter exits.

    Args:
        timer: Monotonic seconds.
        summarise: Called with each kind of which refusals were counted, and how many.

    Attributes:
        is_pending: Whether any refusals are counted and not written yet.

    """

    def __init__(self, timer: Callable[[], float], summarise: Summarise) -> None:
        self._timer: Final = timer
        self._summarise: Final = summarise
        self._windows: Final = [_Window(float("-inf"))]
        self.is_pending = False
        weakref.finalize(self, _write_out, self._windows, summarise)

    def admits(self, kind: Kind) -> bool:
        """Return whether a refusal of *kind* is to be written in full; if not, it is counted."""
        self.settle()
        number = next(self._windows[0].counters.setdefault(kind, count(1)))
        if number > IN_FULL:
            self.is_pending = True
        return number <= IN_FULL

    def settle(self) -> None:
        """Write what was counted, if its ten seconds are over."""
        now = self._timer()
        if now >= self._windows[0].ends_at:
            self._turn(now)

    def close(self) -> None:
        """Write what was counted, whether its ten seconds are over or not."""
        self._turn(self._timer())

    def _turn(self, now: float) -> None:
        self.is_pending = False
        old = self._windows[0]
        self._windows[0] = _Window(now + WINDOW)
        _write_out([old], self._summarise)


def _write_out(windows: list[_Window], summarise: Summarise) -> None:
    window, me = windows[0], object()
    # Two threads may turn at once; setdefault is atomic, and one of them finds itself in there.
    if window.owner.setdefault("", me) is me:
        for kind, counter in list(window.counters.items()):
            counted = next(counter) - 1 - IN_FULL
            if counted > 0:
                summarise(kind, counted)
