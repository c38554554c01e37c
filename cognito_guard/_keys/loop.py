"""An event loop for one GET on a thread of its own: it bounds everything by one deadline, look-ups included."""

from __future__ import annotations

import asyncio
import math
import selectors
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar

OVERTIME: Final = 1.0
"""Longest time that an answer which has arrived is read beyond the deadline, in seconds."""

_STEP: Final = 0.001

Resolve = Callable[..., list[Any]]
_Result = TypeVar("_Result")


class _Selector(selectors.DefaultSelector):
    """Knows whether the last wait was in vain: there was time to wait, and nothing came."""

    in_vain = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(timeout)
        self.in_vain = not events and timeout != 0
        return events


class OneJobLoop(asyncio.SelectorEventLoop):
    """
    Runs one job against a deadline.

    Args:
        resolve: Looks up hosts, as `socket.getaddrinfo` does.
        timer: Monotonic clock, in seconds. A default argument holds the real one, even while tests freeze time.

    """

    def __init__(self, resolve: Resolve = socket.getaddrinfo, timer: Callable[[], float] = time.monotonic) -> None:
        self._resolve: Final = resolve
        self._timer: Final = timer
        self._watched: Final = _Selector()
        self._connections: Final[list[asyncio.Transport]] = []
        self.looking_up = False
        super().__init__(self._watched)
        # Nothing else runs here that could be kept waiting.
        self.slow_callback_duration = math.inf

    def time(self) -> float:
        """Return the time that timers of this loop are measured with."""
        return self._timer()

    async def within(self, timeout: float, job: Coroutine[Any, Any, _Result]) -> _Result:  # noqa: ASYNC109 - of it all
        """
        Return the result of *job*.

        The job is not interrupted while bytes are there for it: on a busy machine an answer may have arrived in time
        and the thread had no processor time to read it. `OVERTIME` bounds that.

        Raises:
            TimeoutError: The job has taken *timeout* seconds and is waiting for the network.

        """
        task = self.create_task(job)
        end = None

        def check() -> None:
            nonlocal end
            end = self.time() + OVERTIME if end is None else end
            if self._watched.in_vain or self.time() >= end:
                task.cancel()
            else:
                timers.append(self.call_later(_STEP, check))

        timers = [self.call_later(timeout, check)]
        try:
            return await task
        except asyncio.CancelledError:
            raise TimeoutError from None
        finally:
            timers[-1].cancel()
            # httpx leaves a connection open whose handshake is cancelled. abort() does not wait for goodbyes of TLS.
            for connection in self._connections:
                connection.abort()

    async def create_connection(self, *args: Any, **options: Any) -> tuple[Any, Any]:
        """Open a connection that is closed with the job."""
        transport, protocol = await super().create_connection(*args, **options)
        self._connections.append(transport)
        return transport, protocol

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> list[Any]:
        """Look up *host* on a daemon thread: the usual ones keep the loop from closing, and the process from ending."""
        answer = Future[list[Any]]()
        # Nobody may be waiting any more when the answer comes; the future must take it nevertheless.
        answer.set_running_or_notify_cancel()

        def look_up() -> None:
            try:
                answer.set_result(self._resolve(host, port, **hints))
            except Exception as error:  # noqa: BLE001 - handed to who waits
                answer.set_exception(error)

        threading.Thread(target=look_up, name="cognito-guard look-up", daemon=True).start()
        self.looking_up = True
        found = await asyncio.wrap_future(answer)
        self.looking_up = False
        return found
