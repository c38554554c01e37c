"""A line that says how far things are."""

from __future__ import annotations

import sys
from typing import Final, TextIO

_WIDTH: Final = 30


class Progress:
    """A bar on *stream* for the section *name*; on anything but a terminal, one line for each section."""

    def __init__(self, name: str, stream: TextIO = sys.stderr) -> None:
        self._name: Final = name
        self._stream: Final = stream
        self._moving: Final = stream.isatty()
        if not self._moving:
            print(f"{name} ...", file=stream)

    def show(self, done: int, total: int, what: str = "") -> None:
        """Say that *done* of *total* steps are over, and *what* is next."""
        if self._moving:
            filled = _WIDTH * done // total
            bar = "#" * filled + "." * (_WIDTH - filled)
            self._stream.write(f"\r\033[K{self._name:10} [{bar}] {done}/{total} {what}")
            self._stream.flush()

    def end(self) -> None:
        """Leave the line."""
        if self._moving:
            self._stream.write("\n")
