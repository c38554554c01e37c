"""Who a verified access token speaks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """
    The caller, as a verified access token describes it.

    Fits where Starlette wants a user (`request.user`). What is here was signed by the user pool; whether the token has
    been revoked since, or the user disabled, is not known.

    Attributes:
        client_id: The app client that obtained the token.
        scopes: What the token grants.
        subject: `sub`: the user, or the app client again where no user is involved.
        username: The user's name, or None for a machine.
        groups: The user's groups (`cognito:groups`).
        issuer: `iss`: the user pool.
        token_id: `jti`, where the pool gives its tokens one.
        issued_at: `iat`, in seconds since the epoch.
        expires_at: `exp`, in seconds since the epoch.
        claims: The whole payload, read-only. Not in `repr`, for it may hold anything that a trigger put there.

    """

    client_id: str
    scopes: frozenset[str]
    subject: str | None
    username: str | None
    groups: frozenset[str]
    issuer: str
    token_id: str | None
    issued_at: float | None
    expires_at: float
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False, compare=False)

    @property
    def is_authenticated(self) -> bool:
        """Always True (Starlette's `BaseUser`)."""
        return True

    @property
    def display_name(self) -> str:
        """The user's name, or the client id for a machine (Starlette's `BaseUser`)."""
        return self.username or self.client_id

    @property
    def identity(self) -> str:
        """`subject`, or the client id where a token has none (Starlette's `BaseUser`)."""
        return self.subject or self.client_id


class Draft:
    """
    A principal in the making: `draft.__class__ = Principal` seals it.

    Filling a frozen dataclass takes seven times as long as filling this.
    """

    __slots__ = Principal.__slots__
