"""App clients: which programs may ask for tokens, and for which scopes."""

from __future__ import annotations

import hmac
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cognito_guard._grammar import CLIENT_SECRET
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._client_settings import MOST_SECRETS, ClientSettings
from cognito_guard.local._refused import SettingRefusedError
from cognito_guard.local._sticky import SECRET_LENGTH, random_word


@dataclass(frozen=True, slots=True)
class ClientSecret:
    """One secret of a client. Its `id` contains the client id and the time, and is not secret."""

    id: str
    value: str = field(repr=False)

    @property
    def created_at(self) -> int:
        """When it was made, in seconds since the epoch."""
        return int(self.id.rpartition("--")[2])


class LocalClient:
    """
    An app client of a `LocalPool`. `LocalPool.add_client` makes it and explains the values.

    Attributes:
        client_id: The id that the client sends.
        name: A name for people.
        created_at: When it was made, in seconds since the epoch.

    """

    def __init__(self, settings: ClientSettings, *, client_id: str, name: str, clock: Callable[[], float]) -> None:
        self.client_id: Final = client_id
        self.name: Final = name
        self.created_at: Final = clock()
        self._settings: Final = replace(settings, client_id=client_id, name=name)
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._secrets: tuple[ClientSecret, ...] = ()
        for value in settings.secrets or ():
            self.add_secret(value)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that it may ask for."""
        return tuple(self._settings.scopes)

    @property
    def allowed_flows(self) -> tuple[str, ...]:
        """The OAuth flows that it may use."""
        return tuple(self._settings.allowed_flows)

    @property
    def access_token_validity(self) -> int:
        """For how many seconds its access tokens are valid."""
        return self._settings.access_token_validity

    @property
    def allow_client_token_auth(self) -> bool:
        """Whether it may call `GetClientToken`."""
        return self._settings.allow_client_token_auth

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims that its machine tokens have in addition to Cognito's."""
        return self._settings.claims

    @property
    def settings(self) -> ClientSettings:
        """All its settings, with the secrets that are active at present."""
        return replace(self._settings, secrets=tuple(secret.value for secret in self._secrets))

    @property
    def secrets(self) -> tuple[ClientSecret, ...]:
        """The active secrets, oldest first: at most two, none for a public client."""
        return self._secrets

    @property
    def secret(self) -> str:
        """
        The value of the newest secret.

        Raises:
            ConfigurationError: The client is public, so it has none.

        """
        if not self._secrets:
            raise ConfigurationError(f"the client {self.name!r} has no secret")
        return self._secrets[-1].value

    def add_secret(self, value: str | None = None) -> ClientSecret:
        """
        Return a new secret. It is active from now on beside the old one, for a rotation without an outage.

        Args:
            value: 24 to 64 letters, digits, `_` or `+`; random by default.

        Raises:
            ConfigurationError: The client has two secrets already, or Cognito would not accept the value.

        """
        value = random_word(SECRET_LENGTH) if value is None else CLIENT_SECRET.check(value)
        with self._lock:
            if len(self._secrets) == MOST_SECRETS:
                raise SettingRefusedError(
                    f"a client has at most {MOST_SECRETS} active secrets; delete one first", "LimitExceededException"
                )
            epoch = int(self._clock())
            taken = {secret.id for secret in self._secrets}
            while (secret_id := f"{self.client_id}--{epoch}") in taken:
                epoch += 1
            secret = ClientSecret(secret_id, value)
            self._secrets = (*self._secrets, secret)
        return secret

    def delete_secret(self, secret_id: str) -> None:
        """
        Delete the secret with that id. It stops working at once.

        Raises:
            ConfigurationError: The client has no such secret, or no other one.

        """
        with self._lock:
            rest = tuple(secret for secret in self._secrets if secret.id != secret_id)
            if rest == self._secrets:
                raise SettingRefusedError(
                    f"the client {self.name!r} has no secret with the id {secret_id!r}", "ResourceNotFoundException"
                )
            if not rest:
                raise SettingRefusedError(
                    f"the last secret of the client {self.name!r} cannot be deleted; add one first"
                )
            self._secrets = rest

    def accepts(self, secret: str | None) -> bool:
        """Return whether *secret* is an active one of this client. For a client without secrets, that is None."""
        if secret is None:
            return not self._secrets
        return any(hmac.compare_digest(secret.encode(), known.value.encode()) for known in self._secrets)

    def __repr__(self) -> str:
        return f"LocalClient({self.client_id!r}, name={self.name!r})"
