"""
Work on its own thread. Callers on any event loop, or without one, can wait for it.

A task would belong to one event loop, and be cancelled with the request that started it. A thread works for asyncio,
trio and synchronous callers at once.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

Result = TypeVar("Result")

logger = logging.getLogger("cognito_guard.client")


class Job(Generic[Result]):
    """
    A daemon thread that does *work*. Callers that wait for it cannot cancel it.

    Args:
        work: Returns the result.
        lost: The result if *work* raises; the log names the exception.
        name: The name of the thread.

    Raises:
        RuntimeError: No thread can be started.

    """

    def __init__(self, work: Callable[[], Result], *, lost: Result, name: str) -> None:
        self._over: Final = Future[Result]()
        self._lost: Final = lost
        # A daemon, so that the process can end even if the work hangs.
        self._thread: Final = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._thread.start()

    def _run(self, work: Callable[[], Result]) -> None:
        result = self._lost
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - who waits must not wait for ever
            # Log without traceback: error trackers add local variables, and these contain secrets here.
            logger.error("%s failed: %s", self._thread.name, type(error).__name__)  # noqa: TRY400
        self._over.set_result(result)

    @property
    def under_way(self) -> bool:
        """Whether the work is being done. Always False in a forked child, because a fork does not copy threads."""
        return not self._over.done() and self._thread.is_alive()

    @property
    def result(self) -> Result | None:
        """The result; None until the work is done."""
        return self._over.result() if self._over.done() else None

    def wait(self, timeout: float) -> None:
        """Return when the work is done, or after *timeout* seconds."""
        with suppress(TimeoutError):
            self._over.result(max(0.0, timeout))

    async def wait_async(self, timeout: float) -> None:  # noqa: ASYNC109 - the caller's budget
        """Return when the work is done, or after *timeout* seconds. Runs on asyncio and on trio."""
        done: Any
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            trio = sys.modules["trio"]
            done = trio.Event()
            self._call_when_over(trio.lowlevel.current_trio_token().run_sync_soon, done.set)
            with trio.move_on_after(max(0.0, timeout)):
                await done.wait()
        else:
            done = asyncio.Event()
            self._call_when_over(loop.call_soon_threadsafe, done.set)
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await done.wait()

    def _call_when_over(self, call_soon: Callable[[Callable[[], None]], object], wake: Callable[[], None]) -> None:
        def call(_: Future[Result]) -> None:
            # The loop of a cancelled waiter may be closed by now.
            with suppress(RuntimeError):
                call_soon(wake)

        self._over.add_done_callback(call)
