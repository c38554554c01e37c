"""The client's secrets, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from cognito_guard.client._failure import Failure
from cognito_guard.errors import ConfigurationError

ClientSecret = str | Sequence[str] | Callable[[], str | Sequence[str]]
"""One secret, two secrets, or a callable that returns them. It may block, for example to ask Secrets Manager."""

_MOST: Final = 2  # Cognito's limit of active secrets of one app client


class Secrets:
    """
    Reads the client's secrets when they are needed.

    Raises:
        ConfigurationError: They are values, but not one or two non-empty strings.

    """

    def __init__(self, source: ClientSecret) -> None:
        if not callable(source) and _checked(source) is None:
            raise ConfigurationError(
                "client_secret must be a non-empty string of ASCII characters, one or two of them, or a callable that "
                f"returns that; got a value of type {type(source).__name__}"
            )
        self._source: Final = source

    def read(self) -> tuple[str, ...] | Failure:
        """Return the secrets; the first one is tried first. Calls the callable if there is one."""
        if not callable(self._source):
            return _checked(self._source) or Failure("secret_unavailable", passing=True)
        try:
            given = self._source()
        except Exception as error:  # noqa: BLE001 - what it says may hold the secret
            return Failure("secret_unavailable", passing=True, cause=type(error).__name__)
        return _checked(given) or Failure("secret_unavailable", passing=True)


def _checked(given: object) -> tuple[str, ...] | None:
    values = [given] if isinstance(given, str) else given
    if not isinstance(values, list | tuple) or not 1 <= len(values) <= _MOST:
        return None
    if not all(isinstance(value, str) and value.isascii() and value.isprintable() and value for value in values):
        return None
    return tuple(dict.fromkeys(values))
