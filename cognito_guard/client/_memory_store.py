"""A store in the memory of this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from cachetools import TLRUCache

from cognito_guard.client._fork import renew_after_fork
from cognito_guard.client._store import StoredToken


class MemoryStore:
    """
    Keeps tokens in this process. Give one store to several `ClientCredentials`, and they share their tokens.

    Args:
        capacity: How many tokens are kept; the least recently used goes first.
        timer: Monotonic clock, in seconds.

    """

    def __init__(self, capacity: int = 1024, *, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer: Final = timer
        self._lock = threading.Lock()
        # TLRUCache is not thread-safe, so every use needs the lock.
        self._entries: Final[TLRUCache[str, tuple[StoredToken, float]]] = TLRUCache(
            capacity, ttu=lambda _key, kept, now: now + kept[1], timer=timer
        )
        self._claims: Final[dict[str, tuple[str, float]]] = {}
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Make a new lock, and drop claims: they belong to threads of the parent."""
        self._lock = threading.Lock()
        self._claims.clear()

    def get(self, key: str) -> StoredToken | None:
        """Return the entry of *key*, or None."""
        with self._lock:
            kept = self._entries.get(key)
        return None if kept is None else kept[0]

    def put(self, key: str, entry: StoredToken, lifetime: float) -> bool:
        """Keep *entry* for *lifetime* seconds. Return False if the store has one that is not older."""
        with self._lock:
            kept = self._entries.get(key)
            if kept is not None and kept[0].generation >= entry.generation:
                return False
            self._entries[key] = (entry, lifetime)
        return True

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        """Return whether *owner* may buy the next token, for *seconds* from now."""
        with self._lock:
            now = self._timer()
            holder, until = self._claims.get(key, (owner, now))
            if holder != owner and now < until:
                return False
            self._claims[key] = (owner, now + seconds)
        return True

    def release(self, key: str, owner: str) -> None:
        """End the claim of *owner*, if it has one."""
        with self._lock:
            if self._claims.get(key, ("", 0.0))[0] == owner:
                del self._claims[key]
