"""What a client bought, reused and paid."""

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
    Where a client stands.

    Attributes:
        bought: Tokens that this object bought.
        shared: Tokens that it took from the store, where another process had put them.
        reused: Calls that were answered with a token beyond those bought: what a purchase per call would have cost.
        failed: Token requests that failed.
        spent: What the purchases cost: `bought` times `price`.
        expires_at: When the token at hand expires, in seconds since the epoch; None if there is none.
        last_error: The code of the last failure (`TokenRequestError.error`), None after a success.
        store_away: Whether the store failed lately and is left alone for now.

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
    Counts, and tells `on_event`.

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
        # Counting must not cost calls a lock, and += between threads loses some. A counter's next() does neither, but
        # reading it counts as well, so readings are subtracted.
        self.count_call: Final = itertools.count().__next__
        self._readings = 0
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Make a new lock and start from nothing: what the parent bought is in its own ledger."""
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
        """Count a failed request, after which there is none for *pause* seconds."""
        with self._lock:
            self._failed += 1
            self._last_error = failure.error
        error = failure.exception(pause)
        logger.warning("%s Client %s; next attempt in %.1f s", error, self._client_id, pause)
        self._tell(TokenRequestFailed(self._client_id, failure.error, failure.status, pause))

    def status(self, *, expires_at: float | None, store_away: bool) -> ClientStatus:
        """Return the counts, together with what others know."""
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
            # Without its traceback, which would show more of our frames than of the handler's.
            logger.error("on_event raised %s", type(error).__name__)  # noqa: TRY400
