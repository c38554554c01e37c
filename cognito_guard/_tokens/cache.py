"""Tokens that were verified before: whom they speak for, without their signature being checked again."""

from __future__ import annotations

from collections import deque
from typing import Final

from cognito_guard._keys.jwks import Key
from cognito_guard._principal import Principal
from cognito_guard.errors import ConfigurationError

Verdict = tuple[Principal, str, Key]
"""Whom a token speaks for, the `kid` of its key, and the key that had this name then."""

_KIB: Final = 1024


class Verdicts:
    """
    A bounded memory of verdicts by the digest of their token, safe to share between threads.

    It holds no tokens: nothing in it can be used to call anybody. The first in is the first out, so that looking one
    up changes nothing. Whether a verdict still holds is for who finds it to judge.

    Args:
        capacity: How many tokens are remembered, of less than 2 KiB each; longer ones count once for each KiB. 0
            remembers none.

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
        self.find: Final = self._verdicts.get

    def remember(self, digest: bytes, verdict: Verdict, length: int) -> None:
        """Remember *verdict* on a token of that *length*, in place of the oldest if there is no room."""
        # Without a lock, which a fork could leave locked for ever: a verdict is there before its turn to go is noted,
        # and for each turn that is added one may be taken, so none stays for good, and there is always one to take.
        verdicts, order = self._verdicts, self._order
        verdicts[digest] = verdict
        while True:
            order.append(digest)
            if len(order) > self._capacity:
                verdicts.pop(order.popleft(), None)
            length -= _KIB
            if length < _KIB:
                return

    def forget(self) -> None:
        """Forget everything: a key has gone, and with it what it signed."""
        self._verdicts.clear()
