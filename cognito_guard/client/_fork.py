"""Locks after a fork: a lock that another thread holds during the fork stays locked in the child for ever."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """An object that has locks or threads."""

    def after_fork(self) -> None:
        """Make new locks and forget threads. Called in the child."""
        ...


_known: Final[WeakSet[Forkable]] = WeakSet()


def renew_after_fork(thing: Forkable) -> None:
    """Call `after_fork` of *thing* in each forked child from now on, as long as *thing* exists."""
    _known.add(thing)


def tell_all() -> None:
    """Call `after_fork` of every registered object. Runs in the child."""
    for thing in tuple(_known):
        thing.after_fork()


with suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=tell_all)
