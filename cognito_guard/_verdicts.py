"""Tokens that were verified before: whom they speak for, without their signature being checked again."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from cognito_guard._jwks import Key
from cognito_guard._principal import Principal
from cognito_guard.errors import ConfigurationError

Verdict = tuple[Principal, str, Key, int]
"""Whom a token speaks for, the `kid` of its key, the key that had this name then, and the token's length."""

_USUAL_LENGTH: Final = 1024


class Verdicts:
    """
    A bounded memory of verdicts by the digest of their token, safe to share between threads.

    It holds no tokens: nothing in it can be used to call anybody. The first in is the first out, so that looking one
    up changes nothing and needs no lock. Whether a verdict still holds is for who finds it to judge.

    Args:
        capacity: How many tokens are remembered, and of how many KiB altogether. 0 remembers none.

    Raises:
        ConfigurationError: The capacity is no such number.

    """

    def __init__(self, capacity: int) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 0:
            raise ConfigurationError(f"token_cache must be a number of tokens, 0 for none, got {capacity!r}")
        self._verdicts: Final[dict[bytes, Verdict]] = {}
        # In the order they came. A dict would tell, too, but takes long to find its first key when many before it went.
        self._order: Final[deque[bytes]] = deque()
        self._capacity: Final = capacity
        self._length = 0
        self._lock: Final = threading.Lock()
        self.find: Final = self._verdicts.get

    def remember(self, digest: bytes, verdict: Verdict) -> None:
        """Remember *verdict*, in place of the oldest if there is no room."""
        with self._lock:
            if digest not in self._verdicts:
                self._order.append(digest)
                self._length += verdict[3]
            self._verdicts[digest] = verdict
            while len(self._order) > self._capacity or self._length > self._capacity * _USUAL_LENGTH:
                self._length -= self._verdicts.pop(self._order.popleft())[3]

    def forget(self) -> None:
        """Forget everything: a key has gone, and with it what it signed."""
        with self._lock:
            self._verdicts.clear()
            self._order.clear()
            self._length = 0
