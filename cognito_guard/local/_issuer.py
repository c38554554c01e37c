"""The issuer of a pool's tokens: Cognito's, another URL, or the URL at which the pool is served."""

from __future__ import annotations

from typing import Final

from cognito_guard._pool import ANY_CLIENT, UserPool
from cognito_guard.errors import ConfigurationError

SELF: Final = "self"


class Issuer:
    """
    The value of `iss` in the tokens of one pool.

    Args:
        pool_id: The pool.
        issuer: The issuer; `"self"` for the URL at which the pool is served; None for the ORIGINAL form of Cognito.

    Raises:
        ConfigurationError: The id is not one of a user pool, or the issuer not a URL.

    """

    def __init__(self, pool_id: str, issuer: str | None) -> None:
        derived = UserPool(pool_id, client_ids=ANY_CLIENT)
        self._pool_id: Final = pool_id
        self._derived: Final = derived.issuers
        self._issuer: Final = (
            issuer
            if issuer is None or issuer == SELF
            # Nothing is fetched from this URL, so plain http is allowed.
            else UserPool(pool_id, client_ids=ANY_CLIENT, issuers=[issuer], jwks_url=derived.jwks_urls[0]).issuer
        )
        self._base_url: str | None = None

    @property
    def is_here(self) -> bool:
        """Whether the issuer is the URL at which the pool is served."""
        return self._issuer == SELF

    @property
    def is_own(self) -> bool:
        """Whether the issuer is not one of those that follow from the id."""
        return self._issuer is not None and self._issuer not in self._derived

    @property
    def is_updated(self) -> bool:
        """Whether the issuer has the UPDATED form (`IssuerConfiguration`)."""
        return self._issuer == self._derived[1]

    @property
    def is_served(self) -> bool:
        """Whether it is known where the pool is served."""
        return self._base_url is not None

    def served_at(self, base_url: str) -> None:
        """Record the URL at which the pool is served."""
        self._base_url = base_url

    def at(self, base_url: str) -> str:
        """Return the issuer of tokens that are requested at *base_url*."""
        if self.is_here:
            return f"{base_url.rstrip('/')}/{self._pool_id}"
        return self._issuer or self._derived[0]

    def known(self) -> str:
        """
        Return the issuer of tokens that are not requested over HTTP.

        Raises:
            ConfigurationError: It is the URL at which the pool is served, but the pool has not been served yet.

        """
        if self.is_here and self._base_url is None:
            raise ConfigurationError(
                f'issuer="self" is the URL at which the user pool {self._pool_id} is served, and it is not served yet; '
                "serve it first (`with serving(LocalCognito(pool)) as url:`), or name the URL as the issuer"
            )
        return self.at(self._base_url or "")
