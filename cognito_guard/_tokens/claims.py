"""Checks the claims of an access token, and makes a `Principal` of them."""

from __future__ import annotations

from functools import lru_cache
from sys import intern
from typing import Any, Final

from cognito_guard._grammar import resource_server_of
from cognito_guard._pool import ANY_CLIENT, UserPool
from cognito_guard._principal import Principal, signed_principal
from cognito_guard.errors import AudienceError, ClaimError, ExpiredTokenError

_FAR_FUTURE: Final = 1e15
"""Seconds since the epoch, beyond any clock."""

_TEXTS: Final = ("scope", "sub", "username", "jti")
_NO_GROUPS: Final[frozenset[str]] = frozenset()


def check_claims(  # noqa: C901 - one check after another
    claims: dict[str, Any], pool: UserPool, now: float, leeway: float
) -> None:
    """
    Raise unless *claims* are those of a current access token for a client of *pool*.

    Checks `token_use`, `client_id`, `exp`, `nbf` if present, whether the token is meant for this API (`UserPool` has
    the rules), and the types of the claims that become part of the caller. `iss` has already been compared to find
    *pool*. An `iat` in the future is accepted: RFC 7519 does not forbid it, and clocks differ. Not checked: other
    claims, the signature, revocation.

    Args:
        claims: The payload.
        pool: The pool whose issuer is named.
        now: Seconds since the epoch.
        leeway: Seconds by which the clocks of the issuer and this machine may differ.

    Raises:
        ExpiredTokenError: `exp` is not after *now* (exclusive, RFC 7519 section 4.1.4).
        AudienceError: The token is meant for another API.
        ClaimError: Another claim is missing, has the wrong type, or has a value that is not accepted.

    """
    get = claims.get
    if get("token_use") != "access":
        raise ClaimError("token_use")
    client_id = get("client_id")
    if type(client_id) is not str or not client_id:
        raise ClaimError("client_id")
    if pool.client_ids is not ANY_CLIENT and client_id not in pool.client_ids:
        raise ClaimError("client_id")
    expires_at: Any = get("exp")
    if not _is_time(expires_at):
        raise ClaimError("exp")
    if expires_at + leeway <= now:
        raise ExpiredTokenError
    if "nbf" in claims and not (_is_time(claims["nbf"]) and claims["nbf"] - leeway <= now):
        raise ClaimError("nbf")
    if "iat" in claims and not _is_time(claims["iat"]):
        raise ClaimError("iat")
    scope = get("scope", "")
    if not (type(scope) is type(get("sub", "")) is type(get("username", "")) is type(get("jti", "")) is str):
        raise ClaimError(next(claim for claim in _TEXTS if type(claims.get(claim, "")) is not str))
    if "cognito:groups" in claims and not _is_list_of_strings(claims["cognito:groups"]):
        raise ClaimError("cognito:groups")
    if pool.resource_servers or pool.audience:
        _check_audience(claims, client_id, scope, pool)


def principal_of(claims: dict[str, Any], payload: bytes) -> Principal:
    """
    Return the caller that *claims* describe. Call it after `check_claims`, and after the signature was verified.

    Never call it earlier: values that repeat, such as scopes, are kept for all callers, and no unverified value may be
    among them.

    Args:
        claims: The payload.
        payload: The JSON of *claims*.

    """
    get = claims.get
    client_id, subject = intern(claims["client_id"]), get("sub")
    return signed_principal(
        client_id,
        _scopes(get("scope", "")),
        # The `sub` of a machine is its client id: share one string.
        client_id if subject == client_id else subject or None,
        get("username") or None,
        frozenset(claims["cognito:groups"]) if "cognito:groups" in claims else _NO_GROUPS,
        intern(claims["iss"]),
        get("jti") or None,
        get("iat"),
        claims["exp"],
        payload,
    )


@lru_cache(maxsize=256)
def _scopes(scope: str) -> frozenset[str]:
    return frozenset(_split(scope))


def _split(scope: str) -> list[str]:
    # Split only at single spaces: a tab is not a separator (RFC 6749 section 3.3).
    return [name for name in scope.split(" ") if name]


def _is_list_of_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(member, str) for member in value)


def _is_time(value: Any) -> bool:
    # A NumericDate (RFC 7519 section 2) is not a bool, which Python counts as an int, and not NaN, infinity, or an
    # integer too large for a float.
    kind = type(value)
    return (kind is int or kind is float) and -_FAR_FUTURE < value < _FAR_FUTURE


def _check_audience(claims: dict[str, Any], client_id: str, scope: str, pool: UserPool) -> None:
    """Raise AudienceError unless the token is meant for this API; `UserPool` has the rules."""
    audience = claims.get("aud")
    named = [value for value in (audience if isinstance(audience, list) else [audience]) if isinstance(value, str)]
    if not pool.resource_servers:
        meant_for_us = not pool.audience.isdisjoint(named)
    # An `aud` with the token's own client does not name an API. A pre-token-generation trigger can set only that one.
    elif "aud" in claims and audience not in (client_id, [client_id]):
        named = [value for value in named if value != client_id]
        meant_for_us = not (pool.resource_servers.isdisjoint(named) and pool.audience.isdisjoint(named))
    else:
        meant_for_us = not pool.resource_servers.isdisjoint(map(resource_server_of, _split(scope)))
    if not meant_for_us:
        raise AudienceError
