"""Counts what a client bought, reused and paid."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cognito_guard.client._events import TokenBought, TokenEvent, TokenRequestFailed, TokenShared
from cognito_guard.client._failure import Failure
from cognito_guard.client._fork import renew_after_fork

logger = logging.getLogger("cognito_guard.client")


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """
    The state of a client.

    Attributes:
        bought: Tokens that this object bought.
        shared: Tokens that it took from the store because another process had bought them.
        reused: Calls that did not need a purchase of their own.
        failed: Token requests that failed.
        spent: The cost of the purchases: `bought` times `price`.
        expires_at: When the current token expires, in seconds since the epoch; None if there is none.
        last_error: The code of the last failure (`TokenRequestError.error`), None after a success.
        store_away: Whether the store has failed and is not asked for now.

    """

    bought: int
    shared: int
    reused: int
    failed: int
    spent: float
    expires_at: float | None
    last_error: str | None
    store_away: bool


class Ledger:
    """
    Counts, and calls `on_event`.

    Args:
        client_id: The app client.
        scopes: What is asked for, sorted.
        price: Of one token.
        on_event: Called with each event, or None.

    """

    def __init__(
        self,
        client_id: str,
        scopes: tuple[str, ...],
        *,
        price: float,
        on_event: Callable[[TokenEvent], object] | None,
    ) -> None:
        self._client_id: Final = client_id
        self._scopes: Final = scopes
        self._price: Final = price
        self._on_event: Final = on_event
        self._lock = threading.Lock()
        self._bought = self._shared = self._failed = 0
        self._last_error: str | None = None
        # Calls must not wait for a lock to count, and += loses counts between threads. next() on a counter is atomic.
        # Reading it counts too, so the readings are subtracted.
        self.count_call: Final = itertools.count().__next__
        self._readings = 0
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Make a new lock and start from zero: the parent counts its own purchases."""
        self._lock = threading.Lock()
        self._bought = self._shared = self._failed = 0
        self._readings = self.count_call() + 1

    def note_bought(self, lifetime: float) -> None:
        """Count a purchase."""
        with self._lock:
            self._bought += 1
            self._last_error = None
            bought, reused = self._bought, self._reused()
        spent = bought * self._price
        logger.info(
            "bought an access token for client %s, good for %.0f s; %d bought so far for %.5f, %d calls reused one",
            self._client_id,
            lifetime,
            bought,
            spent,
            reused,
        )
        self._tell(TokenBought(self._client_id, self._scopes, lifetime, bought, reused, spent))

    def note_shared(self, lifetime: float) -> None:
        """Count a token from the store."""
        with self._lock:
            self._shared += 1
            self._last_error = None
        self._tell(TokenShared(self._client_id, self._scopes, lifetime))

    def note_failed(self, failure: Failure, pause: float) -> None:
        """Count a failed request. The next one follows after *pause* seconds."""
        with self._lock:
            self._failed += 1
            self._last_error = failure.error
        error = failure.exception(pause)
        logger.warning("%s Client %s; next attempt in %.1f s", error, self._client_id, pause)
        self._tell(TokenRequestFailed(self._client_id, failure.error, failure.status, pause))

    def status(self, *, expires_at: float | None, store_away: bool) -> ClientStatus:
        """Return the counts, together with the given state."""
        with self._lock:
            return ClientStatus(
                bought=self._bought,
                shared=self._shared,
                reused=self._reused(),
                failed=self._failed,
                spent=self._bought * self._price,
                expires_at=expires_at,
                last_error=self._last_error,
                store_away=store_away,
            )

    def _reused(self) -> int:
        calls = self.count_call() - self._readings
        self._readings += 1
        return max(0, calls - self._bought)

    def _tell(self, event: TokenEvent) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception as error:  # noqa: BLE001 - a handler's fault must not cost a token
            # Log without traceback: it would show more of our frames than of the handler's.
            logger.error("on_event raised %s", type(error).__name__)  # noqa: TRY400
