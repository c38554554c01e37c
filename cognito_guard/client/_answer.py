"""Reads the token endpoint's answer (RFC 6749 sections 5.1 and 5.2)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cognito_guard.client._backoff import retry_after
from cognito_guard.client._failure import Failure
from cognito_guard.client._token import LONGEST_LIFE

UNSTATED_LIFE: Final = 5 * 60.0
"""Seconds that a token is assumed to be valid if the answer does not say: the shortest validity that Cognito allows."""

_OK: Final = 200
_TOO_MANY_REQUESTS: Final = 429
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # token68, RFC 9110 section 11.2
_CODE: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_THROTTLED: Final = re.compile(rb"too ?many ?requests|rate exceeded|throttl|limit ?exceeded", re.IGNORECASE)
_PASSING_CODES: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})


@dataclass(frozen=True, slots=True)
class Grant:
    """A token that the endpoint gave. It is valid for *lifetime* seconds."""

    value: str = field(repr=False)
    lifetime: float


def read_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float, secrets: Collection[str]
) -> Grant | Failure:
    """
    Return the token or the failure in an answer.

    No text of the answer is returned, except an error code that has the form of one and contains none of *secrets*.

    Args:
        status: The HTTP status.
        headers: The HTTP headers, with names in lower case.
        body: The complete body.
        now: Seconds since the epoch, needed if `Retry-After` is a date.
        secrets: What must not be in an error code.

    """
    if status == _OK:
        return _grant(body)
    if 300 <= status < 400:  # noqa: PLR2004 - redirects
        return Failure("redirected", status)
    pause = retry_after(headers.get("retry-after"), now)
    # Cognito's answer to a throttled token request is not documented; other AWS services say so with status 400.
    if status == _TOO_MANY_REQUESTS or (status < 500 and _THROTTLED.search(body)):  # noqa: PLR2004 - client errors
        return Failure("throttled", status, pause, passing=True)
    if status >= 500:  # noqa: PLR2004 - server errors
        return Failure("unavailable", status, pause, passing=True)
    code = _object(body).get("error")
    if not isinstance(code, str) or not _CODE.fullmatch(code) or any(secret in code for secret in secrets):
        return Failure("invalid_answer", status)
    return Failure(code, status, pause, passing=code in _PASSING_CODES)


def _grant(body: bytes) -> Grant | Failure:
    members = _object(body)
    value, kind = members.get("access_token"), members.get("token_type")
    lifetime = _lifetime(members.get("expires_in"))
    if (
        not isinstance(value, str)
        or not is_token(value)
        or not isinstance(kind, str)
        or kind.lower() != "bearer"
        or lifetime is None
    ):
        return Failure("invalid_answer", _OK)
    return Grant(value, lifetime)


def is_token(value: str) -> bool:
    """Return whether *value* may be sent in an `Authorization` header."""
    return _TOKEN.fullmatch(value) is not None


def _lifetime(value: Any) -> float | None:
    if value is None:
        return UNSTATED_LIFE
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])  # some servers write it as a string
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return None
    return float(min(value, LONGEST_LIFE))


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, Mapping) else {}
