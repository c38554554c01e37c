"""The keys of a user pool: the two that sign, and those that are published."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._keys import PoolKeys, SigningKey


class KeyRing:
    """
    The signing keys of one pool and the key set that it publishes.

    Args:
        pool_id: The pool, for messages.
        keys: The key pairs to sign with; new ones by default.
        published: The key pairs whose public halves are published; by default those that sign.

    """

    def __init__(self, pool_id: str, keys: PoolKeys | None, published: Iterable[SigningKey] | None) -> None:
        self._pool_id: Final = pool_id
        self._keys = PoolKeys() if keys is None else keys
        self._published = _by_kid(self._keys) if published is None else {key.kid: key for key in published}

    @property
    def keys(self) -> PoolKeys:
        """The two keys that sign at present."""
        return self._keys

    @property
    def published(self) -> tuple[SigningKey, ...]:
        """The published keys, the latest last."""
        return tuple(self._published.values())

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the published key set."""
        return {"keys": [key.jwk() for key in self.published]}

    def prepare(self) -> None:
        """Make all key pairs now."""
        for key in (self._keys.access, self._keys.identity, *self.published):
            key.prepare()

    def rotate(self, keys: PoolKeys | None) -> PoolKeys:
        """Return two new keys. They sign from now on, and are published beside the old ones."""
        self._keys = PoolKeys() if keys is None else keys
        self._published = self._published | _by_kid(self._keys)
        return self._keys

    def withdraw(self, kid: str) -> None:
        """
        Stop publishing a key.

        Raises:
            ConfigurationError: No key of this name is published.

        """
        withdrawn = self._find(kid)
        self._published = {name: key for name, key in self._published.items() if key is not withdrawn}

    def replace(self, kid: str) -> SigningKey:
        """
        Return a new key of the same name that replaces a published one.

        Raises:
            ConfigurationError: No key of this name is published.

        """
        old, new = self._find(kid), SigningKey(kid=kid)
        self._published = self._published | {kid: new}
        self._keys = PoolKeys(*(new if key is old else key for key in (self._keys.access, self._keys.identity)))
        return new

    def restore(self, keys: PoolKeys, published: Iterable[SigningKey]) -> None:
        """Sign with *keys* and publish *published* from now on."""
        self._keys = keys
        self._published = {key.kid: key for key in published}

    def _find(self, kid: str) -> SigningKey:
        if kid not in self._published:
            raise ConfigurationError(f"the user pool {self._pool_id} publishes no key {kid!r}")
        return self._published[kid]


def _by_kid(keys: PoolKeys) -> dict[str, SigningKey]:
    return {key.kid: key for key in (keys.identity, keys.access)}
