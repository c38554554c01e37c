"""
The keys of one user pool: when they are fetched, how long they are trusted, and who waits.

    held keys          fresh (younger than max_age)  due (older than max_age)   none (never had, or at stale_for)
    -----------------  ----------------------------  -------------------------  ---------------------------------
    a token's key
    - is among them    served                        served; a refresh starts   waits for an attempt, else 503
    - is not           waits for an attempt, else 401 unknown_key               waits for an attempt, else 503
    start-up           goes on                       goes on; a refresh starts  waits for an attempt, else an error
    next attempt       a cooldown after the last one began                      a back-off after the last failure
    an attempt
    - succeeds         its keys replace all others; they are as old as the attempt
    - fails            nothing changes                                          the back-off doubles
    - outlives         counts as failed at `timeout`: no request joins it, and one more may start beside it. If it gets
      timeout          keys after all, they are used unless newer ones are held
    a waiting request
    - joined an attempt that began before it, or whose attempt failed: waits for one more, if one may start now
    - finds too many others waiting: 503

An attempt runs on its own thread (see `attempt`). It asks the pool's URLs in turn until one gives keys (see `source`).
If the process is stopped during an attempt (AWS Lambda, a suspended container), the attempt outlives its timeout.
"""

from __future__ import annotations

import math
import os
import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from cognito_guard._keys.attempt import Attempt
from cognito_guard._keys.fetch import Fetch, FetchError
from cognito_guard._keys.held import NOTHING_HELD, Held
from cognito_guard._keys.jwks import Key
from cognito_guard._keys.pace import Pace
from cognito_guard._keys.policy import FIRST_BACKOFF, GRACE, MOST_WAITING_COLD, MOST_WAITING_WARM, KeyPolicy, KeyStatus
from cognito_guard._keys.source import NO_THREAD, OUTLIVED, KeySource
from cognito_guard._pool import UserPool
from cognito_guard._report.reporter import Reporter
from cognito_guard.errors import KeysUnavailableError, SignatureError
from cognito_guard.events import KeysFailed, KeysFetched

_Found = TypeVar("_Found")


class KeySet:
    """
    The current keys of *pool*. Safe to share between threads, event loops and forked processes.

    Args:
        pool: Has the URLs of the keys, and may have saved keys to start from.
        policy: See `KeyPolicy`.
        reporter: Is told about each attempt.
        fetch: Gets the document behind a URL.
        timer: Monotonic clock, in seconds.
        jitter: Returns a number from 0 to 1 that spreads the attempts of many processes.
        on_withdrawal: Called when a key is dropped, or replaced by another one with the same `kid`.

    Raises:
        ConfigurationError: The pool's saved key set holds no usable key.

    """

    def __init__(
        self,
        pool: UserPool,
        policy: KeyPolicy,
        reporter: Reporter,
        *,
        fetch: Fetch,
        timer: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        on_withdrawal: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool_id: Final = pool.pool_id
        self._source: Final = KeySource(pool.jwks_urls, fetch, timer)
        self._policy: Final = policy
        self._reporter: Final = reporter
        self._timer: Final = timer
        self._pace: Final = Pace(policy, jitter)
        self._on_withdrawal: Final = on_withdrawal
        self._held = NOTHING_HELD
        self._attempt: Attempt | None = None
        self._outlived: Attempt | None = None
        self._outlived_from = -math.inf
        self._last_error: str | None = None
        self._locks: Final[dict[int, threading.Lock]] = {}
        if pool.jwks is not None:
            self._held = Held.saved(pool.jwks, timer(), policy)

    def get(self, kid: str) -> Key | None:
        """Return the key *kid* if it is held. Never waits; starts a refresh if one is due."""
        held = self._held
        now = self._timer()
        if now >= held.due_at:
            self._refresh()
            if now >= held.gone_at:
                return None
        return held.keys.get(kid)

    async def find(self, kid: str) -> Key:
        """
        Return the key *kid*. Waits for a refresh if the key is not held and a refresh may start.

        Raises:
            SignatureError: The pool did not publish this key when it was last asked.
            KeysUnavailableError: No keys are held and none could be fetched, or too many requests are waiting.

        """
        key = await self._wait_for(lambda: self.get(kid))
        if key is None:
            self._require_keys()
            raise SignatureError("unknown_key")
        return key

    def refresh_if_due(self) -> None:
        """Start a refresh if one is due and may start now. Never waits."""
        if self._timer() >= self._held.due_at:
            self._refresh()

    async def load(self) -> None:
        """
        Fetch the keys if none are held. Held keys that are due are refreshed in the background.

        Raises:
            KeysUnavailableError: No keys are held, and none could be fetched.

        """
        self.refresh_if_due()
        await self._wait_for(lambda: self._timer() < self._held.gone_at or None)
        self._require_keys()

    async def settle(self, patience: float = math.inf) -> None:
        """Wait until no attempt is under way: at most *patience* seconds, and about as long as an attempt may take."""
        for attempt in (self._outlived, self._attempt):
            if attempt is not None:
                await attempt.end(min(patience, self._policy.timeout + GRACE))

    def status(self) -> KeyStatus:
        """Return the state of the keys."""
        held = self._held
        now = self._timer()
        ready = now < held.gone_at
        error = self._last_error
        return KeyStatus(
            ready=ready,
            keys=len(held.keys) if ready else 0,
            age=now - held.loaded_at if held.keys else None,
            last_error=error,
            next_attempt=None if error is None else self._next_attempt_in(now),
        )

    async def _wait_for(self, look: Callable[[], _Found | None]) -> _Found | None:
        """Return what *look* finds, now or after one attempt; after two, if the first failed or began too early."""
        found = look()
        for _ in range(2):
            if found is not None:
                break
            known, earlier = self._held, self._attempt
            attempt = self._refresh()
            if attempt is not None:
                await self._join(attempt)
            # Look again even without an attempt: one may have begun and ended since the last look.
            found = look()
            answered = self._held is not known and self._timer() < self._held.due_at
            if attempt is None or (answered and attempt is not earlier):
                break
        return found

    async def _join(self, attempt: Attempt) -> None:
        now = self._timer()
        if attempt.waiting >= (MOST_WAITING_WARM if now < self._held.gone_at else MOST_WAITING_COLD):
            raise KeysUnavailableError(math.ceil(FIRST_BACKOFF))
        await attempt.wait(self._policy.timeout + GRACE)

    def _next_attempt_in(self, now: float) -> float:
        return self._pace.next_attempt_in(now, held=now < self._held.gone_at)

    def _require_keys(self) -> None:
        now = self._timer()
        if now >= self._held.gone_at:
            raise KeysUnavailableError(math.ceil(max(1.0, self._next_attempt_in(now))))

    @property
    def _lock(self) -> threading.Lock:
        # One lock for each process: if a thread of the parent holds it during a fork, the child can never release it.
        return self._locks.setdefault(os.getpid(), threading.Lock())

    def _refresh(self) -> Attempt | None:
        """Return the attempt under way, or a new one if it may start now."""
        failures: list[KeysFailed] = []
        with self._lock:
            now = self._timer()
            attempt = self._attempt
            if attempt is not None and attempt.under_way:
                if now < self._pace.attempted_at + self._policy.timeout:
                    return attempt
                if self._outlived is not None and self._outlived.under_way:
                    return None
                self._outlived, self._attempt, self._outlived_from = attempt, None, self._pace.attempted_at
                failures.append(self._failed(OUTLIVED, self._pace.attempted_at))
            attempt = None
            if self._next_attempt_in(now) == 0:
                self._pace.attempted_at = now
                try:
                    attempt = Attempt(partial(self._run, now), name=f"cognito-guard {self._pool_id}")
                except RuntimeError:
                    # The process has too many threads, or the interpreter is shutting down.
                    failures.append(self._failed(NO_THREAD, now))
                self._attempt = attempt
        # Report without the lock: on_event may ask for the keys.
        for failure in failures:
            self._report(failure)
        return attempt

    def _run(self, began: float) -> None:
        event: KeysFetched | KeysFailed | None = None
        try:
            keys = self._source.keys(self._policy.timeout)
        except FetchError as error:
            with self._lock:
                if began != self._outlived_from:
                    event = self._failed(error, began)
        else:
            with self._lock:
                if began >= self._held.loaded_at:
                    event = self._loaded(keys, began)
        self._report(event)

    def _loaded(self, fetched: dict[str, Key], began: float) -> KeysFetched:
        before, self._held = self._held, self._held.replaced_by(fetched, began, self._policy)
        self._last_error = None
        self._pace.succeeded()
        if self._held.withdraws_from(before):
            self._on_withdrawal()
        return self._held.event(before, self._pool_id)

    def _failed(self, error: FetchError, began: float) -> KeysFailed:
        now = self._timer()
        usable = now < self._held.gone_at
        self._last_error = f"{error}; {error.advice}" if error.advice else str(error)
        self._pace.failed(began, now, held=usable)
        return KeysFailed(
            self._pool_id, str(error), usable=usable, advice=error.advice, next_attempt=self._next_attempt_in(now)
        )

    def _report(self, event: KeysFetched | KeysFailed | None) -> None:
        if isinstance(event, KeysFailed):
            self._reporter.keys_failed(event, self._held.outlook(self._timer()))
        elif event is not None:
            self._reporter.keys_fetched(event)
