"""The changes of a user pool's keys, so that they can be undone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cognito_guard.local._keys import PoolKeys, SigningKey
from cognito_guard.local._pool import LocalPool

_MOST_CHANGES: Final = 50

_Ring = tuple[PoolKeys, tuple[SigningKey, ...]]


@dataclass(frozen=True, slots=True)
class _Change:
    what: str
    before: _Ring
    after: _Ring


class KeyHistory:
    """The last 50 changes of the keys of *pool* that were made through this object."""

    def __init__(self, pool: LocalPool) -> None:
        self._pool: Final = pool
        self._changes: Final[deque[_Change]] = deque(maxlen=_MOST_CHANGES)

    @property
    def undoable(self) -> str | None:
        """The last change, as text; None if there is none, or if other code has changed the keys since."""
        return self._changes[-1].what if self._changes and self._changes[-1].after == self._ring() else None

    def make(self, what: str, change: Callable[[], object]) -> None:
        """
        Call *change*, which changes the keys, and remember it as *what*.

        Raises what *change* raises. Nothing is remembered then.
        """
        before = self._ring()
        change()
        self._changes.append(_Change(what, before, self._ring()))

    def undo(self) -> bool:
        """Undo the last change. Does nothing and returns False if `undoable` is None."""
        if self.undoable is None:
            return False
        self._pool.restore_keys(*self._changes.pop().before)
        return True

    def _ring(self) -> _Ring:
        return self._pool.keys, self._pool.published
