"""A user pool with its keys, guards of it, and tokens for them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.local import LocalPool

POOL_ID: Final = "eu-central-1_AbCdEf123"
CLIENT_ID: Final = "7lhlkkfbfb4q5kpp90urffao"
SCOPE: Final = "orders/order.read"
AUDIENCE: Final = "https://orders.example"


@cache
def local_pool() -> LocalPool:
    """Return the pool that all benchmarks of this process share, because its keys are slow to make."""
    pool = LocalPool(POOL_ID)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    pool.add_client(client_id=CLIENT_ID, scopes=[SCOPE], access_token_validity=24 * 60 * 60)
    return pool


def mint(**changes: Any) -> str:
    """Return a new token of a machine, with *changes*."""
    members: dict[str, Any] = {"client_id": CLIENT_ID} | changes
    return local_pool().mint(SCOPE, **members)


def mint_user(number: int, **changes: Any) -> str:
    """Return a new token of a user, which is longer, with *changes*."""
    return local_pool().mint_user(f"user-{number}", SCOPE, client_id=CLIENT_ID, **changes)


def make_guard(jwks: bytes, *, token_cache: int = 10_000, timer: Callable[[], float] = time.monotonic) -> CognitoGuard:
    """Return a guard as users make it, but with keys from *jwks* instead of the network."""

    def fetch(url: str, timeout: float) -> bytes:  # noqa: ARG001 - it is at hand
        return jwks

    return CognitoGuard(UserPool(POOL_ID, client_ids={CLIENT_ID}), token_cache=token_cache, timer=timer, fetch=fetch)


@dataclass(frozen=True, slots=True)
class Material:
    """
    What a benchmark works on.

    Attributes:
        issuer: `iss` of the tokens.
        jwks: The key set of the pool.
        tokens: Good tokens, all different.

    """

    issuer: str
    jwks: bytes
    tokens: Sequence[str]

    def remembering_guard(self) -> CognitoGuard:
        """Return a guard that remembers every token."""
        return make_guard(self.jwks)

    def forgetful_guard(self) -> CognitoGuard:
        """
        Return a guard that knows no token, if all of `tokens` come before any comes again.

        It remembers half of the tokens: when a token comes again, it has been dropped. So each verification includes
        the full cost of remembering a token and of dropping an old one.
        """
        return make_guard(self.jwks, token_cache=len(self.tokens) // 2)


@cache
def material(count: int, *, of_users: bool = False, bound: bool = False) -> Material:
    """
    Return *count* tokens, of a machine or of as many users, and what is needed to verify them.

    Tokens that are *bound* name `AUDIENCE` as `aud` (resource binding, RFC 8707).
    """
    pool = local_pool()
    changes = {"aud": AUDIENCE} if bound else {}
    tokens = tuple(mint_user(number, **changes) if of_users else mint(**changes) for number in range(count))
    return Material(pool.issuer, json.dumps(pool.jwks()).encode(), tokens)


def wrongly_signed(token: str, other: str) -> str:
    """Return *token* with the signature of *other*."""
    return f"{token.rpartition('.')[0]}.{other.rpartition('.')[2]}"
