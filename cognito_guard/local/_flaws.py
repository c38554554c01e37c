"""Tokens with one thing wrong, by name. An API must refuse them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from cognito_guard.local._keys import SigningKey
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._tokens import encode
from cognito_guard.local._unverified import claims_of, header_of

Minter = Callable[..., str]
"""Returns a valid token. Takes changes of claims and `headers`, like `LocalPool.mint`."""

_HOUR: Final = 60 * 60
_OTHER_CLIENT: Final = "1some0other0client00000000"
_OTHER_ISSUER: Final = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Elsewhere"


@dataclass(frozen=True, slots=True)
class Flaw:
    """
    One thing that can be wrong with a token.

    Attributes:
        label: A label for people.
        reason: The `reason` of the error with which a guard refuses such an access token.
        make: Returns the token, given the pool and a function that mints a valid one.

    """

    label: str
    reason: str
    make: Callable[[LocalPool, Minter], str]


def _expired(pool: LocalPool, mint: Minter) -> str:
    now = int(pool.clock())
    return mint(iat=now - 2 * _HOUR, auth_time=now - 2 * _HOUR, exp=now - _HOUR)


def _not_yet_valid(pool: LocalPool, mint: Minter) -> str:
    return mint(nbf=int(pool.clock()) + _HOUR)


def _tampered(_pool: LocalPool, mint: Minter) -> str:
    token = mint()
    header, claims = _parts(token)
    unsigned = _unsigned(header, claims | {"scope": "changed/after.signing"})
    return f"{unsigned}.{token.rpartition('.')[2]}"


def _none_algorithm(_pool: LocalPool, mint: Minter) -> str:
    header, claims = _parts(mint())
    return _unsigned(header | {"alg": "none"}, claims) + "."


def _unknown_key(pool: LocalPool, mint: Minter) -> str:
    _, claims = _parts(mint())
    return pool.sign(claims, key=_stranger())


FLAWS: Final[Mapping[str, Flaw]] = {
    "expired": Flaw("Expired an hour ago", "expired", _expired),
    "not_yet_valid": Flaw("Not valid for another hour", "claim_nbf", _not_yet_valid),
    "wrong_issuer": Flaw("From another user pool", "claim_iss", lambda _pool, mint: mint(iss=_OTHER_ISSUER)),
    "wrong_client": Flaw(
        "From an unknown client", "claim_client_id", lambda _pool, mint: mint(client_id=_OTHER_CLIENT)
    ),
    "tampered": Flaw("Changed after signing", "signature", _tampered),
    "none_algorithm": Flaw("Not signed (alg none)", "algorithm", _none_algorithm),
    "unknown_key": Flaw("Signed with an unknown key", "unknown_key", _unknown_key),
}
"""The flaws by name. An API must also refuse ID tokens; these are a kind of token and not in this list."""


@cache
def _stranger() -> SigningKey:
    # One key for all: making one takes 100 ms.
    return SigningKey()


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return header_of(token) or {}, claims_of(token) or {}


def _unsigned(header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
    return encode(header, claims, _stranger()).rpartition(".")[0]
