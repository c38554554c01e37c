"""
The keys of one user pool: when they are fetched, how long they are trusted, and who waits.

    held keys  fresh (younger than max_age)   due (older than max_age)   none (never loaded, or older than stale_for)
    ---------  -----------------------------  -------------------------  --------------------------------------------
    known kid  served                         served; a refresh starts   waits for one attempt, else 503
    other kid  waits for one refresh, if the cooldown allows, else 401   waits for one attempt, else 503

A refresh is one GET on a short-lived thread. A task would belong to one event loop and die with the request or the
loop that started it; a thread serves asyncio and trio, several loops at once, an app without a lifespan and a process
that was forked, it can not be cancelled by a client that goes away, and it leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import Final, TypedDict

import anyio

from cognito_guard._fetch import Fetch, FetchError, fetch
from cognito_guard._jwks import Key, NoUsableKeyError, parse_jwks, usable_keys
from cognito_guard._pool import UserPool
from cognito_guard._reporter import Reporter
from cognito_guard.errors import ConfigurationError, KeysUnavailableError, SignatureError
from cognito_guard.events import KeysFailed, KeysFetched

FIRST_BACKOFF: Final = 1.0
"""Longest wait after the first failed attempt while there are no keys, in seconds; it doubles with each further one."""

LAST_BACKOFF: Final = 30.0
"""Longest wait between attempts while there are no keys, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPolicy:
    """
    How long keys are trusted, and how often they are asked for. All in seconds, any positive number.

    Attributes:
        max_age: Age from which on keys are refreshed. They stay in use meanwhile.
        stale_for: Age up to which keys stay in use while no refresh succeeds; at least `max_age`.
        cooldown: Shortest time between two attempts, failed or not, while keys are held. Bounds what made-up key ids
            can cost, and so also how long a rotated key may remain unknown.
        timeout: Longest time one attempt may take, from look-up of the host to last byte.

    Raises:
        ConfigurationError: A value is zero, negative, not finite or not a number, or the keys would go before they age.

    """

    max_age: float = 60 * 60.0
    stale_for: float = 24 * 60 * 60.0
    cooldown: float = 10.0
    timeout: float = 3.0

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ConfigurationError(f"{name} must be a positive number of seconds, got {value!r}")
        if self.stale_for < self.max_age:
            raise ConfigurationError(
                f"stale_for ({self.stale_for:g} s) must not be below max_age ({self.max_age:g} s): "
                "keys would be dropped before they are due for a refresh"
            )


class KeyStatus(TypedDict):
    """
    How a pool's keys are, ready for JSON.

    `ready`: tokens can be verified. `keys`: how many are in use. `age`: seconds since they were fetched, or None.
    `last_error`: why the latest attempt failed, or None if it did not.
    """

    ready: bool
    keys: int
    age: float | None
    last_error: str | None


class _Attempt:
    """A fetch on a thread of its own, which callers on any event loop may wait for. No waiter can end it."""

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work: Final = work
        self._done: Final = Future[None]()
        # A daemon, so that a look-up that hangs does not keep the process from ending.
        self._thread: Final = threading.Thread(target=self._run, name=name, daemon=True)
        self.start: Final = self._thread.start

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._done.set_result(None)

    async def wait(self, timeout: float) -> None:  # noqa: ASYNC109 - the caller's budget, not this coroutine's
        done = anyio.Event()
        try:
            call_soon: Callable[..., object] = asyncio.get_running_loop().call_soon_threadsafe
        except RuntimeError:
            call_soon = sys.modules["trio"].lowlevel.current_trio_token().run_sync_soon

        def wake(_: Future[None]) -> None:
            # The loop that waited may be gone by now, and with it whoever did.
            with suppress(RuntimeError):
                call_soon(done.set)

        self._done.add_done_callback(wake)
        with anyio.move_on_after(timeout):
            await done.wait()

    async def end(self, timeout: float) -> None:  # noqa: ASYNC109 - likewise
        await self.wait(timeout)
        if self._done.done():
            self._thread.join()


class KeySet:
    """
    The current keys of *pool*; safe to share between threads and event loops.

    Args:
        pool: Where the keys are, and those to start from if it holds any.
        policy: See `KeyPolicy`.
        reporter: Told of each attempt.
        fetch: Gets the document behind a URL.
        timer: Monotonic clock, in seconds.
        jitter: Returns a number from 0 to 1 that spreads the attempts of many processes.

    Raises:
        ConfigurationError: The pool's saved key set holds no usable key.

    """

    def __init__(
        self,
        pool: UserPool,
        policy: KeyPolicy,
        reporter: Reporter,
        *,
        fetch: Fetch = fetch,
        timer: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._pool_id: Final = pool.pool_id
        self._urls: Final = deque(pool.jwks_urls)
        self._policy: Final = policy
        self._reporter: Final = reporter
        self._fetch: Final = fetch
        self._timer: Final = timer
        self._jitter: Final = jitter
        self._keys: dict[str, Key] = {}
        self._loaded_at = self._due_at = self._gone_at = self._next_attempt_at = -math.inf
        self._failures = 0
        self._last_error: str | None = None
        self._attempt: _Attempt | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        if pool.jwks is not None:
            try:
                self._keys = usable_keys(pool.jwks)
            except NoUsableKeyError as error:
                raise ConfigurationError(f"jwks: {error}") from error
            # Due at once: how old a saved set is, nobody knows.
            self._loaded_at = self._due_at = timer()
            self._gone_at = self._loaded_at + policy.stale_for

    def get(self, kid: str) -> Key | None:
        """Return the key called *kid* if it is held. Never waits; starts a refresh if one is due."""
        now = self._timer()
        if now >= self._due_at:
            self._refresh()
            if now >= self._gone_at:
                return None
        return self._keys.get(kid)

    async def find(self, kid: str) -> Key:
        """
        Return the key called *kid*, after a refresh if need be and if one may be made.

        Raises:
            SignatureError: The pool does not publish such a key, as far as is known.
            KeysUnavailableError: No keys are held, and none could be had.

        """
        key = self.get(kid)
        if key is None:
            attempt = self._refresh()
            if attempt is not None:
                await attempt.wait(self._policy.timeout)
            # Looked up again even without a wait: an attempt may have ended just now.
            key = self.get(kid)
        if key is None:
            self._require_keys()
            raise SignatureError("unknown_key")
        return key

    async def load(self) -> None:
        """
        Fetch the keys unless fresh ones are held.

        Raises:
            KeysUnavailableError: No keys are held, and none could be had.

        """
        if self._timer() >= self._due_at and (attempt := self._refresh()) is not None:
            await attempt.wait(self._policy.timeout)
        self._require_keys()

    async def settle(self) -> None:
        """Wait until no attempt is under way; at most as long as one may take."""
        attempt = self._attempt
        if attempt is not None:
            await attempt.end(self._policy.timeout)

    def status(self) -> KeyStatus:
        """Return how the keys are."""
        now = self._timer()
        ready = now < self._gone_at
        return KeyStatus(
            ready=ready,
            keys=len(self._keys) if ready else 0,
            age=now - self._loaded_at if self._keys else None,
            last_error=self._last_error,
        )

    def _require_keys(self) -> None:
        now = self._timer()
        if now >= self._gone_at:
            raise KeysUnavailableError(max(1, math.ceil(min(self._next_attempt_at - now, LAST_BACKOFF))))

    def _refresh(self) -> _Attempt | None:
        """Return the attempt under way, or a new one if it may be made now."""
        if self._pid != os.getpid():
            # In a forked child neither the thread exists nor anyone who would release the lock.
            self._pid, self._lock, self._attempt = os.getpid(), threading.Lock(), None
        with self._lock:
            now = self._timer()
            if self._attempt is None and now >= self._next_attempt_at:
                self._next_attempt_at = now + self._policy.cooldown
                attempt = _Attempt(self._run, f"cognito-guard {self._pool_id}")
                try:
                    attempt.start()
                except RuntimeError:
                    # No threads to be had, or the interpreter is shutting down.
                    self._last_error = "no thread could be started"
                else:
                    self._attempt = attempt
            return self._attempt

    def _run(self) -> None:
        try:
            keys = self._fetch_from_any()
        except Exception as error:  # noqa: BLE001 - whatever a fetch of the user's own may raise
            known = isinstance(error, FetchError | NoUsableKeyError)
            self._reporter.keys_failed(self._failed(str(error) if known else type(error).__name__), self._outlook())
        else:
            self._reporter.keys_fetched(self._loaded(keys))
        finally:
            self._attempt = None

    def _fetch_from_any(self) -> dict[str, Key]:
        deadline = self._timer() + self._policy.timeout
        for remaining_urls in range(len(self._urls), 0, -1):
            try:
                return parse_jwks(self._fetch(self._urls[0], deadline - self._timer()))
            except Exception:
                # The next attempt starts where this one did not get stuck.
                self._urls.rotate(-1)
                if remaining_urls == 1 or self._timer() >= deadline:
                    raise
        raise AssertionError  # pragma: no cover - a pool has at least one URL

    def _loaded(self, keys: dict[str, Key]) -> KeysFetched:
        with self._lock:
            held = self._keys
            # A key whose material is the same stays the same object: verdicts reached with it remain good.
            self._keys = {kid: held[kid] if held.get(kid) == key else key for kid, key in keys.items()}
            self._loaded_at = self._timer()
            self._due_at = self._loaded_at + self._policy.max_age
            self._gone_at = self._loaded_at + self._policy.stale_for
            self._failures, self._last_error = 0, None
            return KeysFetched(
                self._pool_id,
                kids=frozenset(keys),
                added=frozenset(kid for kid, key in keys.items() if held.get(kid) != key),
                removed=frozenset(held.keys() - keys.keys()),
            )

    def _failed(self, error: str) -> KeysFailed:
        with self._lock:
            now = self._timer()
            self._failures += 1
            self._last_error = error
            usable = now < self._gone_at
            if not usable:
                longest = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures - 1, 10))
                self._next_attempt_at = now + longest * (1 + self._jitter()) / 2
            return KeysFailed(self._pool_id, error, usable=usable)

    def _outlook(self) -> str:
        now = self._timer()
        if now >= self._gone_at:
            return f"no keys to verify tokens with, next attempt in {self._next_attempt_at - now:.1f} s"
        return (
            f"{len(self._keys)} keys, fetched {now - self._loaded_at:.0f} s ago, "
            f"stay in use for {self._gone_at - now:.0f} s at most"
        )
