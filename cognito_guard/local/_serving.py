"""Serving an ASGI app on this machine with uvicorn, which the extra `local` brings along."""

from __future__ import annotations

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp

from cognito_guard.errors import ConfigurationError

if TYPE_CHECKING:
    import uvicorn

LOOPBACK: Final = "127.0.0.1"


@contextmanager
def serving(app: ASGIApp, *, host: str = LOOPBACK, port: int = 0) -> Iterator[str]:
    """
    Serve *app* on a thread for a block, which is given the URL.

    Args:
        app: A `LocalCognito`, or any other ASGI app.
        host: The address to listen on.
        port: The port to listen on; any free one if it is 0.

    Raises:
        ConfigurationError: uvicorn is not installed, or the port can not be listened on.

    """
    server = _server(app)
    with listen(host, port) as listener:
        thread = threading.Thread(target=server.run, args=([listener],), name=f"serving {url_of(listener)}")
        thread.start()
        try:
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join()


def serve(app: ASGIApp, listener: socket.socket, announcement: str) -> None:
    """
    Print *announcement*, and serve *app* until Ctrl-C or SIGTERM. To be called on the main thread.

    Raises:
        ConfigurationError: uvicorn is not installed.

    """
    server = _server(app)

    # In place of KeyboardInterrupt, which may strike anywhere. uvicorn handles signals in the same way while it runs,
    # and raises them once more when it is done; they end up here.
    def stop(_number: int, _frame: FrameType | None) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        sys.stdout.write(announcement)
        sys.stdout.flush()
        server.run([listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens. Connections are queued from now on, so its URL may be told before anything is served.

    Raises:
        ConfigurationError: It can not be done.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"{host} port {port} can not be listened on ({error.strerror or error}); is it taken? Choose another port"
        ) from error
    # Made anew from its number, it knows that it is TCP, for asyncio to see: it would not switch off the delay of small
    # packets otherwise, which costs each answer 40 ms.
    return socket.socket(fileno=listener.detach())


def url_of(listener: socket.socket) -> str:
    """Return the URL of what is served at *listener*."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(app: ASGIApp) -> uvicorn.Server:
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError("uvicorn is not installed; pip install 'cognito-guard[local]' brings it") from error
    # Requests that a fault holds back do not keep it from stopping for long.
    return uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
