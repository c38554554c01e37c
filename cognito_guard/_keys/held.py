"""The keys that are held at one moment, and the times at which they are due for a refresh and dropped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from cognito_guard._keys.jwks import Key, NoUsableKeyError, usable_keys
from cognito_guard._keys.policy import KeyPolicy
from cognito_guard.errors import ConfigurationError
from cognito_guard.events import KeysFetched


class Held(NamedTuple):
    """Keys and their times. Always replaced as a whole, so that other threads never see a mixture of old and new."""

    keys: Mapping[str, Key]
    loaded_at: float
    due_at: float
    gone_at: float

    @classmethod
    def saved(cls, jwks: Mapping[str, Any], now: float, policy: KeyPolicy) -> Held:
        """
        Return a saved set. It is due for a refresh at once, because its age is not known.

        Raises:
            ConfigurationError: It holds no usable key.

        """
        try:
            return cls(usable_keys(jwks), now, now, now + policy.stale_for)
        except NoUsableKeyError as error:
            raise ConfigurationError(f"jwks: {error}") from error

    def replaced_by(self, fetched: Mapping[str, Key], asked_at: float, policy: KeyPolicy) -> Held:
        """Return the keys that replace these. A key whose material has not changed stays the same object."""
        # Cached tokens stay valid as long as their key is the same object.
        keys = {kid: self.keys[kid] if self.keys.get(kid) == key else key for kid, key in fetched.items()}
        # Their age counts from the request: the process may have been stopped before it read the answer.
        return Held(keys, asked_at, asked_at + policy.max_age, asked_at + policy.stale_for)

    def withdraws_from(self, before: Held) -> bool:
        """Return whether a key of *before* is missing or replaced by another one with the same `kid`."""
        return any(self.keys.get(kid) is not key for kid, key in before.keys.items())

    def event(self, before: Held, pool_id: str) -> KeysFetched:
        """Return what has changed since *before*."""
        return KeysFetched(
            pool_id,
            kids=frozenset(self.keys),
            added=frozenset(kid for kid, key in self.keys.items() if before.keys.get(kid) is not key),
            removed=frozenset(before.keys.keys() - self.keys.keys()),
        )

    def outlook(self, now: float) -> str:
        """Return what these keys mean for requests, in words for a log line."""
        if now >= self.gone_at:
            return "no keys to verify tokens with"
        return (
            f"{len(self.keys)} keys, fetched {now - self.loaded_at:.0f} s ago, "
            f"stay in use for {self.gone_at - now:.0f} s at most"
        )


NOTHING_HELD = Held({}, -math.inf, -math.inf, -math.inf)
