"""
Runs one slow job on a short-lived thread; callers on any event loop can wait for it.

A task would belong to one event loop, and end with the request or the loop that started it. A thread works with asyncio
and trio, with several loops at once, without a lifespan, and in a forked process. A client that disconnects cannot
cancel it.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from cognito_guard._deadline import within


class Attempt:
    """
    A thread that does *work*. Callers that wait for it cannot end it.

    Raises:
        RuntimeError: No thread could be started.

    """

    def __init__(self, work: Callable[[], object], *, name: str) -> None:
        self._ended = False
        self._wake: Final[set[Callable[[], None]]] = set()
        # A daemon, so that the process can end even if the work hangs.
        self._thread: Final = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        try:
            work()
        finally:
            self._ended = True
            # A copy: other threads add and remove waiters. One that is added later sees that the work has ended.
            for wake in list(self._wake):
                wake()

    @property
    def under_way(self) -> bool:
        """Whether the work is being done. Always False in a forked child, because a fork does not copy threads."""
        return not self._ended and self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many callers are waiting for the end of the work."""
        return len(self._wake)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the caller's budget, not this coroutine's
        """Return when the work is done, or after *timeout* seconds."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            trio = sys.modules["trio"]
            done = trio.Event()
            call_soon: Callable[[Callable[[], None]], object] = trio.lowlevel.current_trio_token().run_sync_soon
        else:
            done = asyncio.Event()
            call_soon = loop.call_soon_threadsafe

        def wake() -> None:
            # The loop that waited may be gone by now.
            with suppress(RuntimeError):
                call_soon(done.set)

        self._wake.add(wake)
        try:
            if not self._ended:
                await within(timeout, done.wait)
        finally:
            self._wake.discard(wake)

    async def end(self, timeout: float) -> None:  # noqa: ASYNC109 - likewise
        """Return when the thread is gone, or after *timeout* seconds."""
        # After a fork the thread does not exist, so nothing would wake a waiter.
        if self._thread.is_alive():
            await self.wait(timeout)
            if self._ended:
                self._thread.join()
