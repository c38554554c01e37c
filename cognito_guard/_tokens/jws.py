"""
Parses the compact form of a signed token (RFC 7515 section 7.1), only as Cognito writes it.

Nothing here is trusted yet: the signature is checked later, with the result.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from cognito_guard.errors import ConfigurationError, MalformedTokenError

MAX_TOKEN_LENGTH: Final = 8 * 1024
"""The default of the longest token that is accepted, in characters. Cognito's tokens have less than 2 KiB, except those
of users in very many groups or with very many scopes."""

_LENGTHS: Final = range(1024, 1024 * 1024 + 1)

# The parser recurses for each nested list: 500 need 64 KiB of stack, which every thread has.
_MOST_BRACKETS: Final = 500

# RFC 7519 section 5.1 and RFC 9068 section 2.1; media types are case-insensitive (RFC 2045 section 5.1).
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})

# From base64url to the alphabet of binascii. Characters that are only in the latter become "*", which is refused.
_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/***")
_PADDING: Final = (b"", b"*", b"==", b"=")
# In the last character of a segment, the bits that belong to no byte must be zero; otherwise a token would have several
# spellings (RFC 4648 section 3.5). Indexed by length modulo 4; a whole group may end with any character.
_CANONICAL: Final = (bytes(range(128)), b"", b"AQgw", b"AEIMQUYcgkosw048")

# Like json.loads, but without skipping blanks around a document: no issuer writes them, and skipping takes half as long
# again.
_scan_json: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class KnownHeaders(dict[bytes, str]):
    """
    Header segments of tokens with a valid signature, and the `kid` in each.

    All tokens of one key have the same header. Nothing from an unverified token is kept here.
    """

    _MOST: Final = 64

    def remember(self, header: bytes, kid: str) -> None:
        """Keep the header segment of a token whose signature was verified."""
        if header not in self:
            # A pool has two keys, and rotates them rarely. The bound is for issuers with other headers.
            if len(self) >= self._MOST:
                self.clear()
            self[header] = kid


def check_max_token_length(length: int) -> int:
    """
    Return *length*, in characters.

    Raises:
        ConfigurationError: It is not a whole number from 1 KiB to 1 MiB.

    """
    if not isinstance(length, int) or length not in _LENGTHS:
        raise ConfigurationError(
            f"max_token_length must be a number of characters from {_LENGTHS[0]} to {_LENGTHS[-1]}, got {length!r}"
        )
    return length


def parse(token: bytes, known: Mapping[bytes, str]) -> tuple[bytes, str, bytes, dict[str, Any], bytes, bytes]:
    """
    Return the parts of *token*. None of them is verified.

    The parts are the header segment as sent, the `kid`, the payload as JSON, the parsed payload, the signed text, and
    the signature.

    The header must be a JSON object with `alg` exactly RS256, a `kid`, no `crit` and no `b64`, and with a `typ` that is
    absent or one of `JWT`, `at+jwt` and `application/at+jwt`. Header parameters that name a source of keys (`jwk`,
    `jku`, `x5c`, `x5u`) are ignored. Header and payload may contain at most 500 lists and objects.

    Args:
        token: The token.
        known: Header segments of verified tokens, and their `kid`.

    Raises:
        MalformedTokenError: The token has another form.

    """
    # With more or fewer than two dots, a dot is left in the payload, or the payload is empty. Both are refused below.
    signing_input, _, signature = token.rpartition(b".")
    header, _, segment = signing_input.partition(b".")
    try:
        kid = known.get(header) or _kid(_json_object(_decoded(header)))
        payload = _decoded(segment)
        return header, kid, payload, _json_object(payload), signing_input, _decoded(signature)
    except (ValueError, IndexError, StopIteration, RecursionError):
        # A segment is empty, is not base64url, is not JSON, or is nested too deep.
        raise MalformedTokenError("malformed") from None


def claims_of(token: bytes) -> dict[str, Any]:
    """Return the claims of a token that `parse` has accepted before. Nothing is checked."""
    return _json_object(_decoded(token.split(b".", 2)[1]))


def _kid(header: dict[str, Any]) -> str:
    if header.get("alg") != "RS256":
        raise MalformedTokenError("algorithm")
    # b64 changes what is signed, and must be in crit (RFC 7797 section 6).
    if "crit" in header or "b64" in header:
        raise MalformedTokenError("critical_header")
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise MalformedTokenError("token_type")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise MalformedTokenError("malformed")
    return kid


def _json_object(document: bytes) -> dict[str, Any]:
    # A machine's token is too short to contain so many.
    if len(document) > _MOST_BRACKETS and document.count(b"[") + document.count(b"{") > _MOST_BRACKETS:
        raise MalformedTokenError("malformed")
    # Decode first: the json module would also accept UTF-16 and UTF-32.
    text = document.decode()
    value, end = _scan_json(text, 0)
    if end != len(text) or not isinstance(value, dict):
        raise MalformedTokenError("malformed")
    return value


def _decoded(segment: bytes) -> bytes:
    segment = segment.translate(_STANDARD)
    remainder = len(segment) & 3
    if segment[-1] not in _CANONICAL[remainder]:
        raise MalformedTokenError("malformed")
    return a2b_base64(segment + _PADDING[remainder], strict_mode=True)
