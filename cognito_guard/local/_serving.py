"""Serving an ASGI app on this machine with uvicorn, which the extra `local` brings along."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._server import LocalCognito

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
        ConfigurationError: uvicorn is not installed, or the port is taken.

    """
    with listen(host, port) as listener, served(app, listener) as url:
        yield url


@contextmanager
def served(app: ASGIApp, listener: socket.socket) -> Iterator[str]:
    """
    Serve *app* at *listener* on a thread for a block, which is given the URL.

    Raises:
        ConfigurationError: uvicorn is not installed.

    """
    server, url = _server(app), url_of(listener)
    if isinstance(app, LocalCognito):
        app.served_at(url)
    thread = threading.Thread(target=server.run, args=([listener],), name=f"serving {url}")
    thread.start()
    try:
        yield url
    finally:
        server.should_exit = True
        thread.join()


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens.

    Connections are queued from now on, so its URL may be announced before anything is served.

    Raises:
        ConfigurationError: The port is taken or not allowed.

    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on port {port} of {host} ({_why(error)}); stop what listens there, or choose another port"
        ) from error
    # Made anew from its number, it knows that it is TCP, for asyncio to see: it would not switch off the delay of small
    # packets otherwise, which costs each answer 40 ms.
    return socket.socket(fileno=listener.detach())


def _why(error: OSError) -> str:
    # The words of create_server repeat the address. Names that cannot be resolved have numbers of their own.
    return str(error) if error.errno is None or isinstance(error, socket.gaierror) else os.strerror(error.errno)


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
