"""Locks after a fork: one that another thread holds at that moment stays locked in the child for ever."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, Protocol
from weakref import WeakSet


class Forkable(Protocol):
    """What has locks or threads of its own."""

    def after_fork(self) -> None:
        """Make new locks and forget threads. Called in the child."""
        ...


_known: Final[WeakSet[Forkable]] = WeakSet()


def renew_after_fork(thing: Forkable) -> None:
    """Have *thing* told of each fork from now on, for as long as it exists."""
    _known.add(thing)


def tell_all() -> None:
    """Tell everything that is known that this process is the child."""
    for thing in tuple(_known):
        thing.after_fork()


with suppress(AttributeError):  # Windows has no fork
    os.register_at_fork(after_in_child=tell_all)
