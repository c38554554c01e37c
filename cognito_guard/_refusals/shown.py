"""Makes values from strangers safe for a log: they are shown only if they have the form of Cognito's values."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import quote

from cognito_guard._grammar import CLIENT_ID, SCOPE, Form

SECRET: Final = 8
"""This many consecutive characters of a credential are never shown."""

_LONGEST_PATH: Final = 128
_LONGEST_SECRET: Final = 16 * 1024
_FEW: Final = 3
# The characters of a path (RFC 3986 section 3.3), the braces of a template, and % of percent-encoded text.
_SAFE: Final = "/%{}!$&'()*+,;=:@~"
_PATH: Final = re.compile(r"[\w/%.-]*", re.ASCII)
_ADDRESS: Final = re.compile(r"[0-9a-fA-F:.]{2,45}")
_METHOD: Final = re.compile(r"[A-Z]{1,16}")
_USUAL_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_TOKEN_USES: Final = frozenset({"access", "id"})
_ISSUER: Final = re.compile(
    r"https://(?:issuer-)?cognito-idp\.[a-z0-9-]{1,32}\.[a-z.]{1,32}/([a-z0-9-]{1,32}_[0-9a-zA-Z]{1,55})"
)
_TYPES: Final[dict[type, str]] = {
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "an object",
    type(None): "nothing",
}


class Shown:
    """
    Makes text of the values of one request, without any secret part of its credentials.

    Args:
        credentials: The values of its Authorization headers.

    """

    def __init__(self, credentials: Iterable[bytes]) -> None:
        # The secret part of a token is its signature: without it, the rest is useless.
        self._secrets: Final = b" ".join(value.rpartition(b".")[2] for value in credentials).decode("latin-1")

    def client_id(self, value: object) -> str:
        """Return a client id."""
        return self._named(value, CLIENT_ID)

    def token_use(self, value: object) -> str:
        """Return a `token_use`."""
        return value if isinstance(value, str) and value in _TOKEN_USES else kind_of(value)

    def pool_id(self, issuer: object) -> str:
        """Return the id of the user pool that *issuer* names."""
        match = _ISSUER.fullmatch(issuer) if isinstance(issuer, str) else None
        return match[1] if match and not self._leaks(match[1]) else kind_of(issuer)

    def scopes(self, names: Iterable[object]) -> str:
        """Return a few of the scopes *names*, and how many there are."""
        return few([self._named(name, SCOPE) for name in names]) or "no scopes"

    def method(self, method: str) -> str:
        """Return an HTTP method."""
        if method in _USUAL_METHODS:
            return method
        return method if _METHOD.fullmatch(method) and not self._leaks(method) else "OTHER"

    def sender(self, client: Sequence[Any] | None) -> str:
        """Return the sender of the request, as the server says, as the end of a sentence."""
        host = client[0] if client else None
        is_shown = isinstance(host, str) and _ADDRESS.fullmatch(host) and not self._leaks(host)
        return f"; sent from {host}" if is_shown else ""

    def path(self, path: bytes) -> str:
        """Return a path, percent-encoded and cut."""
        text = sent = path[: _LONGEST_PATH + 1].decode("latin-1")
        if not _PATH.fullmatch(sent):
            text = quote(path[: _LONGEST_PATH + 1], safe=_SAFE)
        # Text that starts like a token may be a token, even another caller's.
        if "eyJ" in sent or self._leaks(sent) or (text != sent and self._leaks(text)):
            return f"(a path of {len(path)} characters that may hold a token)"
        return text if len(text) <= _LONGEST_PATH else f"{text[:_LONGEST_PATH]}..."

    def _named(self, value: object, form: Form) -> str:
        is_shown = (
            isinstance(value, str)
            and 0 < len(value) <= form.longest
            and form.pattern.fullmatch(value)
            and not self._leaks(value)
        )
        return str(value) if is_shown else kind_of(value)

    def _leaks(self, text: str) -> bool:
        secrets = self._secrets
        if len(text) < SECRET or len(secrets) < SECRET:
            return False
        # To search a huge header would cost more than the request itself.
        if len(secrets) > _LONGEST_SECRET:
            return True
        # Any eight consecutive characters contain four that begin at a multiple of five: that needs a fifth of the
        # look-ups.
        for start in range(0, len(text) - 3, 5):
            if text[start : start + 4] in secrets:
                return any(text[start : start + SECRET] in secrets for start in range(len(text) - SECRET + 1))
        return False


def kind_of(value: Any) -> str:
    """Return the type of *value*, of a JSON document, and its length."""
    kind = _TYPES.get(type(value), "something else")
    if isinstance(value, str):
        return f"{kind} of {len(value)} characters"
    if isinstance(value, list | dict):
        return f"{kind} of {len(value)} members"
    return kind


def few(values: Collection[str]) -> str:
    """Return the first three of *values*, and how many more there are."""
    shown = " ".join(list(values)[:_FEW])
    return shown if len(values) <= _FEW else f"{shown} and {len(values) - _FEW} more"


@lru_cache(maxsize=64)
def first(values: frozenset[str] | tuple[str, ...]) -> str:
    """Return the first of *values*, which are our own settings, and how many more there are."""
    least = min(values)
    return least if len(values) == 1 else f"{least} and {len(values) - 1} more"
