"""
The compact serialization of a signed token (RFC 7515 section 7.1), as strictly as Cognito writes it.

Nothing here is trusted yet: the signature is judged with what comes out.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from typing import Any, Final, NamedTuple, NoReturn

from cognito_guard.errors import MalformedTokenError

MAX_TOKEN_LENGTH: Final = 8 * 1024
"""Longest token looked at, in characters. Cognito's own are below 2 KiB, but for those with very many scopes."""

# "*" is in neither alphabet, so that strict decoding refuses what only standard base64 or padding would use.
_URL_SAFE: Final = bytes.maketrans(b"-_+/=", b"+/***")
_PADDING: Final = (b"", b"*", b"==", b"=")
# The last character of a segment may only use the bits that belong to a byte: otherwise one
# token could be spelled in several ways (RFC 4648 section 3.5). Indexed by length modulo 4.
_CANONICAL: Final = (None, b"", b"AQgw", b"AEIMQUYcgkosw048")


class UnverifiedToken(NamedTuple):
    """The parts of a token, none of them to be believed."""

    kid: str
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes


def parse(token: str) -> UnverifiedToken:
    """
    Return the parts of *token*.

    The header must be a JSON object with `alg` exactly RS256, a `kid`, and no `crit`. Header parameters that name a
    source of keys (`jwk`, `jku`, `x5c`, `x5u`) mean nothing here, nor does `typ`.

    Raises:
        MalformedTokenError: It is anything else, or longer than `MAX_TOKEN_LENGTH`.

    """
    if not isinstance(token, str):
        _malformed()
    if len(token) > MAX_TOKEN_LENGTH:
        raise MalformedTokenError("oversized")
    try:
        signing_input, _, signature = token.encode("ascii").rpartition(b".")
        header, _, payload = signing_input.partition(b".")
        kid = _kid(_json_object(header))
        return UnverifiedToken(kid, _json_object(payload), signing_input, _decode(signature))
    except (ValueError, RecursionError):
        # RecursionError: JSON may be nested deeper than the interpreter's stack.
        raise MalformedTokenError("malformed") from None


def _malformed() -> NoReturn:
    raise MalformedTokenError("malformed")


def _kid(header: dict[str, Any]) -> str:
    if header.get("alg") != "RS256":
        raise MalformedTokenError("algorithm")
    if "crit" in header:
        raise MalformedTokenError("critical_header")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        _malformed()
    return kid


def _json_object(segment: bytes) -> dict[str, Any]:
    # Decoded first: json.loads would take UTF-16 and UTF-32 as well.
    value = json.loads(_decode(segment).decode("utf-8"))
    if not isinstance(value, dict):
        _malformed()
    return value


def _decode(segment: bytes) -> bytes:
    if not segment:
        _malformed()
    remainder = len(segment) % 4
    canonical = _CANONICAL[remainder]
    if canonical is not None and segment[-1] not in canonical:
        _malformed()
    return a2b_base64(segment.translate(_URL_SAFE) + _PADDING[remainder], strict_mode=True)
