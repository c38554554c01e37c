"""
What the guard tells `on_event`, one frozen object per occasion.

Handlers are called where the thing happens: for requests on the event loop, for keys on a thread of the guard's. They
must not block. An exception in one is logged and goes no further.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cognito_guard._principal import Principal

__all__ = ["Event", "KeysFailed", "KeysFetched", "Refused", "Verified"]


@dataclass(frozen=True, slots=True)
class Verified:
    """A token was accepted. Whether it grants what the route requires is not decided yet."""

    principal: Principal


@dataclass(frozen=True, slots=True)
class Refused:
    """
    A request was refused.

    Attributes:
        status: The HTTP status it was answered with.
        reason: The error's `reason`: of a small, fixed set, fit for a metric's label.
        client_id: The app client, once its token was verified, or None.
        method: The HTTP method, or `WEBSOCKET`.
        route: The template of the route, if one was chosen; else the path as it was sent, percent-encoded, without the
            query, cut at 128 characters. A metric's label only where `status` is 403.
        found: What the token or the request says, where that has the form that Cognito gives it; else its type and
            length. Not verified, unless `status` is 403. None where there is nothing to show.
        accepted: What would have been accepted, or None.
        hint: What to look at, or None.
        claimed_client_id: The app client that the refused token names, not verified, or None. Anyone can write it.

    What explains does not count for equality: its words may change from release to release.

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
        kids: The keys that now verify tokens.
        added: Those of them that are new or changed.
        removed: Those that verify tokens no longer.

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
        error: Each URL that was asked, and what went wrong with it, in words fit for a status page.
        usable: Whether keys fetched earlier still verify tokens.
        advice: What to look at, or "".
        next_attempt: Seconds until the next attempt may start; it starts when a request needs it.

    """

    pool_id: str
    error: str
    usable: bool
    advice: str
    next_attempt: float


Event = Verified | Refused | KeysFetched | KeysFailed
