"""Minting: makes any token that a pool can sign. The only limits are those of JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from cognito_guard._grammar import check_strings
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._key_ring import KeyRing
from cognito_guard.local._keys import SigningKey
from cognito_guard.local._registry import Registry
from cognito_guard.local._scopes import scope_claim
from cognito_guard.local._tokens import Occasion, changed, encode, identity_claims, machine_claims, user_claims
from cognito_guard.local._trigger import NO_CHANGES, Handler, pre_token_generation

_DEFAULT_LIFETIME: Final = 60 * 60  # Cognito's default validity


class Mint:
    """
    Makes the tokens of one pool. `LocalPool.mint` explains the arguments.

    Args:
        pool_id: The pool.
        registry: The clients of the pool.
        ring: The keys that sign.
        clock: Returns the time in seconds since the epoch.
        trigger: The handler of the pre-token-generation trigger, if there is one.

    """

    def __init__(
        self, pool_id: str, registry: Registry, ring: KeyRing, clock: Callable[[], float], trigger: Handler | None
    ) -> None:
        self._pool_id: Final = pool_id
        self._registry: Final = registry
        self._ring: Final = ring
        self._clock: Final = clock
        self._trigger: Final = trigger

    def occasion(self, issuer: str, client_id: str | None, lifetime: int | None) -> Occasion:
        """
        Return the origin of a token that is made now.

        Raises:
            ConfigurationError: No client id is given, and the pool has no client.

        """
        if client_id is None:
            client_id = next((client.client_id for client in self._registry.clients), None)
        if client_id is None:
            raise ConfigurationError(f"the user pool {self._pool_id} has no client yet: add one, or give a client_id")
        if lifetime is None:
            client = self._registry.find_client(client_id)
            lifetime = client.access_token_validity if client else _DEFAULT_LIFETIME
        now = int(self._clock())
        return Occasion(issuer=issuer, client_id=client_id, issued_at=now, expires_at=now + lifetime)

    def machine(
        self,
        occasion: Occasion,
        scopes: Collection[str],
        *,
        metadata: Mapping[str, str],
        claims: Mapping[str, Any],
        headers: Mapping[str, Any] | None,
    ) -> str:
        """
        Return the access token of a machine, after the trigger has changed it. *claims* override the trigger.

        Raises:
            TriggerFailedError: The handler of the trigger failed.

        """
        client = self._registry.find_client(occasion.client_id)
        changes, own = NO_CHANGES, {}
        if client is not None:
            scopes = scopes or self._registry.scopes_of(client)
            own = dict(client.claims)
            if self._trigger is not None:
                changes = pre_token_generation(
                    self._trigger,
                    pool_id=self._pool_id,
                    client_id=client.client_id,
                    scopes=scopes,
                    metadata=metadata,
                )
        members = machine_claims(occasion, scope_claim(changes.scopes(scopes)))
        members |= own | dict(changes.claims) | dict.fromkeys(changes.suppressed)
        return self.sign(changed(members, claims), headers=headers)

    def user(
        self,
        occasion: Occasion,
        username: str,
        scopes: Collection[str],
        groups: Collection[str],
        *,
        claims: Mapping[str, Any],
        headers: Mapping[str, Any] | None,
    ) -> str:
        """
        Return the access token of a user.

        Raises:
            ConfigurationError: The groups are not a collection of strings.

        """
        members = user_claims(occasion, username, check_strings("groups", groups), scope_claim(scopes))
        return self.sign(changed(members, claims), headers=headers)

    def identity(
        self,
        occasion: Occasion,
        username: str,
        groups: Collection[str],
        *,
        claims: Mapping[str, Any],
        headers: Mapping[str, Any] | None,
    ) -> str:
        """
        Return the ID token of a user.

        Raises:
            ConfigurationError: The groups are not a collection of strings.

        """
        members = identity_claims(occasion, username, check_strings("groups", groups))
        return self.sign(changed(members, claims), headers=headers, key=self._ring.keys.identity)

    def sign(
        self, claims: Mapping[str, Any], *, headers: Mapping[str, Any] | None = None, key: SigningKey | None = None
    ) -> str:
        """Return a JWT of *claims* as they are."""
        key = self._ring.keys.access if key is None else key
        return encode(changed({"kid": key.kid, "alg": "RS256"}, headers or {}), claims, key)
