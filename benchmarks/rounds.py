"""
Measures things beside each other.

A shared machine is slower at one moment than at the next. So the things that are compared take turns of a few
milliseconds, and a ratio is the median of the ratios within each round: a disturbance affects both. Processor time is
measured, because a short turn often runs without an interruption and a long one does not.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, TypeVar

from benchmarks.progress import Progress

Item = TypeVar("Item")

_WARM_UP: Final = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One of the things that are compared. *run* does it *calls* times."""

    name: str
    run: Callable[[], Coroutine[Any, Any, None]]
    calls: int


class Timings:
    """Seconds of processor time per call of each case, one for each round."""

    def __init__(self, samples: dict[str, list[float]]) -> None:
        self._samples: Final = samples

    def seconds(self, name: str) -> float:
        """Return the median of one case."""
        return median(self._samples[name])

    def ratio(self, name: str, baseline: str) -> float:
        """Return how many times as long *name* took as *baseline* did in the same round, as median of all rounds."""
        return median(ours / theirs for ours, theirs in zip(self._samples[name], self._samples[baseline], strict=True))

    def excess(self, name: str, baseline: str) -> float:
        """Return how many seconds longer *name* took than *baseline* in the same round, as median of all rounds."""
        return median(ours - theirs for ours, theirs in zip(self._samples[name], self._samples[baseline], strict=True))


def interleave(cases: Sequence[Case], rounds: int, progress: Progress) -> Timings:
    """Return how long each of *cases* takes. The garbage collector stays on, as in production."""
    by_name = {case.name: case for case in cases}
    # One loop for all: what a case left to one that is closed by now would never run.
    with asyncio.Runner() as runner:
        return take_turns(list(by_name), lambda name: runner.run(timed(by_name[name])), rounds, progress)


async def timed(case: Case) -> float:
    """Return the seconds of processor time that one call of *case* takes."""
    began = time.process_time()
    await case.run()
    return (time.process_time() - began) / case.calls


def take_turns(names: Sequence[str], turn_of: Callable[[str], float], rounds: int, progress: Progress) -> Timings:
    """Return what *turn_of* says of each of *names*, in turn."""
    samples: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-_WARM_UP, rounds):
        # A different case begins each time, because the previous one leaves traces in the processor's caches.
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            seconds = turn_of(name)
            if turn >= 0:
                samples[name].append(seconds)
        progress.show(max(0, turn + 1), rounds)
    return Timings(samples)


def in_turn(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Yield *size* of *items* at a time, all of them before any comes again, for ever."""
    return itertools.cycle([items[start : start + size] for start in range(0, len(items) - size + 1, size)])
