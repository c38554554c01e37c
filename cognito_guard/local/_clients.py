"""App clients: who may ask for tokens, and for which scopes."""

from __future__ import annotations

import hmac
import secrets as randomness
import string
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from cognito_guard._grammar import CLIENT_ID, CLIENT_NAME, CLIENT_SECRET, SCOPE, check_strings
from cognito_guard.errors import ConfigurationError

CLIENT_CREDENTIALS: Final = "client_credentials"
MOST_SCOPES: Final = 50  # of one client, and of one request
SYSTEM_SCOPES: Final = ("openid", "email", "phone", "profile", "aws.cognito.signin.user.admin")

_FLOWS: Final = (CLIENT_CREDENTIALS, "code", "implicit")
_MOST_SECRETS: Final = 2
_SHORTEST_VALIDITY: Final = 5 * 60
_LONGEST_VALIDITY: Final = 24 * 60 * 60
_ALPHABET: Final = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """One secret of a client; its `id` says the client and when it was made, and is no secret itself."""

    id: str
    value: str = field(repr=False)


class LocalClient:
    """
    An app client of a `LocalPool`, which makes it: see `LocalPool.add_client` for what the values mean.

    Attributes:
        client_id: What the client calls itself.
        name: What people call it.
        scopes: What it may ask for.
        allowed_flows: The OAuth flows it may use.
        access_token_validity: For how many seconds its access tokens are good.
        allow_client_token_auth: Whether it may call `GetClientToken`.

    """

    def __init__(
        self,
        *,
        client_id: str | None,
        name: str,
        scopes: Collection[str],
        secrets: Collection[str] | None,
        access_token_validity: int,
        allowed_flows: Collection[str],
        allow_client_token_auth: bool,
        clock: Callable[[], float],
    ) -> None:
        self.client_id: Final = _random_word(26) if client_id is None else CLIENT_ID.check(client_id)
        self.name: Final = CLIENT_NAME.check(name)
        self.scopes: Final = check_strings("scopes", scopes, most=MOST_SCOPES)
        self.access_token_validity: Final = access_token_validity
        self.allowed_flows: Final = check_strings("allowed_flows", allowed_flows)
        self.allow_client_token_auth: Final = allow_client_token_auth
        self._clock: Final = clock
        self._secrets: tuple[ClientSecret, ...] = ()
        if secrets is None:
            self.add_secret()
        else:
            for value in check_strings("secrets", secrets):
                self.add_secret(value)
        self._check_flows()
        self._check_scopes()
        if not isinstance(access_token_validity, int) or not (
            _SHORTEST_VALIDITY <= access_token_validity <= _LONGEST_VALIDITY
        ):
            raise ConfigurationError(
                f"access_token_validity must be {_SHORTEST_VALIDITY} to {_LONGEST_VALIDITY} seconds "
                f"(5 minutes to 1 day), got {access_token_validity!r}"
            )

    @property
    def secrets(self) -> tuple[ClientSecret, ...]:
        """The active secrets, the oldest first: two at most, none for a public client."""
        return self._secrets

    @property
    def secret(self) -> str:
        """
        The value of the newest secret.

        Raises:
            ConfigurationError: The client is public: it has none.

        """
        if not self._secrets:
            raise ConfigurationError(f"the client {self.name!r} has no secret")
        return self._secrets[-1].value

    def add_secret(self, value: str | None = None) -> ClientSecret:
        """
        Return a new secret, active from now on beside the old one, as rotation without an outage needs it.

        Args:
            value: 24 to 64 letters, digits, `_` or `+`; random by default.

        Raises:
            ConfigurationError: The client has two secrets already, or Cognito would not take the value.

        """
        if len(self._secrets) == _MOST_SECRETS:
            raise ConfigurationError(f"a client has at most {_MOST_SECRETS} active secrets; delete one first")
        epoch = int(self._clock())
        taken = {secret.id for secret in self._secrets}
        while (secret_id := f"{self.client_id}--{epoch}") in taken:
            epoch += 1
        secret = ClientSecret(secret_id, _random_word(52) if value is None else CLIENT_SECRET.check(value))
        self._secrets = (*self._secrets, secret)
        return secret

    def delete_secret(self, secret_id: str) -> None:
        """
        Make the secret with that id worthless, at once.

        Raises:
            ConfigurationError: The client has no such secret, or no other.

        """
        rest = tuple(secret for secret in self._secrets if secret.id != secret_id)
        if rest == self._secrets:
            raise ConfigurationError(f"the client {self.name!r} has no secret with the id {secret_id!r}")
        if not rest:
            raise ConfigurationError(f"the last secret of the client {self.name!r} can not be deleted; add one first")
        self._secrets = rest

    def accepts(self, secret: str | None) -> bool:
        """Return whether *secret* is an active one of this client; None is right for a client that has none."""
        if secret is None:
            return not self._secrets
        return any(hmac.compare_digest(secret.encode(), known.value.encode()) for known in self._secrets)

    def _check_flows(self) -> None:
        for flow in self.allowed_flows:
            if flow not in _FLOWS:
                raise ConfigurationError(f"allowed_flows must be of {', '.join(_FLOWS)}, got {flow!r}")
        if CLIENT_CREDENTIALS not in self.allowed_flows:
            return
        if len(self.allowed_flows) > 1:
            raise ConfigurationError(
                "client_credentials flow can not be selected along with code flow or implicit flow."
            )
        if not self._secrets:
            raise ConfigurationError(
                "client_credentials flow can not be selected if client does not have a client secret."
            )

    def _check_scopes(self) -> None:
        if self.allowed_flows and not self.scopes:
            raise ConfigurationError(
                "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth "
                "flows."
            )
        for scope in self.scopes:
            SCOPE.check(scope)
            if scope in SYSTEM_SCOPES and CLIENT_CREDENTIALS in self.allowed_flows:
                raise ConfigurationError(f"{scope} is not supported with client_credentials flow")

    def __repr__(self) -> str:
        return f"LocalClient({self.client_id!r}, name={self.name!r})"


def _random_word(length: int) -> str:
    return "".join(randomness.choice(_ALPHABET) for _ in range(length))
