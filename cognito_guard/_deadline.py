"""Waiting with a limit, on asyncio and trio alike."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def within(timeout: float, wait: Callable[[], Awaitable[T]]) -> T | None:  # noqa: ASYNC109 - what it is for
    """Return what `wait()` returns, or None if that takes longer than *timeout* seconds."""
    # Not by way of anyio: it imports the half of it that belongs to the event loop when that is first used, and the
    # loop stands still for up to 40 ms meanwhile.
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
