"""Where processes share tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredToken:
    """
    One entry of a store.

    Attributes:
        sealed: The token, encrypted. Never the token itself.
        generation: Counts the tokens stored under the key. A newer token has a higher number.
    """

    sealed: bytes
    generation: int


class TokenStore(Protocol):
    """
    Keeps one encrypted token per key, and decides which process may buy the next one.

    Methods may block. Several threads call them at once. An exception, or an answer that takes longer than
    `store_timeout`, counts as a miss: the client continues without the store for some seconds.
    """

    def get(self, key: str) -> StoredToken | None:
        """Return the entry of *key*, or None."""
        ...

    def put(self, key: str, entry: StoredToken, lifetime: float) -> bool:
        """
        Keep *entry* for *lifetime* seconds, unless one of the same or a higher generation is there.

        Comparing and writing must be one step, so that a late answer never replaces a newer token. Returns whether the
        entry was stored.
        """
        ...

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        """
        Return whether *owner* may buy the next token of *key*, for at most *seconds* from now.

        True if no other owner has a claim that is still valid. A claim of the same owner is extended.
        """
        ...

    def release(self, key: str, owner: str) -> None:
        """End the claim of *owner*, if it has one."""
        ...
