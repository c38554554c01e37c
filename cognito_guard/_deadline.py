"""Wait with a time limit, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def within(timeout: float, wait: Callable[[], Awaitable[T]]) -> T | None:  # noqa: ASYNC109 - what it is for
    """Return what `wait()` returns, or None if that takes longer than *timeout* seconds."""
    # anyio is not used here: at its first use it imports its backend, which blocks the event loop for up to 40 ms.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        with sys.modules["trio"].move_on_after(timeout):
            return await wait()
    else:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                return await wait()
    return None
