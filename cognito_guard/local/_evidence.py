"""What was found in a refused token, and what a guard accepts instead."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from cognito_guard.local._pool import LocalPool
from cognito_guard.local._unverified import claims_of, header_of

_LONGEST_TOKEN: Final = 8 * 1024  # characters, by default of a guard
_LONGEST_VALUE: Final = 200  # characters of a value that are shown
_LAST_SECOND: Final = 253_402_300_799  # in the year 9999, the last one of datetime


@dataclass(frozen=True, slots=True)
class Evidence:
    """The value that was found, and the values that are accepted, both as text for people."""

    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class _Case:
    token: str
    pool: LocalPool
    now: float

    def header(self, name: str) -> str:
        return _member(header_of(self.token) or {}, name)

    def claim(self, name: str) -> str:
        return _member(claims_of(self.token) or {}, name)

    def time(self, name: str) -> str:
        value: Any = (claims_of(self.token) or {}).get(name)
        return _time(value) if type(value) in {int, float} and 0 <= value <= _LAST_SECOND else self.claim(name)


def evidence(reason: str, token: str, pool: LocalPool, now: float) -> Evidence | None:
    """
    Return what was found and what is expected, after a guard of *pool* refused *token* for *reason*.

    None if there is nothing more to say about this reason. Found values come from the token and are not verified.

    Args:
        reason: The `reason` of a `RefusalError`.
        token: The token.
        pool: The user pool of the guard.
        now: The time of the check, in seconds since the epoch.

    """
    describe = _DESCRIPTIONS.get(reason)
    return None if describe is None else Evidence(*describe(_Case(token, pool, now)))


def _shape(case: _Case) -> str:
    parts = case.token.count(".") + 1
    if parts != 3:  # noqa: PLR2004 - header, claims and signature
        return f"{parts} part{'s' if parts > 1 else ''}"
    header = header_of(case.token)
    if header is None:
        return "a header that is not a JSON object in base64url"
    if claims_of(case.token) is None:
        return "claims that are not a JSON object in base64url"
    if not isinstance(header.get("kid"), str) or not header["kid"]:
        return f"kid: {case.header('kid')}"
    return "a part that is not base64url without padding"


def _issuers(case: _Case) -> str:
    if case.pool.has_own_issuer:
        return _text(case.pool.issuer)
    # A dummy client and URL: the issuers follow from the id alone.
    return _any_of(case.pool.user_pool("http://localhost", client_ids={"_"}).issuers)


def _clients(case: _Case) -> str:
    return _any_of([client.client_id for client in case.pool.clients]) or "a client of this user pool, which has none"


def _published(case: _Case) -> str:
    return _any_of([key.kid for key in case.pool.published])


def _claim(name: str, expected: str) -> Callable[[_Case], tuple[str, str]]:
    return lambda case: (case.claim(name), expected)


_A_TIME: Final = "a number of seconds since 1970"

_DESCRIPTIONS: Final[Mapping[str, Callable[[_Case], tuple[str, str]]]] = {
    "oversized": lambda case: (f"{len(case.token)} characters", f"at most {_LONGEST_TOKEN} characters"),
    "malformed": lambda case: (
        _shape(case),
        "three parts in base64url: a JSON header with the name of a key (kid), JSON claims, and a signature",
    ),
    "algorithm": lambda case: (case.header("alg"), '"RS256"'),
    "critical_header": lambda case: (case.header("crit"), "no crit in the header"),
    "claim_iss": lambda case: (case.claim("iss"), _issuers(case)),
    "claim_token_use": _claim("token_use", '"access"'),
    "claim_client_id": lambda case: (case.claim("client_id"), _clients(case)),
    "expired": lambda case: (case.time("exp"), f"later than {_time(case.now)}"),
    "claim_exp": _claim("exp", _A_TIME),
    "claim_nbf": lambda case: (case.time("nbf"), f"not later than {_time(case.now)}"),
    "claim_iat": _claim("iat", _A_TIME),
    "claim_scope": _claim("scope", "a string: scopes separated by single spaces"),
    "claim_sub": _claim("sub", "a string"),
    "claim_username": _claim("username", "a string"),
    "claim_jti": _claim("jti", "a string"),
    "claim_cognito:groups": _claim("cognito:groups", "a list of strings"),
    "unknown_key": lambda case: (case.header("kid"), _published(case)),
    "keys_unavailable": lambda _case: ("no published key", "at least one published key"),
    "signature": lambda case: ("a signature that does not match", f"one made with the key {case.header('kid')}"),
}


def _member(members: Mapping[str, Any], name: str) -> str:
    return _text(members[name]) if name in members else "missing"


def _text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > _LONGEST_VALUE:
        text = text[:_LONGEST_VALUE] + "…"
    # JSON can contain half a surrogate pair. No answer could contain it.
    return text.encode(errors="backslashreplace").decode()


def _any_of(values: Iterable[str]) -> str:
    return " or ".join(_text(value) for value in values)


def _time(seconds: float) -> str:
    return f"{seconds:.0f} ({datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC)"
