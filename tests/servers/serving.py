"""Servers in separate processes."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.servers.wire import IN_TIME, Answer, Wire


class Serving:
    """A server in a process of its own."""

    def __init__(self, command: list[str], folder: Path, environ: dict[str, str]) -> None:
        # Servers that accept a socket get one that already listens. granian says when it is ready.
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self._silent = command[0] == "granian"
        if self._silent:
            listener.close()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=listener.fileno(), port=self.port) for part in command)],
            cwd=folder,
            env=environ,
            pass_fds=[] if self._silent else [listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        listener.close()
        self._lines: list[str] = []

    def ready(self) -> Serving:
        """Return it when it accepts requests."""
        assert self.process.stdout
        while self._silent and "Started worker" not in "".join(self._lines[-1:]):
            self._lines.append(self.process.stdout.readline())
            assert self._lines[-1], self._lines
        # granian says so a moment before it listens.
        while self._silent:
            assert self.process.poll() is None
            with socket.socket() as probe:
                self._silent = probe.connect_ex(("127.0.0.1", self.port)) != 0
        return self

    def ask(self, line: str | bytes, *headers: str | bytes, body: bytes = b"", host: str = "fast") -> Answer:
        """Make one request on a connection of its own."""
        with Wire(self.port) as wire:
            wire.send(line, *headers, body=body, host=host)
            return wire.answer()

    def get(self, path: str, *headers: str, host: str = "fast") -> Answer:
        return self.ask(f"GET {path} HTTP/1.1", *headers, host=host)

    @contextmanager
    def connect(self, path: str, *tokens: str, host: str = "fast") -> Iterator[ClientConnection]:
        """Open a websocket."""
        with connect(
            f"ws://{host}{path}",
            sock=socket.create_connection(("127.0.0.1", self.port), timeout=IN_TIME),
            additional_headers=[("Authorization", f"Bearer {token}") for token in tokens],
            open_timeout=IN_TIME,
            close_timeout=IN_TIME,
            proxy=None,
        ) as feed:
            yield feed
            # Let the server close first: if both close at once, hypercorn's trio worker ends with a BusyResourceError.
            feed.send("bye")
            assert list(feed) == []

    def deny(self, path: str, *tokens: str, host: str = "fast") -> Answer:
        """Return how a websocket is refused."""
        with pytest.raises(InvalidStatus) as caught, self.connect(path, *tokens, host=host):
            raise AssertionError
        response = caught.value.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return Answer(response.status_code, headers, bytes(response.body or b""))

    def end(self) -> str:
        """Return its output after it has ended."""
        output, _ = self.process.communicate(timeout=IN_TIME)
        # uvicorn raises the signal once more when it is done.
        assert self.process.returncode in {0, -signal.SIGTERM}
        return "".join(self._lines) + output


UVICORN = "uvicorn --http h11 --no-access-log --fd {fd} served:app --ws"
HYPERCORN = "hypercorn --bind fd://{fd} served:app"
GRANIAN = "granian --interface asgi --host 127.0.0.1 --port {port} served:app"
COMMANDS = {
    "uvicorn-websockets": f"{UVICORN} websockets",
    "uvicorn-sansio": f"{UVICORN} websockets-sansio",
    "uvicorn-wsproto": f"{UVICORN} wsproto",
    "hypercorn-asyncio": f"{HYPERCORN} --worker-class asyncio",
    "hypercorn-trio": f"{HYPERCORN} --worker-class trio",
    "granian": GRANIAN,
    "uvicorn-rooted": f"{UVICORN} websockets --root-path /api",
    "hypercorn-rooted": f"{HYPERCORN} --root-path /api",
    "granian-rooted": f"{GRANIAN} --url-path-prefix /api",
}


def missing(name: str) -> str | None:
    """Return what is not installed of what server *name* needs."""
    needed = [COMMANDS[name].split()[0], *(["wsproto"] if "wsproto" in name else [])]
    return next((package for package in needed if find_spec(package) is None), None)


def servers(*names: str) -> list[ParameterSet]:
    return [
        pytest.param(name, marks=pytest.mark.skipif(missing(name) is not None, reason=f"{missing(name)} is not there"))
        for name in names
    ]
