"""
The compact serialization of a signed token (RFC 7515 section 7.1), as strictly as Cognito writes it.

Nothing here is trusted yet: the signature is judged with what comes out.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from typing import Any, Final

from cognito_guard.errors import ConfigurationError, MalformedTokenError

MAX_TOKEN_LENGTH: Final = 8 * 1024
"""By default the longest token looked at, in characters. Cognito's own are below 2 KiB, but for those of users in very
many groups and with very many scopes."""

_LENGTHS: Final = range(1024, 1024 * 1024 + 1)

# A parser calls itself for each list within a list: 500 take 64 KiB of stack, which every thread has.
_MOST_BRACKETS: Final = 500

# RFC 7519 section 5.1 and RFC 9068 section 2.1; media types are case-insensitive (RFC 2045 section 5.1).
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})

# From base64url to the alphabet that binascii knows. "*" is in neither: what only the latter has is refused for it.
_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/***")
_PADDING: Final = (b"", b"*", b"==", b"=")
# The last character of a segment may only use the bits that belong to a byte: otherwise one token could be spelled in
# several ways (RFC 4648 section 3.5). Indexed by length modulo 4; any character may end a whole group.
_CANONICAL: Final = (bytes(range(128)), b"", b"AQgw", b"AEIMQUYcgkosw048")

# What json.loads does, but for the blanks around a document, which no issuer writes and which cost half as much again.
_scan_json: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


class KnownHeaders(dict[bytes, str]):
    """
    Header segments that came with a good signature, and the `kid` in each: all tokens of one key have the same header.

    Nothing that a stranger makes up gets in here.
    """

    _MOST: Final = 64

    def remember(self, header: bytes, kid: str) -> None:
        """Keep the header segment of a token whose signature was found good."""
        if header not in self:
            # Keys are two for each pool, and rotated rarely: this bound is for issuers that write other headers.
            if len(self) >= self._MOST:
                self.clear()
            self[header] = kid


def check_max_token_length(length: int) -> int:
    """
    Return *length*, in characters.

    Raises:
        ConfigurationError: It is not a whole number from 1 KiB to 1 MiB.

    """
    if isinstance(length, bool) or not isinstance(length, int) or length not in _LENGTHS:
        raise ConfigurationError(
            f"max_token_length must be a number of characters from {_LENGTHS[0]} to {_LENGTHS[-1]}, got {length!r}"
        )
    return length


def parse(token: bytes, known: Mapping[bytes, str]) -> tuple[bytes, str, bytes, dict[str, Any], bytes, bytes]:
    """
    Return the parts of *token*, none of them to be believed.

    They are the header segment as it was sent, `kid`, the payload as JSON, the same parsed, what the signature is over,
    and the signature.

    The header must be a JSON object with `alg` exactly RS256, a `kid`, no `crit` and no `b64`, and with a `typ` that is
    absent or one of `JWT`, `at+jwt` and `application/at+jwt`. Header parameters that name a source of keys (`jwk`,
    `jku`, `x5c`, `x5u`) mean nothing here. Header and payload may hold 500 lists and objects at most.

    Args:
        token: Of ASCII characters.
        known: Header segments that were good before, and their `kid`.

    Raises:
        MalformedTokenError: It is anything else.

    """
    # Not split(): where there are more dots or fewer, one is left in the payload, or the payload is empty.
    signing_input, _, signature = token.rpartition(b".")
    header, _, segment = signing_input.partition(b".")
    try:
        kid = known.get(header) or _kid(_json_object(_decoded(header)))
        payload = _decoded(segment)
        return header, kid, payload, _json_object(payload), signing_input, _decoded(signature)
    except (ValueError, IndexError, StopIteration, RecursionError):
        # A segment that has no last character, no base64, no JSON, or JSON nested too deep.
        raise MalformedTokenError("malformed") from None


def claims_of(token: bytes) -> dict[str, Any]:
    """Return the claims of a token that `parse` has taken apart before. Nothing else is looked at."""
    return _json_object(_decoded(token.split(b".", 2)[1]))


def _kid(header: dict[str, Any]) -> str:
    if header.get("alg") != "RS256":
        raise MalformedTokenError("algorithm")
    # b64 changes what is signed, and has to be in crit (RFC 7797 section 6).
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
    # A machine's token is too short to have so many.
    if len(document) > _MOST_BRACKETS and document.count(b"[") + document.count(b"{") > _MOST_BRACKETS:
        raise MalformedTokenError("malformed")
    # Decoded first: the json module would take UTF-16 and UTF-32 as well.
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
