"""A store that may be unavailable, and never makes a call fail."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, TypeVar

from cognito_guard.client._job import Job
from cognito_guard.client._seams import Seams
from cognito_guard.client._store import StoredToken, TokenStore

Result = TypeVar("Result")

logger = logging.getLogger("cognito_guard.client")

_REST: Final = 2.0


class BoundedStore:
    """
    Asks a store on a separate thread each time, with a time limit.

    After a failure the store is not asked for 1 to 2 s, and not while a call to it still hangs. So at most one thread
    hangs.

    Args:
        store: The store.
        timeout: Seconds that one call may take.
        seams: The monotonic clock and the randomness.

    """

    def __init__(self, store: TokenStore, *, timeout: float, seams: Seams) -> None:
        self._store: Final = store
        self._timeout: Final = timeout
        self._seams: Final = seams
        self._away_until = float("-inf")
        self._failed = False
        self._hanging: Job[Any] | None = None

    @property
    def away(self) -> bool:
        """Whether the store is not asked at present."""
        return self._seams.timer() < self._away_until or (self._hanging is not None and self._hanging.under_way)

    def get(self, key: str) -> StoredToken | None:
        """Return the entry of *key*; None if there is none, or if the store is not available."""

        def get() -> StoredToken | None:
            entry = self._store.get(key)
            if entry is not None and not (isinstance(entry.sealed, bytes) and isinstance(entry.generation, int)):
                raise TypeError
            return entry

        return self._ask(get, None)

    def put(self, key: str, entry: StoredToken, lifetime: float) -> bool:
        """Return False if there is a newer entry; True if the store is not available."""
        return self._ask(lambda: self._store.put(key, entry, lifetime), True)  # noqa: FBT003 - the answer if away

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        """Return whether *owner* may buy; True if the store is not available, because then each process must buy."""
        return self._ask(lambda: self._store.claim(key, owner, seconds), True)  # noqa: FBT003 - likewise

    def release(self, key: str, owner: str) -> None:
        """End the claim of *owner*, if the store is available."""
        self._ask(lambda: self._store.release(key, owner), None)

    def _ask(self, question: Callable[[], Result], otherwise: Result) -> Result:
        if self.away:
            return otherwise
        lost = _Lost()

        def ask() -> Result | _Lost:
            try:
                return question()
            except Exception as error:  # noqa: BLE001 - whatever the store's client raises
                return _Lost(type(error).__name__)

        try:
            job = Job[Result | _Lost](ask, lost=lost, name="cognito-guard token store")
        except RuntimeError:  # no thread can be started
            return otherwise
        job.wait(self._timeout)
        answer = lost if job.under_way else job.result
        if not isinstance(answer, _Lost):
            if self._failed:
                self._failed = False
                logger.info("the token store is back")
            return answer  # type: ignore[return-value] # None is an answer as well
        if not self._failed:
            self._failed = True
            logger.warning("the token store is away (%s); tokens are bought without it", answer.error)
        self._hanging = job
        self._away_until = self._seams.timer() + _REST * (1 + self._seams.random()) / 2
        return otherwise


class _Lost:
    """The store did not answer."""

    def __init__(self, error: str = "no answer in time") -> None:
        self.error: Final = error
