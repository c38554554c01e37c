"""Remembers verified tokens, so that their signature is not checked again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from cognito_guard._keys.jwks import Key
from cognito_guard._keys.key_set import KeySet
from cognito_guard._principal import Principal
from cognito_guard.errors import ConfigurationError

Entry = tuple[Principal, KeySet, str, Key]
"""The caller, the key set of the pool, the `kid` of the token's key, and the key that had this `kid` at that time."""

_KIB: Final = 1024


class TokenCache:
    """
    A bounded cache of verified tokens by the digest of `Bearer token`, safe to share between threads.

    It contains digests, not tokens, so nothing in it can be used to call an API. First in, first out: a look-up changes
    nothing. The code that looks an entry up must check whether it is still valid.

    Args:
        capacity: How many tokens of less than 2 KiB are remembered. A longer one counts once for each KiB. 0 remembers
            none.

    Raises:
        ConfigurationError: The capacity is not a whole number, or negative.

    """

    def __init__(self, capacity: int) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 0:
            raise ConfigurationError(f"token_cache must be a number of tokens, 0 for none, got {capacity!r}")
        self.capacity: Final = capacity
        self._entries: Final[dict[bytes, Entry]] = {}
        # A dict keeps the order too, but it finds its first key slowly after many were removed.
        self._order: Final[deque[bytes]] = deque()
        self.get: Final[Callable[[bytes], Entry | None]] = self._entries.get

    def put(self, digest: bytes, entry: Entry, length: int) -> None:
        """Remember *entry* for a token of that *length*. Drops the oldest entries if there is no room."""
        # No lock: a fork could leave it locked for ever. Insert first, then queue for eviction; evict once
        # per append. No entry outlives the queue and popleft never fails.
        entries, order = self._entries, self._order
        entries[digest] = entry
        while True:
            order.append(digest)
            if len(order) > self.capacity:
                entries.pop(order.popleft(), None)
            length -= _KIB
            if length < _KIB:
                return

    def clear(self) -> None:
        """Forget everything, because a key was withdrawn and its tokens must not be accepted."""
        self._entries.clear()
