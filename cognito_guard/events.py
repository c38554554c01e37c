"""
What the guard passes to `on_event`: one frozen object for each occasion.

`on_event` is called where the event happens: on the event loop for requests, on a thread of the guard for keys. It must
not block. Its exceptions are logged and have no other effect.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cognito_guard._principal import Principal

__all__ = ["Event", "KeysFailed", "KeysFetched", "Refused", "Verified"]


@dataclass(frozen=True, slots=True)
class Verified:
    """A token was accepted. Whether it grants what the route requires is decided later."""

    principal: Principal


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A request was refused.

    Attributes:
        status: The HTTP status of the answer.
        reason: The error's `reason`: one of a small, fixed set, so it can be the label of a metric.
        client_id: The app client if its token was verified, or None.
        method: The HTTP method, or `WEBSOCKET`.
        route: The template of the route, if one was chosen; else the path as it was sent, percent-encoded, without the
            query, cut at 128 characters. Use it as the label of a metric only if `status` is 403.
        found: What the token or the request says, if it has the form that Cognito gives it; else its type and length.
            Not verified, unless `status` is 403. None if there is nothing to show.
        accepted: What would have been accepted, or None.
        hint: What to look at, or None.
        claimed_client_id: The app client that the refused token names, not verified, or None. Anyone can write it.

    `found`, `accepted` and `hint` are not compared: their words may change from release to release.

    """

    status: int
    reason: str
    client_id: str | None
    method: str = field(default="", compare=False, kw_only=True)
    route: str = field(default="", compare=False, kw_only=True)
    found: str | None = field(default=None, compare=False, kw_only=True)
    accepted: str | None = field(default=None, compare=False, kw_only=True)
    hint: str | None = field(default=None, compare=False, kw_only=True)
    claimed_client_id: str | None = field(default=None, compare=False, kw_only=True)


@dataclass(frozen=True, slots=True)
class KeysFetched:
    """
    A pool's key set was fetched.

    Attributes:
        pool_id: The user pool.
        kids: The ids of all keys that now verify tokens.
        added: The ids that are new, or whose key has changed.
        removed: The ids that no longer verify tokens.

    """

    pool_id: str
    kids: frozenset[str]
    added: frozenset[str]
    removed: frozenset[str]


@dataclass(frozen=True, slots=True)
class KeysFailed:
    """
    An attempt to fetch a pool's key set failed.

    Attributes:
        pool_id: The user pool.
        error: Each URL that was asked, and what went wrong with it, in words for your operators.
        usable: Whether keys that were fetched earlier still verify tokens.
        advice: What to look at, or "".
        next_attempt: Seconds until the next attempt may start; it starts when a request needs it.

    """

    pool_id: str
    error: str
    usable: bool
    advice: str
    next_attempt: float


Event = Verified | Refused | KeysFetched | KeysFailed
