"""Tokens that every guard must refuse: each is a valid one with one thing wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cognito_guard._tokens.jws import MAX_TOKEN_LENGTH

if TYPE_CHECKING:
    from cognito_guard import UserPool
    from cognito_guard.local import PoolKeys, SigningKey
    from cognito_guard.testing._double import Double

_DAY: Final = 24 * 60 * 60


@dataclass(frozen=True, slots=True)
class HostileToken:
    """
    A token that must be refused.

    Attributes:
        name: What is wrong with it.
        token: The token itself.
        status: The HTTP status of the refusal.
        reason: The `reason` of the refusal.

    """

    name: str
    token: str = field(repr=False)
    status: int
    reason: str

    @property
    def headers(self) -> dict[str, str]:
        """The headers with the token."""
        return {"Authorization": f"Bearer {self.token}"}


class _Recipe(NamedTuple):
    make: Callable[[Double, PoolKeys], str]
    reason: str


class HostileTokens(Mapping[str, HostileToken]):
    """
    Hostile tokens by name, made when they are looked up.

    The names are those of `HOSTILE_TOKENS`. For a guard with `resource_servers` or `audience`, the names of
    `TOKENS_FOR_ANOTHER_API` that it refuses are there too.

    Args:
        double: The pool whose tokens are changed.
        foreign: The keys of another pool.
        longest: The longest token that the guard accepts, in characters.

    """

    def __init__(self, double: Double, foreign: PoolKeys, *, longest: int = MAX_TOKEN_LENGTH) -> None:
        self._double: Final = double
        self._foreign: Final = foreign
        self._recipes: Final = {
            name: recipe
            for name, recipe in _recipes(double.pool, longest).items()
            if name != "wrong_client" or not double.accepts(_STRANGER)
        }

    def __getitem__(self, name: str) -> HostileToken:
        """
        Return the token of that name.

        Raises:
            KeyError: There is no such token. A guard that accepts any client has no `wrong_client`.

        """
        recipe = self._recipes[name]
        return HostileToken(name, recipe.make(self._double, self._foreign), 401, recipe.reason)

    def __iter__(self) -> Iterator[str]:
        return iter(self._recipes)

    def __len__(self) -> int:
        return len(self._recipes)


_STRANGER: Final = "1some0other0client00000000"
_ELSEWHERE: Final = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Elsewhere"


def _with(**changes: Any) -> Callable[[Double, PoolKeys], str]:
    """Return a function that makes a token with changed claims or `headers`."""
    return lambda double, _foreign: double.token(**changes)


def _expired(double: Double, _foreign: PoolKeys) -> str:
    now = double.clock()
    issued = int(now - 2 * _DAY)
    return double.token(iat=issued, auth_time=issued, exp=int(now - _DAY))


def _not_yet_valid(double: Double, _foreign: PoolKeys) -> str:
    return double.token(nbf=int(double.clock() + _DAY))


def _issuer_lookalike(double: Double, _foreign: PoolKeys) -> str:
    return double.token(iss=double.pool.issuer + "/")


def _id_token(double: Double, _foreign: PoolKeys) -> str:
    return double.local.mint_id("somebody", client_id=double.client_id)


def _signed_by(double: Double, key: SigningKey, header: Mapping[str, Any], **changes: Any) -> str:
    _, claims, _ = _parts(double.token(**changes))
    return double.local.sign(claims, headers=header, key=key)


def _no_client(double: Double, _foreign: PoolKeys) -> str:
    _, claims, _ = _parts(double.token())
    return double.local.sign({name: value for name, value in claims.items() if name != "client_id"})


def _foreign_pool(double: Double, foreign: PoolKeys) -> str:
    return _signed_by(double, foreign.access, {}, iss=_ELSEWHERE)


def _foreign_key(double: Double, foreign: PoolKeys) -> str:
    return _signed_by(double, foreign.access, {"kid": double.local.keys.access.kid})


def _unknown_kid(double: Double, foreign: PoolKeys) -> str:
    return _signed_by(double, foreign.access, {})


def _embedded_key(double: Double, foreign: PoolKeys) -> str:
    return _signed_by(double, foreign.access, {"jwk": foreign.access.jwk(), "jku": f"{_ELSEWHERE}/jwks.json"})


def _tampered(double: Double, _foreign: PoolKeys) -> str:
    token = double.token()
    header, claims, _ = _parts(token)
    return ".".join([_segment(header), _segment(claims | {"scope": "all/rights"}), token.split(".")[2]])


def _none_algorithm(double: Double, _foreign: PoolKeys) -> str:
    header, claims, _ = _parts(double.token())
    return f"{_segment(header | {'alg': 'none'})}.{_segment(claims)}."


def _hs256(double: Double, _foreign: PoolKeys) -> str:
    # The public key used as a shared secret. A verifier that trusts `alg` would accept this (RFC 8725 section 2.1).
    header, claims, _ = _parts(double.token())
    signed = f"{_segment(header | {'alg': 'HS256'})}.{_segment(claims)}"
    signature = hmac.digest(double.local.keys.access.public_pem(), signed.encode(), hashlib.sha256)
    return f"{signed}.{_base64url(signature)}"


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    header, claims, signature = (base64.urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(claims), signature


def _segment(members: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(members, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


_RECIPES: Final[Mapping[str, _Recipe]] = {
    "malformed": _Recipe(lambda _double, _foreign: "not.a.token", "malformed"),
    "oversized": _Recipe(_with(padding="x" * MAX_TOKEN_LENGTH), "oversized"),
    "none_algorithm": _Recipe(_none_algorithm, "algorithm"),
    "hs256": _Recipe(_hs256, "algorithm"),
    "no_kid": _Recipe(_with(headers={"kid": None}), "malformed"),
    "typ": _Recipe(_with(headers={"typ": "dpop+jwt"}), "token_type"),
    "b64": _Recipe(_with(headers={"b64": False}), "critical_header"),
    "crit": _Recipe(_with(headers={"crit": ["exp"]}), "critical_header"),
    "foreign_pool": _Recipe(_foreign_pool, "claim_iss"),
    "issuer_lookalike": _Recipe(_issuer_lookalike, "claim_iss"),
    "id_token": _Recipe(_id_token, "claim_token_use"),
    "wrong_client": _Recipe(_with(client_id=_STRANGER), "claim_client_id"),
    "no_client": _Recipe(_no_client, "claim_client_id"),
    "expired": _Recipe(_expired, "expired"),
    "no_expiry": _Recipe(_with(exp=None), "claim_exp"),
    "not_yet_valid": _Recipe(_not_yet_valid, "claim_nbf"),
    "scope_as_list": _Recipe(_with(scope=["all/rights"]), "claim_scope"),
    "unknown_kid": _Recipe(_unknown_kid, "unknown_key"),
    "embedded_key": _Recipe(_embedded_key, "unknown_key"),
    "foreign_key": _Recipe(_foreign_key, "signature"),
    "tampered": _Recipe(_tampered, "signature"),
}

HOSTILE_TOKENS: Final = tuple(_RECIPES)
"""The names of hostile tokens, to parametrize a test."""


def _with_own_scope(**changes: Any) -> Callable[[Double, PoolKeys], str]:
    return lambda double, _foreign: double.token(f"{min(double.pool.resource_servers)}/read", **changes)


def _lookalike(double: Double, _foreign: PoolKeys) -> str:
    # This scope belongs to the resource server <ours>/somebody, not to ours.
    return double.token(f"{min(double.pool.resource_servers)}/somebody/read")


def _signed_in_by_api(double: Double, _foreign: PoolKeys) -> str:
    return double.token("aws.cognito.signin.user.admin", username="somebody")


_FOR_OTHER_RESOURCE_SERVERS: Final[Mapping[str, _Recipe]] = {
    "other_resource_server": _Recipe(lambda double, _: double.token("somebody-else/read"), "audience"),
    "resource_server_lookalike": _Recipe(_lookalike, "audience"),
    "signed_in_by_api": _Recipe(_signed_in_by_api, "audience"),
    "other_audience": _Recipe(_with_own_scope(aud="https://somebody-else.example"), "audience"),
}

_FOR_OTHER_AUDIENCES: Final[Mapping[str, _Recipe]] = {
    "other_audience": _Recipe(_with(aud="https://somebody-else.example"), "audience"),
    "no_audience": _Recipe(_with(aud=None), "audience"),
}

TOKENS_FOR_ANOTHER_API: Final = tuple({**_FOR_OTHER_RESOURCE_SERVERS, **_FOR_OTHER_AUDIENCES})
"""
The names of tokens that are good, but for another API of the pool.

A guard with `resource_servers` refuses all but `no_audience`, one with `audience` alone refuses `other_audience` and
`no_audience`, and any other guard accepts them.
"""


def _recipes(pool: UserPool, longest: int) -> Mapping[str, _Recipe]:
    recipes = {**_RECIPES, "oversized": _Recipe(_with(padding="x" * longest), "oversized")}
    if pool.resource_servers:
        recipes.update(_FOR_OTHER_RESOURCE_SERVERS)
    elif pool.audience:
        recipes.update(_FOR_OTHER_AUDIENCES)
    return recipes
