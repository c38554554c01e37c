"""Servers in one process: one on the main thread, where signals arrive, the others beside it."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import uvicorn
from starlette.types import ASGIApp

HOST: Final = "127.0.0.1"


class PortError(Exception):
    """A port can not be listened on; the message says what to do."""


def listen(port: int, option: str) -> socket.socket:
    """
    Return a socket that listens on *port*, on any free one if that is 0.

    Connections are queued from now on, so its URL may be told before the server runs.

    Raises:
        PortError: It is taken, or not allowed. The message names *option* as the way to choose another.

    """
    try:
        listener = socket.create_server((HOST, port))
    except OSError as error:
        raise PortError(
            f"port {port} is taken or reserved; stop what listens on it, or choose another port with {option}"
        ) from error
    # Made anew from its number, it knows that it is TCP; asyncio would not send small packets at once otherwise.
    return socket.socket(fileno=listener.detach())


def url_of(listener: socket.socket) -> str:
    """Return the URL of what is served at *listener*."""
    return f"http://{HOST}:{listener.getsockname()[1]}"


def serve(app: ASGIApp, listener: socket.socket, announcement: str) -> None:
    """Print *announcement*, and serve *app* until Ctrl-C or SIGTERM."""
    server = _server(app)

    # In place of KeyboardInterrupt, which may strike in the middle of an import. While it runs, uvicorn handles signals
    # itself, in the same way; when it is done it raises them once more, and they end up here.
    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    print(announcement, flush=True)
    server.run([listener])


@contextmanager
def serving(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve *app* on a thread, until the block is left."""
    server = _server(app)
    thread = threading.Thread(target=server.run, args=([listener],), name=f"serving {url_of(listener)}")
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _server(app: ASGIApp) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, log_config=None))
