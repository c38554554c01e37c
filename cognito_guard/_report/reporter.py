"""Makes one log line and one event of each occasion; never with a token or free text from a stranger."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

from cognito_guard._principal import Principal
from cognito_guard._report import log
from cognito_guard._report.flood import WINDOW, Flood, Kind
from cognito_guard._report.telemetry import OPENTELEMETRY, annotate, is_traced
from cognito_guard.errors import RefusalError, SignatureError
from cognito_guard.events import Event, KeysFailed, KeysFetched, Refused, Verified

OnEvent = Callable[[Event], None]

refusals_seen: Final[ContextVar[list[Refused] | None]] = ContextVar("refusals_seen", default=None)
"""A list to which each refusal in this context is added, so that tests can tell the guard's answers from the app's."""

_SERVER_ERRORS: Final = 500


class Account(NamedTuple):
    """
    Where a request was refused and why, for people who read logs. All text is printable ASCII.

    Attributes:
        method: The HTTP method, or `WEBSOCKET`.
        route: The template of the route that was chosen, or the path as it was sent.
        found: What the request or its token says, in a form that is safe to show.
        accepted: What would have been accepted.
        hint: What to look at.
        claimed_client_id: The app client that the refused token names, not verified.
        text: All of this as one sentence.

    """

    method: str
    route: str
    found: str | None
    accepted: str | None
    hint: str | None
    claimed_client_id: str | None
    text: str


class Reporter:
    """
    Writes to the logger `cognito_guard` and calls `on_event`.

    Args:
        on_event: Called with each event.
        timer: Returns monotonic seconds, for the windows of floods.

    """

    def __init__(self, on_event: OnEvent | None, timer: Callable[[], float] = time.monotonic) -> None:
        self._on_event: Final = on_event
        self._flood: Final = Flood(timer, _summarise)

    def verified(self, principal: Principal) -> None:
        """A token was accepted."""
        if self._flood.is_pending:
            self._flood.settle()
        # Look for the module first: without it, which is usual, there is no call.
        if OPENTELEMETRY in sys.modules and is_traced():
            annotate("verified", principal.client_id)
        if self._on_event is not None:
            self._emit(Verified(principal))

    def refused(self, error: RefusalError, principal: Principal | None, account_of: Callable[[], Account]) -> None:
        """A request was refused. *principal* is given if the token was valid. The account is made only if needed."""
        # A signature that does not match may be an attack. Most other reasons are mistakes of a client.
        level = (
            logging.ERROR
            if error.status >= _SERVER_ERRORS
            else logging.WARNING
            if isinstance(error, SignatureError)
            else logging.INFO
        )
        client_id = None if principal is None else principal.client_id
        is_written = log.shows(level) and self._flood.admits(Kind(level, error.status, error.reason))
        if (seen := refusals_seen.get()) is not None:
            seen.append(Refused(error.status, error.reason, client_id))
        annotate(error.reason, client_id)
        if is_written or self._on_event is not None:
            method, route, found, accepted, hint, claimed_client_id, text = account_of()
            fields: dict[str, Any] = {
                "status": error.status,
                "reason": error.reason,
                "client_id": client_id,
                "method": method,
                "route": route,
                "found": found,
                "accepted": accepted,
                "hint": hint,
                "claimed_client_id": claimed_client_id,
            }
            if is_written:
                values = (method, route, error.status, error.reason, text)
                log.write(level, "%s %s refused %d %s: %s", *values, extra=fields)
            if self._on_event is not None:
                self._emit(Refused(**fields))

    def settle(self) -> None:
        """Write the counts that are not written yet, because the app shuts down."""
        self._flood.close()

    def keys_fetched(self, event: KeysFetched) -> None:
        """A key set was fetched."""
        changed = f", {len(event.added)} new" * bool(event.added) + f", {len(event.removed)} gone" * bool(event.removed)
        level = logging.INFO if changed else logging.DEBUG
        if log.shows(level):
            log.write(level, "keys of %s fetched: %d%s", event.pool_id, len(event.kids), changed)
        self._emit(event)

    def keys_failed(self, event: KeysFailed, outlook: str) -> None:
        """A key set could not be fetched. *outlook* says what that means for requests."""
        level = logging.WARNING if event.usable else logging.ERROR
        error = "; ".join(filter(None, (event.error, event.advice)))
        line = "keys of %s not fetched: %s; %s; next attempt in %.1f s"
        log.logger.log(level, line, event.pool_id, error, outlook, event.next_attempt)
        self._emit(event)

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:  # noqa: BLE001 - whatever it is
                # An error in on_event must neither open a route nor close one.
                log.logger.exception("on_event failed for %s", type(event).__name__)


def _summarise(kind: Kind, counted: int) -> None:
    if log.shows(kind.level):
        log.write(
            kind.level,
            "refused %d more with %d %s within %d s, not shown one by one",
            counted,
            kind.status,
            kind.reason,
            WINDOW,
            extra={"status": kind.status, "reason": kind.reason, "count": counted},
        )
