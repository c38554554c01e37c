"""The loop of one job, on a clock that tests move: when the job is ended, and what is closed with it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from cognito_guard._keys.loop import OneJobLoop

TIMEOUT = 3.0
AT_LEISURE = 20.0


class Ticking:
    """A clock that is looked at every millisecond or so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 2.0**-10
        return self.now


def run(timer: Callable[[], float], job: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, OneJobLoop)
        return await loop.within(TIMEOUT, job())

    with asyncio.Runner(loop_factory=lambda: OneJobLoop(timer=timer)) as runner:
        return runner.run(main())


def test_a_job_that_never_waits_gets_one_second_more_and_no_longer(timer: Any) -> None:
    async def job() -> None:
        while True:
            if timer.now > 2_000.0:
                raise AssertionError("it was never ended")
            timer.advance(0.125)
            await asyncio.sleep(0)

    with pytest.raises(TimeoutError):
        run(timer, job)

    # It is late at 1003.0, and that is first seen after one more step.
    assert timer.now == 1003.125 + 1.0


def test_a_job_that_never_waits_may_end_within_that_second(timer: Any) -> None:
    async def job() -> str:
        while timer.now < 1003.875:
            timer.advance(0.125)
            await asyncio.sleep(0)
        return "done"

    assert run(timer, job) == "done"


def test_a_job_that_waits_in_vain_is_ended_as_soon_as_it_is_late() -> None:
    timer = Ticking()

    async def job() -> None:
        timer.now += TIMEOUT
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(timer, job)

    assert timer.now < 1000.0 + TIMEOUT + 0.5


def test_a_job_whose_bytes_arrive_while_it_waits_is_not_ended_although_it_is_late() -> None:
    """The thread had no processor time from before they came until the deadline was over."""
    looks: Iterator[float] = itertools.repeat(1000.0)
    ours, theirs = socket.socketpair()

    async def job() -> bytes:
        nonlocal looks
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        theirs.send(b"x")
        loop.add_reader(ours, arrived.set)
        # The loop looks once before it waits, and then again.
        looks = itertools.chain([1000.0], itertools.repeat(1000.0 + TIMEOUT + 0.5))
        await arrived.wait()
        loop.remove_reader(ours)
        return ours.recv(1)

    with ours, theirs:
        assert run(lambda: next(looks), job) == b"x"


def test_a_connection_that_the_job_leaves_open_is_closed() -> None:
    ours, theirs = socket.socketpair()
    theirs.settimeout(AT_LEISURE)

    async def job() -> asyncio.Transport:
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        return transport

    with theirs:
        assert run(time.monotonic, job).is_closing()
        assert theirs.recv(1) == b""


def test_a_slow_step_is_nothing_to_warn_of(timer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing else is on this loop. In its debug mode, asyncio would warn."""

    async def job() -> None:
        asyncio.get_running_loop().set_debug(True)
        await asyncio.sleep(0)
        timer.advance(2.0)

    run(timer, job)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
