"""Events in the life of a user pool's keys, to go through in a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Final

from cognito_guard import CognitoGuard
from cognito_guard._keys.policy import LAST_BACKOFF
from cognito_guard.errors import KeysUnavailableError
from cognito_guard.local import Fault, LocalCognito, PoolKeys
from cognito_guard.testing._clock import ManualClock
from cognito_guard.testing._takeover import policy_of, settle


class KeyDrills:
    """
    Rotation, withdrawal and outage of the first pool's keys. Each moves the clock to the moment when a guard notices.

    Tokens that were issued before get older by that: give them a long enough `lifetime`.

    Attributes:
        rotations: The number of rotations so far.

    """

    def __init__(
        self, guard: CognitoGuard, cognito: LocalCognito, clock: ManualClock, keys: MutableMapping[object, PoolKeys]
    ) -> None:
        self._guard: Final = guard
        self._cognito: Final = cognito
        self._clock: Final = clock
        self._keys: Final = keys
        self.rotations: int = 0

    def rotate(self) -> None:
        """
        Sign with new keys from now on. The old ones stay published.

        Moves the clock by `KeyPolicy.cooldown`. After that, a guard looks for an unknown key.
        """
        self.rotations += 1
        self._cognito.pool.rotate(self._keys["rotation", self.rotations])
        self._clock.advance(policy_of(self._guard).cooldown)

    def withdraw(self) -> None:
        """
        Rotate, and stop publishing older keys: a guard that has fetched the new keys refuses all earlier tokens.

        Moves the clock by `KeyPolicy.max_age`. After that, the guard has fetched the keys again.
        """
        pool = self._cognito.pool
        old = pool.published
        self.rotate()
        for key in old:
            pool.withdraw(key.kid)
        self._clock.advance(policy_of(self._guard).max_age)
        self._refresh()

    @contextmanager
    def outage(self, lasting: float = 0.0) -> Iterator[None]:
        """
        Let the key set answer 503 during a block.

        A guard without keys then answers 503. A guard with keys continues with them for `KeyPolicy.stale_for`. At the
        end of the block, the clock is moved by the longest time that the guard waits before it tries again.

        Args:
            lasting: Seconds by which the clock is moved at the start of the block.

        """
        faults = self._cognito.faults
        before, faults.jwks = faults.jwks, Fault(status=503)
        self._clock.advance(lasting)
        try:
            yield
        finally:
            faults.jwks = before
            self._clock.advance(max(LAST_BACKOFF, policy_of(self._guard).cooldown))

    def _refresh(self) -> None:
        # Old keys stay in use during their refresh, so the next request might still see them. Wait on another thread,
        # because an event loop may be running on this one.
        async def refresh() -> None:
            with suppress(KeysUnavailableError):
                await self._guard.prefetch()
            # The refresh of keys that are due may run in the background.
            await settle(self._guard)

        thread = threading.Thread(target=lambda: asyncio.run(refresh()))
        thread.start()
        thread.join()
