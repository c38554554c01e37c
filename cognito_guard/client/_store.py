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
        generation: Counts the tokens that were stored under the key; a newer one has a higher number.
    """

    sealed: bytes
    generation: int


class TokenStore(Protocol):
    """
    Keeps one encrypted token per key, and says who may buy the next one.

    Methods are called on threads where blocking is fine, by several threads at once. An exception, and an answer that
    takes longer than `store_timeout`, count as a miss: the client goes on without the store for some seconds.
    """

    def get(self, key: str) -> StoredToken | None:
        """Return the entry of *key*, or None."""
        ...

    def put(self, key: str, entry: StoredToken, lifetime: float) -> bool:
        """
        Keep *entry* for *lifetime* seconds, unless one of the same or a higher generation is there.

        Comparing and writing must be one step. Returns whether the entry is kept: an answer that comes late must not
        replace a newer token.
        """
        ...

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        """
        Return whether *owner* may buy the next token of *key*, for at most *seconds* from now.

        True if nobody else has a claim that is still running; a claim of the same owner is extended.
        """
        ...

    def release(self, key: str, owner: str) -> None:
        """End the claim of *owner*, if it has one."""
        ...
