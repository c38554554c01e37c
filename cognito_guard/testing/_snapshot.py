"""Restores an earlier state of a stand-in."""

from __future__ import annotations

from collections.abc import Callable

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys
from cognito_guard.testing._clock import ManualClock
from cognito_guard.testing._drills import KeyDrills


def snapshot(clock: ManualClock, cognito: LocalCognito, drills: KeyDrills) -> Callable[[], None]:
    """Return a function that restores the present state of clock, faults and keys."""
    moved, rotations, faults = clock.moved, drills.rotations, dict(vars(cognito.faults))
    pools = [_snapshot_of_keys(pool) for pool in cognito.pools]

    def restore() -> None:
        clock.moved, drills.rotations = moved, rotations
        vars(cognito.faults).update(faults)
        for restore_keys in pools:
            restore_keys()

    return restore


def _snapshot_of_keys(pool: LocalPool) -> Callable[[], None]:
    signing, published = pool.keys, pool.published

    def restore() -> None:
        for key in published:
            pool.rotate(PoolKeys(key, key))
        pool.rotate(signing)
        for key in pool.published:
            if key not in published:
                pool.withdraw(key.kid)

    return restore
