"""One log line and one event for each thing worth knowing; never a token, never text from a stranger."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from sys import modules
from typing import Final

from cognito_guard._principal import Principal
from cognito_guard._telemetry import TRACING, annotate
from cognito_guard.errors import RefusalError, SignatureError
from cognito_guard.events import Event, KeysFailed, KeysFetched, Refused, Verified

_log: Final = logging.getLogger("cognito_guard")

OnEvent = Callable[[Event], None]

refusals_seen: Final[ContextVar[list[Refused] | None]] = ContextVar("refusals_seen", default=None)
"""A list that each refusal in this context is added to: tests tell the guard's answers from the app's own by it."""


class Reporter:
    """Writes to the logger `cognito_guard` and calls `on_event`."""

    def __init__(self, on_event: OnEvent | None) -> None:
        self._on_event: Final = on_event

    def verified(self, principal: Principal) -> None:
        """A token was accepted."""
        if TRACING in modules:
            annotate("verified", principal.client_id)
        if self._on_event is not None:
            self._emit(Verified(principal))

    def refused(self, error: RefusalError, principal: Principal | None) -> None:
        """A request was refused; *principal* is known if the token itself was good."""
        # A signature that does not match is somebody trying; most else is a client that forgot or waited too long.
        level = (
            logging.ERROR
            if error.status >= 500  # noqa: PLR2004 - where server errors begin
            else logging.WARNING
            if isinstance(error, SignatureError)
            else logging.INFO
        )
        client_id = None if principal is None else principal.client_id
        if (seen := refusals_seen.get()) is not None:
            seen.append(Refused(error.status, error.reason, client_id))
        fields = {"status": error.status, "reason": error.reason, "client_id": client_id}
        caller = "" if client_id is None else f" (client {client_id})"
        _log.log(level, "refused with %d: %s%s", error.status, error.reason, caller, extra=fields)
        annotate(error.reason, client_id)
        if self._on_event is not None:
            self._emit(Refused(error.status, error.reason, client_id))

    def keys_fetched(self, event: KeysFetched) -> None:
        """A key set was fetched."""
        changed = f", {len(event.added)} new" * bool(event.added) + f", {len(event.removed)} gone" * bool(event.removed)
        level = logging.INFO if changed else logging.DEBUG
        _log.log(level, "keys of %s fetched: %d%s", event.pool_id, len(event.kids), changed)
        self._emit(event)

    def keys_failed(self, event: KeysFailed, outlook: str) -> None:
        """A key set could not be fetched; *outlook* says what that means for requests."""
        level = logging.WARNING if event.usable else logging.ERROR
        error = "; ".join(filter(None, (event.error, event.advice)))
        line = "keys of %s not fetched: %s; %s; next attempt in %.1f s"
        _log.log(level, line, event.pool_id, error, outlook, event.next_attempt)
        self._emit(event)

    def _emit(self, event: Event) -> None:
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:  # noqa: BLE001 - whatever it is
                # A counter that fails must neither open a route nor close one.
                _log.exception("on_event failed for %s", type(event).__name__)
