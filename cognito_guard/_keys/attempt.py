"""
Something slow, done once, that callers on any event loop may wait for.

It runs on a short-lived thread. A task would belong to one event loop and die with the request or the loop that
started it; a thread serves asyncio and trio, several loops at once, an app without a lifespan and a process that was
forked. No client that goes away can cancel it, and it leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Final


class Attempt:
    """
    A thread that does *work*; no waiter can end it.

    Raises:
        RuntimeError: No thread could be started.

    """

    def __init__(self, work: Callable[[], object], *, name: str) -> None:
        self._over: Final = Future[None]()
        self._ended = False
        # A daemon, so that work which hangs does not keep the process from ending.
        self._thread: Final = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            self._ended = True
            self._over.set_result(None)

    @property
    def under_way(self) -> bool:
        """Whether the work is being done. In a forked child it is not: threads are the parent's."""
        return not self._ended and self._thread.is_alive()

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the caller's budget, not this coroutine's
        """Return when the work is done, or after *timeout* seconds."""
        # Not by way of anyio: it imports the half of it that belongs to the event loop when that is first used, and
        # the loop stands still for up to 40 ms meanwhile.
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            trio = sys.modules["trio"]
            done = trio.Event()
            self._call_when_over(trio.lowlevel.current_trio_token().run_sync_soon, done.set)
            with trio.move_on_after(timeout):
                await done.wait()
        else:
            done = asyncio.Event()
            self._call_when_over(loop.call_soon_threadsafe, done.set)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await done.wait()

    def _call_when_over(self, call_soon: Callable[[Callable[[], None]], object], wake: Callable[[], None]) -> None:
        def call(_: Future[None]) -> None:
            # The loop that waited may be gone by now, and with it whoever did.
            with suppress(RuntimeError):
                call_soon(wake)

        self._over.add_done_callback(call)

    async def end(self, timeout: float) -> None:  # noqa: ASYNC109 - likewise
        """Return when the thread is gone, or after *timeout* seconds."""
        # Where it is gone because the process was forked, nobody will say that the work is done.
        if self._thread.is_alive():
            await self.wait(timeout)
            if self._ended:
                self._thread.join()
