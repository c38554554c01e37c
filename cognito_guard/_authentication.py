"""What requests have as `request.user` without a caller, and as `request.auth` (Starlette, Authentication)."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NoReturn

from starlette.authentication import AuthCredentials, UnauthenticatedUser


class Anonymous(UnauthenticatedUser):
    """The `request.user` of a public route without a caller."""


class Credentials(AuthCredentials):
    """
    The `request.auth`: the *granted* scopes, in a new list on each access.

    Immutable, because all requests with the same scopes share one object.
    """

    __slots__ = ("_granted",)
    _granted: frozenset[str]

    def __init__(self, granted: frozenset[str]) -> None:
        object.__setattr__(self, "_granted", granted)

    @property
    def scopes(self) -> list[str]:  # type: ignore[override]
        """The scopes."""
        return list(self._granted)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("many requests share request.auth; use request.state for data of one request")


NO_CREDENTIALS: Final = Credentials(frozenset())
# Many tokens grant the same scopes, so one object is kept for each set.
credentials_of: Final = lru_cache(maxsize=256)(Credentials)
