"""From the headers of a request to its bearer token (RFC 6750 section 2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from cognito_guard.errors import (
    InvalidRequestError,
    MalformedTokenError,
    MissingTokenError,
    RefusalError,
)

_SCHEME: Final = b"bearer "
_START: Final = len(_SCHEME)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


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
