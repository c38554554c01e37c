"""The signals that end a command: Ctrl-C, SIGTERM, and a closed terminal."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WOKEN: Final = 0  # no signal has this number


class Signals:
    """
    The ending signals that arrive during a block, in their order.

    Python runs signal handlers only on the main thread, but the kernel may deliver the signal to another thread. A main
    thread that waits for a lock or a process might never notice. A socket wakes it up (`set_wakeup_fd`).
    """

    def __init__(self, reader: socket.socket, writer: socket.socket) -> None:
        self._reader: Final = reader
        self._writer: Final = writer

    def __iter__(self) -> Iterator[int]:
        """Wait for each signal, until `wake` is called."""
        while (number := self._reader.recv(1)[0]) != _WOKEN:
            if number in _ENDING:
                yield number

    def wake(self) -> None:
        """End the iteration. May be called on any thread."""
        self._writer.send(bytes([_WOKEN]))

    def wait(self) -> None:
        """Wait for the first signal."""
        next(iter(self))


@contextmanager
def ending_signals() -> Iterator[Signals]:
    """Catch the ending signals during a block. Yields them. Call it on the main thread."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)  # noqa: FBT003 - its only parameter
        before = {number: signal.signal(number, _do_nothing) for number in _ENDING}
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield Signals(reader, writer)
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)


def _do_nothing(*_: object) -> None:
    """Replace the default handler, which ends the process or raises KeyboardInterrupt anywhere."""
