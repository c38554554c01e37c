"""An event loop for one GET on its own thread. One deadline bounds everything, look-ups included."""

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
"""For how long, in seconds, an answer that has arrived is still read after the deadline."""

_STEP: Final = 0.001

Resolve = Callable[..., list[Any]]
_Result = TypeVar("_Result")


class _Selector(selectors.DefaultSelector):
    """Records whether the last wait was in vain: it waited, and nothing arrived."""

    in_vain = False

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(timeout)
        self.in_vain = not events and timeout != 0
        return events


class OneJobLoop(asyncio.SelectorEventLoop):
    """
    Runs one job within a deadline.

    Args:
        resolve: Looks up hosts, as `socket.getaddrinfo` does.
        timer: Monotonic clock, in seconds. The default is bound at import, so it is the real clock even while tests
            freeze time.

    """

    def __init__(self, resolve: Resolve = socket.getaddrinfo, timer: Callable[[], float] = time.monotonic) -> None:
        self._resolve: Final = resolve
        self._timer: Final = timer
        self._watched: Final = _Selector()
        self._connections: Final[list[asyncio.Transport]] = []
        self.looking_up = False
        super().__init__(self._watched)
        # A slow callback delays nothing else here, so asyncio need not warn about it.
        self.slow_callback_duration = math.inf

    def time(self) -> float:
        """Return the time by which the timers of this loop run."""
        return self._timer()

    async def within(self, timeout: float, job: Coroutine[Any, Any, _Result]) -> _Result:  # noqa: ASYNC109 - of it all
        """
        Return the result of *job*.

        The job is not interrupted while there are bytes to read. On a busy machine, an answer may have arrived in time
        but the thread had no processor time to read it. `OVERTIME` bounds that.

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
            # httpx leaves a connection open if its handshake is cancelled. abort() does not wait for the end of the TLS
            # session.
            for connection in self._connections:
                connection.abort()

    async def create_connection(self, *args: Any, **options: Any) -> tuple[Any, Any]:
        """Open a connection that is closed when the job ends."""
        transport, protocol = await super().create_connection(*args, **options)
        self._connections.append(transport)
        return transport, protocol

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> list[Any]:
        """Look up *host* on a daemon thread: a thread of the default executor would delay the end of the process."""
        answer = Future[list[Any]]()
        # The waiter may be gone when the answer comes. The future must still accept the answer.
        answer.set_running_or_notify_cancel()

        def look_up() -> None:
            try:
                answer.set_result(self._resolve(host, port, **hints))
            except Exception as error:  # noqa: BLE001 - passed to the waiter
                answer.set_exception(error)

        threading.Thread(target=look_up, name="cognito-guard look-up", daemon=True).start()
        self.looking_up = True
        found = await asyncio.wrap_future(answer)
        self.looking_up = False
        return found
