"""From an error to the challenge that answers it (RFC 6750 section 3)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from cognito_guard.errors import ConfigurationError, InsufficientScopeError, RefusalError

_REALM: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")  # the characters of a quoted string that need no escape


def challenge(error: RefusalError, realm: str | None) -> str:
    """Return the WWW-Authenticate value that answers *error* (RFC 6750 section 3)."""
    scope = " ".join(error.required) if isinstance(error, InsufficientScopeError) else ""
    return _challenge(realm, error.code, error.description, scope)


@lru_cache(maxsize=256)
def _challenge(realm: str | None, code: str | None, description: str, scope: str) -> str:
    parameters = {"realm": realm, "error": code, "error_description": code and description, "scope": scope}
    listed = ", ".join(f'{name}="{value}"' for name, value in parameters.items() if value)
    return f"Bearer {listed}".rstrip()


def check_realm(realm: str | None) -> str | None:
    """
    Return *realm* if it can be quoted in a challenge.

    Raises:
        ConfigurationError: *realm* cannot be quoted.

    """
    if realm is not None and not (isinstance(realm, str) and _REALM.fullmatch(realm)):
        raise ConfigurationError(f"realm must be printable ASCII without quotes and backslashes, got {realm!r}")
    return realm
