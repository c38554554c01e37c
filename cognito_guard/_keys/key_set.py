"""
The keys of one user pool: when they are fetched, how long they are trusted, and who waits.

    held keys          fresh (younger than max_age)  due (older than max_age)   none (never had, or at stale_for)
    -----------------  ----------------------------  -------------------------  ---------------------------------
    a token's key
    - is among them    served                        served; a refresh starts   waits for one attempt, else 503
    - is not           waits for one attempt, else 401 unknown_key              waits for one attempt, else 503
    next attempt       a cooldown after the last one began                      a back-off after the last failure
    an attempt
    - succeeds         its keys are held in place of all others, and fresh
    - fails            nothing changes                                          the back-off doubles

There is one attempt at a time. It is one GET on a thread of its own (see `attempt`), of each of the pool's URLs in
turn until one gives keys.
"""

from __future__ import annotations

import math
import os
import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Final, NamedTuple, TypedDict

from cognito_guard._keys.attempt import Attempt
from cognito_guard._keys.fetch import Fetch, FetchError, fetch
from cognito_guard._keys.jwks import Key, NoUsableKeyError, parse_jwks, usable_keys
from cognito_guard._pool import UserPool
from cognito_guard._report import Reporter
from cognito_guard.errors import ConfigurationError, KeysUnavailableError, SignatureError
from cognito_guard.events import KeysFailed, KeysFetched

FIRST_BACKOFF: Final = 1.0
"""Longest wait after the first failed attempt while there are no keys, in seconds; it doubles with each further one."""

LAST_BACKOFF: Final = 30.0
"""Longest wait between attempts while there are no keys, in seconds."""

_GRACE: Final = 1.0
"""How much longer than `KeyPolicy.timeout` an attempt is waited for, in seconds: it is to be the first to give up, for
then it is known when the next one is due."""


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
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
                raise ConfigurationError(f"{name} must be a positive number of seconds, got {value!r}")
        if self.stale_for < self.max_age:
            raise ConfigurationError(
                f"stale_for ({self.stale_for:g} s) must not be below max_age ({self.max_age:g} s): "
                "keys would be dropped before they are due for a refresh"
            )


class KeyStatus(TypedDict):
    """
    How a pool's keys are, ready for JSON.

    `ready`: tokens can be verified. `keys`: how many are in use. `age`: seconds since they were fetched (a saved set:
    since the start), or None. `last_error`: why the latest attempt failed, or None if it did not.
    """

    ready: bool
    keys: int
    age: float | None
    last_error: str | None


class _Held(NamedTuple):
    """Keys and their times. Replaced as a whole, so that no other thread ever meets one half of it."""

    keys: dict[str, Key]
    loaded_at: float
    due_at: float
    gone_at: float


class KeySet:
    """
    The current keys of *pool*; safe to share between threads, event loops and the children of a fork.

    Args:
        pool: Where the keys are, and those to start from if it holds any.
        policy: See `KeyPolicy`.
        reporter: Told of each attempt.
        fetch: Gets the document behind a URL.
        timer: Monotonic clock, in seconds.
        jitter: Returns a number from 0 to 1 that spreads the attempts of many processes.
        on_withdrawal: Called when a key is no longer held, or another one under its name.

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
        on_withdrawal: Callable[[], None] = lambda: None,
    ) -> None:
        self._pool_id: Final = pool.pool_id
        self._urls: Final = deque(pool.jwks_urls)
        self._policy: Final = policy
        self._reporter: Final = reporter
        self._fetch: Final = fetch
        self._timer: Final = timer
        self._jitter: Final = jitter
        self._on_withdrawal: Final = on_withdrawal
        self._held = _Held({}, -math.inf, -math.inf, -math.inf)
        self._attempt: Attempt | None = None
        self._attempted_at = self._retry_at = -math.inf
        self._failures = 0
        self._last_error: str | None = None
        self._locks: Final[dict[int, threading.Lock]] = {}
        if pool.jwks is not None:
            try:
                keys = usable_keys(pool.jwks)
            except NoUsableKeyError as error:
                raise ConfigurationError(f"jwks: {error}") from error
            now = timer()
            # Due at once: how old a saved set is, nobody knows.
            self._held = _Held(keys, now, now, now + policy.stale_for)

    def get(self, kid: str) -> Key | None:
        """Return the key called *kid* if it is held. Never waits; starts a refresh if one is due."""
        held = self._held
        now = self._timer()
        if now >= held.due_at:
            self._refresh()
            if now >= held.gone_at:
                return None
        return held.keys.get(kid)

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
                await attempt.wait(self._policy.timeout + _GRACE)
            # Looked for again in any case: an attempt may have begun and ended since the first look.
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
        if self._timer() >= self._held.due_at and (attempt := self._refresh()) is not None:
            await attempt.wait(self._policy.timeout + _GRACE)
        self._require_keys()

    async def settle(self) -> None:
        """Wait until no attempt is under way; little longer than one may take."""
        attempt = self._attempt
        if attempt is not None:
            await attempt.end(self._policy.timeout + _GRACE)

    def status(self) -> KeyStatus:
        """Return how the keys are."""
        held = self._held
        now = self._timer()
        ready = now < held.gone_at
        return KeyStatus(
            ready=ready,
            keys=len(held.keys) if ready else 0,
            age=now - held.loaded_at if held.keys else None,
            last_error=self._last_error,
        )

    def _require_keys(self) -> None:
        now = self._timer()
        if now >= self._held.gone_at:
            raise KeysUnavailableError(math.ceil(max(1.0, self._retry_at - now)))

    def _refresh(self) -> Attempt | None:
        """Return the attempt under way, or a new one if it may be made now."""
        # One lock for each process: in a forked child nobody would release one that a thread of the parent held.
        with self._locks.setdefault(os.getpid(), threading.Lock()):
            if self._attempt is not None and self._attempt.under_way:
                return self._attempt
            now = self._timer()
            if now < (self._attempted_at + self._policy.cooldown if now < self._held.gone_at else self._retry_at):
                return None
            self._attempted_at = now
            try:
                self._attempt = Attempt(self._run, name=f"cognito-guard {self._pool_id}")
            except RuntimeError:
                # No more threads to be had, or the interpreter is shutting down.
                self._attempt = None
                failure = self._failed("no thread could be started")
            else:
                return self._attempt
        # After the lock, for on_event may ask for the keys in turn.
        self._reporter.keys_failed(failure, self._outlook())
        return None

    def _run(self) -> None:
        try:
            keys = self._fetch_from_any()
        except FetchError as error:
            self._reporter.keys_failed(self._failed(str(error)), self._outlook())
        else:
            self._reporter.keys_fetched(self._loaded(keys))

    def _fetch_from_any(self) -> dict[str, Key]:
        deadline = self._timer() + self._policy.timeout
        errors: list[str] = []
        while True:
            try:
                return parse_jwks(self._fetch(self._urls[0], deadline - self._timer()))
            except BaseException as error:  # a fetch of the user's own may raise anything
                errors.append(
                    str(error)
                    if isinstance(error, FetchError | NoUsableKeyError)
                    else f"the fetch raised {type(error).__name__}"
                )
                # The next attempt starts where this one did not get stuck.
                self._urls.rotate(-1)
                if len(errors) == len(self._urls) or self._timer() >= deadline:
                    raise FetchError(", then ".join(dict.fromkeys(errors))) from error

    def _loaded(self, fetched: dict[str, Key]) -> KeysFetched:
        held = self._held.keys
        now = self._timer()
        # A key whose material is the same stays the same object: verdicts reached with it remain good.
        keys = {kid: held[kid] if held.get(kid) == key else key for kid, key in fetched.items()}
        self._held = _Held(keys, now, now + self._policy.max_age, now + self._policy.stale_for)
        self._failures, self._last_error = 0, None
        if any(keys.get(kid) is not key for kid, key in held.items()):
            self._on_withdrawal()
        return KeysFetched(
            self._pool_id,
            kids=frozenset(keys),
            added=frozenset(kid for kid, key in keys.items() if held.get(kid) is not key),
            removed=frozenset(held.keys() - keys.keys()),
        )

    def _failed(self, error: str) -> KeysFailed:
        now = self._timer()
        usable = now < self._held.gone_at
        self._last_error = error
        if usable:
            # The cooldown sees to it; should the keys run out before it is over, nothing stands in the way.
            self._failures = 0
        else:
            longest = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._failures, 10))
            self._retry_at = now + longest * (1 + self._jitter()) / 2
            self._failures += 1
        return KeysFailed(self._pool_id, error, usable=usable)

    def _outlook(self) -> str:
        held = self._held
        now = self._timer()
        if now >= held.gone_at:
            return f"no keys to verify tokens with, next attempt in {max(0.0, self._retry_at - now):.1f} s"
        return (
            f"{len(held.keys)} keys, fetched {now - held.loaded_at:.0f} s ago, "
            f"stay in use for {held.gone_at - now:.0f} s at most"
        )
