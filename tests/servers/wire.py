"""One connection to a server, with full control over the bytes."""

from __future__ import annotations

import http.client
import socket
from typing import NamedTuple, Self

IN_TIME = 120.0
"""Seconds that a test waits for what must come, before it fails."""


class Answer(NamedTuple):
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def challenge(self) -> str | None:
        return self.headers.get("www-authenticate")


class Wire:
    """One connection to a server."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=IN_TIME)
        self._file = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.sock.close()

    def send(self, line: str | bytes, *headers: str | bytes, body: bytes = b"", host: str = "fast") -> None:
        """Send one request, valid or not."""
        lines = [line, f"Host: {host}", *headers, "", ""]
        self.sock.sendall(b"\r\n".join(each.encode() if isinstance(each, str) else each for each in lines) + body)

    def head(self) -> tuple[int, dict[str, str]]:
        """Return the next status and headers. Informational answers are skipped."""
        for _ in range(3):
            status = int(self._file.readline().split()[1])
            headers = {name.lower(): value for name, value in http.client.parse_headers(self._file).items()}
            if status >= 200:
                return status, headers
        raise AssertionError

    def chunk(self) -> bytes:
        """Return the next chunk of a body; nothing at its end."""
        chunk = self._file.read(int(self._file.readline(), 16))
        self._file.readline()
        return chunk

    def answer(self) -> Answer:
        """Return the next answer as a whole."""
        status, headers = self.head()
        return Answer(status, headers, self._file.read(int(headers.get("content-length", -1))))

    def rest(self) -> bytes:
        return self._file.read()
