"""What may happen to the keys of a user pool, to be gone through in a test."""

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
    Rotation, withdrawal and outage of the first pool's keys, with the clock moved to when it shows.

    Tokens issued before are as old as the clock was moved afterwards: give them a `lifetime` to outlive that.

    Attributes:
        rotations: How many rotations there were.

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
        Sign with new keys from now on, beside which the old ones stay published.

        Moves the clock by `KeyPolicy.cooldown`, after which a guard looks for a key that it does not know.
        """
        self.rotations += 1
        self._cognito.pool.rotate(self._keys["rotation", self.rotations])
        self._clock.advance(policy_of(self._guard).cooldown)

    def withdraw(self) -> None:
        """
        Rotate, and publish no older key: every token issued so far is worthless to a guard that knows.

        Moves the clock by `KeyPolicy.max_age`, after which the guard has fetched the keys anew.
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
        Have the key set answer 503 for a block.

        A guard without keys answers 503 then. One that has some goes on with them, for `KeyPolicy.stale_for`. At the
        end of the block the clock is moved by as much as the guard may wait before it tries again.

        Args:
            lasting: Seconds by which to move the clock at the start of the block.

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
        # Keys that are merely old are served while they are refreshed: the next request might still see them. On a
        # thread, since an event loop may be running on this one.
        async def refresh() -> None:
            with suppress(KeysUnavailableError):
                await self._guard.prefetch()
            # Keys that are due may be left to the background.
            await settle(self._guard)

        thread = threading.Thread(target=lambda: asyncio.run(refresh()))
        thread.start()
        thread.join()
