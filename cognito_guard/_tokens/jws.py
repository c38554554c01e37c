"""
The compact serialization of a signed token (RFC 7515 section 7.1), as strictly as Cognito writes it.

Nothing here is trusted yet: the signature is judged with what comes out.
"""

from __future__ import annotations

import json
from binascii import a2b_base64
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from cognito_guard.errors import MalformedTokenError

MAX_TOKEN_LENGTH: Final = 8 * 1024
"""Longest token looked at, in characters. Cognito's own are below 2 KiB, but for those with very many scopes."""

# From base64url to the alphabet that binascii knows. "*" is in neither: what only the latter has is refused for it.
_STANDARD: Final = bytes.maketrans(b"-_+/=", b"+/***")
_PADDING: Final = (b"", b"*", b"==", b"=")
# The last character of a segment may only use the bits that belong to a byte: otherwise one token could be spelled in
# several ways (RFC 4648 section 3.5). Indexed by length modulo 4; any character may end a whole group.
_CANONICAL: Final = (bytes(range(128)), b"", b"AQgw", b"AEIMQUYcgkosw048")

# What json.loads does, but for the blanks around a document, which no issuer writes and which cost half as much again.
_scan_json: Final[Callable[[str, int], tuple[Any, int]]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def parse(token: bytes) -> tuple[str, dict[str, Any], bytes, bytes]:
    """
    Return the parts of *token*, none of them to be believed: `kid`, claims, signing input and signature.

    The header must be a JSON object with `alg` exactly RS256, a `kid`, and no `crit`. Header parameters that name a
    source of keys (`jwk`, `jku`, `x5c`, `x5u`) mean nothing here, nor does `typ`.

    Raises:
        MalformedTokenError: It is anything else.

    """
    # Not split(): where there are more dots or fewer, one is left in the payload, or the payload is empty.
    signing_input, _, signature = token.rpartition(b".")
    header, _, payload = signing_input.partition(b".")
    try:
        return _kid(header), _json_object(payload), signing_input, _decoded(signature)
    except (ValueError, IndexError, StopIteration, RecursionError):
        # A segment that has no last character, no base64, no JSON, or JSON nested too deep.
        raise MalformedTokenError("malformed") from None


# All tokens of one key have the same header. What strangers make up can push it out, but not change what it means.
@lru_cache(maxsize=64)
def _kid(segment: bytes) -> str:
    header = _json_object(segment)
    if header.get("alg") != "RS256":
        raise MalformedTokenError("algorithm")
    if "crit" in header:
        raise MalformedTokenError("critical_header")
    kid = header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise MalformedTokenError("malformed")
    return kid


def _json_object(segment: bytes) -> dict[str, Any]:
    # Decoded first: the json module would take UTF-16 and UTF-32 as well.
    text = _decoded(segment).decode()
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
