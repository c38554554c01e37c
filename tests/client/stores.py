"""Stores that the tests of clients share."""

from typing import Any

from cognito_guard.client import MemoryStore


class Flaky:
    """A store that may be away."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store
        self.away = True

    def __getattr__(self, name: str) -> Any:
        if self.away:
            raise ConnectionError
        return getattr(self.store, name)
