"""The claims of an access token: which ones are accepted, and what they make of a caller."""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from cognito_guard._grammar import resource_server_of
from cognito_guard._pool import ANY_CLIENT, UserPool
from cognito_guard._principal import Draft, Principal
from cognito_guard.errors import AudienceError, ClaimError, ExpiredTokenError

_FAR_FUTURE: Final = 1e15
"""Seconds since the epoch that no clock will show."""

_TEXTS: Final = ("scope", "sub", "username", "jti")
_NO_GROUPS: Final[frozenset[str]] = frozenset()


def principal_of(claims: dict[str, Any], pool: UserPool, now: float, leeway: float) -> Principal:
    """
    Return whom *claims* describe, if they are those of a current access token for a client of *pool*.

    Looks at `token_use`, `client_id`, `exp`, `nbf` if present, whether the token is meant for this API (the rules stand
    at `UserPool`), and the type of what becomes part of the caller. `iss` led to *pool* already. An `iat` in the future
    is no reason to refuse: RFC 7519 does not make it one, and clocks differ. Not checked: other claims, the signature,
    revocation.

    Args:
        claims: The payload. Kept: it is the principal's from now on.
        pool: The pool whose issuer is named.
        now: Seconds since the epoch.
        leeway: Seconds by which the clocks of the issuer and this machine may differ.

    Raises:
        ExpiredTokenError: `exp` is not after *now* (exclusive, RFC 7519 section 4.1.4).
        AudienceError: The token is meant for another API.
        ClaimError: Any other claim is not as it must be.

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
    scope, subject, username, token_id = get("scope", ""), get("sub", ""), get("username", ""), get("jti", "")
    if not (type(scope) is type(subject) is type(username) is type(token_id) is str):
        raise ClaimError(next(claim for claim in _TEXTS if type(claims.get(claim, "")) is not str))
    scopes = _scopes(scope)
    if pool.resource_servers or pool.audience:
        _check_audience(claims, client_id, scopes, pool)
    draft: Any = Draft()
    draft.client_id = client_id
    draft.scopes = scopes
    draft.subject = subject or None
    draft.username = username or None
    draft.groups = _groups(claims["cognito:groups"]) if "cognito:groups" in claims else _NO_GROUPS
    draft.issuer = claims["iss"]
    draft.token_id = token_id or None
    draft.issued_at = get("iat")
    draft.expires_at = expires_at
    draft.claims = MappingProxyType(claims)
    draft.__class__ = Principal
    principal: Principal = draft
    return principal


# Clients ask for the same scopes again and again. What a stranger makes up is in here for as long as nobody else calls.
@lru_cache(maxsize=256)
def _scopes(scope: str) -> frozenset[str]:
    # At single spaces and nothing else: a tab is no separator (RFC 6749 section 3.3).
    return frozenset(scope.split(" ")) - {""}


def _groups(groups: object) -> frozenset[str]:
    if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
        raise ClaimError("cognito:groups")
    return frozenset(groups)


def _is_time(value: Any) -> bool:
    # bool is an int to Python, but not a NumericDate (RFC 7519 section 2); neither are NaN, which compares false,
    # infinity, and integers that arithmetic with floats could not hold.
    kind = type(value)
    return (kind is int or kind is float) and -_FAR_FUTURE < value < _FAR_FUTURE


def _check_audience(claims: dict[str, Any], client_id: str, scopes: frozenset[str], pool: UserPool) -> None:
    """Raise AudienceError unless the token is meant for this API: the rules stand at `UserPool`."""
    audience = claims.get("aud")
    named = [value for value in (audience if isinstance(audience, list) else [audience]) if isinstance(value, str)]
    if not pool.resource_servers:
        meant_for_us = not pool.audience.isdisjoint(named)
    # `aud` of the token's own client says nothing about an API: a pre-token-generation trigger may set that one only.
    elif "aud" in claims and audience not in (client_id, [client_id]):
        named = [value for value in named if value != client_id]
        meant_for_us = not (pool.resource_servers.isdisjoint(named) and pool.audience.isdisjoint(named))
    else:
        meant_for_us = not pool.resource_servers.isdisjoint(map(resource_server_of, scopes))
    if not meant_for_us:
        raise AudienceError
