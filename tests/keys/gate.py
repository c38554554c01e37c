"""A fetch that hangs until it is opened."""

from __future__ import annotations

import threading
from collections.abc import Callable

IN_TIME = 60.0
"""Seconds that a test waits for what must come, before it fails."""


class Gate:
    """Hangs until it is open, and then calls *then*. Counts the calls."""

    def __init__(self, then: Callable[[str, float], bytes]) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        self.calls = 0
        self._then = then

    def __call__(self, url: str, timeout: float) -> bytes:
        self.calls += 1
        self.reached.set()
        assert self.open.wait(IN_TIME)
        return self._then(url, timeout)

    def close(self) -> None:
        self.open.clear()
        self.reached.clear()
