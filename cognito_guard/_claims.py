"""The claims of an access token: which ones are accepted, and what they make of a caller."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cognito_guard._pool import ANY_CLIENT, UserPool
from cognito_guard._principal import Principal
from cognito_guard.errors import ClaimError, ExpiredTokenError

_FAR_FUTURE: Final = 1e15
"""Seconds since the epoch that no clock will show."""


def check_claims(claims: Mapping[str, Any], pools: Mapping[str, UserPool], *, now: float, leeway: float) -> UserPool:
    """
    Return the pool that *claims* are from, if they are those of a current access token for one of its clients.

    Looks at `iss`, `token_use`, `client_id`, `exp`, `nbf` if present, and `aud` if the pool asks for one. An `iat` in
    the future is no reason to refuse: RFC 7519 does not make it one, and clocks differ. Claims not named here or in
    `principal_of` are not looked at, revocation neither.

    Args:
        claims: The payload, which need not be verified yet.
        pools: The pools to choose from, by issuer.
        now: Seconds since the epoch.
        leeway: Seconds by which the clocks of the issuer and this machine may differ.

    Raises:
        ExpiredTokenError: `exp` is not after *now* (exclusive, RFC 7519 section 4.1.4).
        ClaimError: Any other claim is not as it must be.

    """
    issuer = claims.get("iss")
    pool = pools.get(issuer) if isinstance(issuer, str) else None
    if pool is None:
        raise ClaimError("iss")
    if claims.get("token_use") != "access":
        raise ClaimError("token_use")
    client_id = claims.get("client_id")
    if (
        not isinstance(client_id, str)
        or not client_id
        or (pool.client_ids is not ANY_CLIENT and client_id not in pool.client_ids)
    ):
        raise ClaimError("client_id")
    if _time(claims, "exp") + leeway <= now:
        raise ExpiredTokenError
    if "nbf" in claims and _time(claims, "nbf") - leeway > now:
        raise ClaimError("nbf")
    if pool.audience and pool.audience.isdisjoint(_audiences(claims)):
        raise ClaimError("aud")
    return pool


def principal_of(claims: dict[str, Any]) -> Principal:
    """
    Return the caller that *claims*, checked before, describe.

    Raises:
        ClaimError: A claim that becomes part of the caller is not of its type.

    """
    scope = claims.get("scope", "")
    if not isinstance(scope, str):
        raise ClaimError("scope")
    groups = claims.get("cognito:groups", ())
    if not isinstance(groups, list | tuple) or not all(isinstance(group, str) for group in groups):
        raise ClaimError("cognito:groups")
    return Principal(
        client_id=claims["client_id"],
        # Split at single spaces and nothing else: a tab is no separator (RFC 6749 section 3.3).
        scopes=frozenset(scope.split(" ")) - {""},
        subject=_text(claims, "sub"),
        username=_text(claims, "username"),
        groups=frozenset(groups),
        issuer=claims["iss"],
        token_id=_text(claims, "jti"),
        issued_at=_time(claims, "iat") if "iat" in claims else None,
        expires_at=claims["exp"],
        claims=MappingProxyType(claims),
    )


def _time(claims: Mapping[str, Any], claim: str) -> float:
    value = claims.get(claim)
    # bool is an int to Python, but not a NumericDate (RFC 7519 section 2); neither are NaN and infinity.
    # NaN compares false, and so do numbers that arithmetic with floats could not hold.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _FAR_FUTURE:
        raise ClaimError(claim)
    return value


def _text(claims: Mapping[str, Any], claim: str) -> str | None:
    if claim not in claims:
        return None
    value = claims[claim]
    if not isinstance(value, str):
        raise ClaimError(claim)
    return value


def _audiences(claims: Mapping[str, Any]) -> list[str]:
    audience = claims.get("aud")
    values = audience if isinstance(audience, list) else [audience]
    return [value for value in values if isinstance(value, str)]
