"""RFC 6750 over HTTP, in both directions: from headers to a token, and from an error to a challenge."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

from cognito_guard.errors import (
    ConfigurationError,
    InsufficientScopeError,
    InvalidRequestError,
    MalformedTokenError,
    MissingTokenError,
    RefusalError,
)

_SCHEME: Final = b"bearer "
_START: Final = len(_SCHEME)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_REALM: Final = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")  # the characters of a quoted string that need no escape


def authorization(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Return the values of the Authorization headers among raw ASGI *headers*."""
    values = []
    # Not a comprehension: in Python 3.11 it costs a frame.
    for name, value in headers:
        if name == b"authorization":
            values.append(value)
    return values


def bearer_token(values: Sequence[bytes], longest: int) -> str:
    """
    Return the bearer token in the *values* of the Authorization headers.

    Its characters are not checked: see `fault_of`. Only these headers are read. The form and query methods of RFC 6750
    sections 2.2 and 2.3 are deliberately not supported.

    Args:
        values: The result of `authorization`.
        longest: The longest token that is accepted, in characters.

    Raises:
        MissingTokenError: There is no such header, or it has another scheme.
        InvalidRequestError: There are several, or nothing follows the scheme.
        MalformedTokenError: The token is longer than *longest*.

    """
    if not values:
        raise MissingTokenError
    if len(values) > 1:
        raise InvalidRequestError("repeated_header")
    value = values[0]
    scheme = value[:_START].lower()
    if scheme != _SCHEME:
        raise InvalidRequestError("malformed_header") if scheme == _SCHEME.strip() else MissingTokenError
    if len(value) > _START + longest:
        raise MalformedTokenError("oversized")
    token = value[_START:].lstrip(b" ")
    if not token:
        raise InvalidRequestError("malformed_header")
    return token.decode("latin-1")


def fault_of(token: str, error: RefusalError) -> RefusalError:
    """
    Return what is wrong with a request whose *token* was refused with *error*.

    Credentials that are not a token68 (RFC 9110 section 11.2) are a malformed request. This is checked only after a
    refusal, because it reads each character. An accepted JWT has only valid ones.
    """
    # A token that is refused for another reason has three segments of base64url.
    if isinstance(error, MalformedTokenError) and not _TOKEN68.fullmatch(token):
        return InvalidRequestError("malformed_header")
    return error


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
