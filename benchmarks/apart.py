"""
Cases in processes of their own.

The interpreter fits its bytecode to the objects that it meets. A guarded app and a bare one in one process would spoil
that for each other, and at users' they never run in one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Final

from benchmarks.progress import Progress
from benchmarks.rounds import Case, Timings, take_turns, timed

_READY, _TURN, _END = "ready", "turn", "end"

MakeCase = Callable[[], Awaitable[Case]]

_FORK: Final = get_context("fork")
"""What was prepared before, such as tokens, is there in each process at once."""


def interleave_apart(cases: Mapping[str, MakeCase], rounds: int, progress: Progress) -> Timings:
    """Return how long each of *cases* takes, each made and run in a process of its own, one at a time."""
    with ExitStack() as stack:
        ends = {name: stack.enter_context(_process(make)) for name, make in cases.items()}

        def turn_of(name: str) -> float:
            ends[name].send(_TURN)
            seconds: float = ends[name].recv()
            return seconds

        return take_turns(list(cases), turn_of, rounds, progress)


@contextmanager
def _process(make: MakeCase) -> Iterator[Connection]:
    ours, theirs = _FORK.Pipe()
    process = _FORK.Process(target=_run, args=(make, theirs))
    process.start()
    theirs.close()
    # Made now, not while another one is measured; an end of file says that it failed.
    ours.recv()
    try:
        yield ours
    finally:
        ours.send(_END)
        process.join()


def _run(make: MakeCase, end: Connection) -> None:
    asyncio.run(_serve(make, end))


async def _serve(make: MakeCase, end: Connection) -> None:
    case = await make()
    end.send(_READY)
    while end.recv() != _END:
        end.send(await timed(case))
