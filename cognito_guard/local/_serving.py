"""Serves an ASGI app on this machine with uvicorn. The extra `local` installs uvicorn."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

from starlette.types import ASGIApp

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._server import LocalCognito

if TYPE_CHECKING:
    import uvicorn

LOOPBACK: Final = "127.0.0.1"


@contextmanager
def serving(app: ASGIApp, *, host: str = LOOPBACK, port: int = 0) -> Iterator[str]:
    """
    Serve *app* on a thread during a block. Yields the URL.

    Args:
        app: A `LocalCognito`, or any other ASGI app.
        host: The address to listen on.
        port: The port to listen on; 0 for any free one.

    Raises:
        ConfigurationError: uvicorn is not installed, or the port is taken.

    """
    with listen(host, port) as listener, served(app, listener) as url:
        yield url


@contextmanager
def served(app: ASGIApp, listener: socket.socket) -> Iterator[str]:
    """
    Serve *app* at *listener* on a thread during a block. Yields the URL.

    Raises:
        ConfigurationError: uvicorn is not installed.

    """
    server, url = _server(app), url_of(listener)
    # What cannot be loaded raises here: on the thread it would leave a socket that takes connections and never answers.
    server.config.load()
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

    It queues connections, so its URL may be announced before a server runs.

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
    # A socket made from the number knows that it is TCP. Only then does asyncio set TCP_NODELAY; without that, each
    # answer takes 40 ms longer.
    return socket.socket(fileno=listener.detach())


def _why(error: OSError) -> str:
    # The message of create_server repeats the address. Errors of name resolution have other numbers.
    return str(error) if error.errno is None or isinstance(error, socket.gaierror) else os.strerror(error.errno)


def url_of(listener: socket.socket) -> str:
    """Return the URL of *listener*."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _server(app: ASGIApp) -> uvicorn.Server:
    try:
        import uvicorn  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(
            "uvicorn is not installed; install it with pip install 'cognito-guard[local]'"
        ) from error
    # A local Cognito has no websockets, and old versions of what serves them warn of each other.
    ws: Literal["auto", "none"] = "none" if isinstance(app, LocalCognito) else "auto"
    # Requests that a fault holds back delay the stop only briefly.
    return uvicorn.Server(uvicorn.Config(app, ws=ws, log_config=None, timeout_graceful_shutdown=1))
