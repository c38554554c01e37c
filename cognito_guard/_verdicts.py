"""Tokens that were verified before: whom they speak for, without their signature being checked again."""

from __future__ import annotations

from collections import deque
from typing import Final

from cognito_guard._jwks import Key
from cognito_guard._keys import KeySet
from cognito_guard._principal import Principal
from cognito_guard.errors import ConfigurationError

Verdict = tuple[Principal, str, Key, KeySet]
"""Whom a token speaks for, the `kid` of its key, the key that had this name then, and the set where it had it."""


_LONG: Final = 2 * 1024
"""From this length on a token counts once for each KiB."""


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

    # No lock: each step below is atomic. A verdict gets in before its turn to go is noted, and all turns are dropped
    # before all verdicts, so whatever threads do in between, none can stay that has no turn.

    def remember(self, digest: bytes, verdict: Verdict, length: int) -> None:
        """Remember *verdict* on a token of that *length*, in place of the oldest if there is no room."""
        self._verdicts[digest] = verdict
        if length < _LONG:
            self._order.append(digest)
        else:
            self._order.extend([digest] * (length // 1024))
        try:
            while len(self._order) > self._capacity:
                self._verdicts.pop(self._order.popleft(), None)
        except IndexError:
            # Another thread has forgotten everything between these two looks.
            return

    def forget(self) -> None:
        """Forget everything: a key has gone, and with it what it signed."""
        self._order.clear()
        self._verdicts.clear()
