"""A key server that fails as told, and why a good token was refused meanwhile."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from typing import Final, NamedTuple

from benchmarks.pool import local_pool
from cognito_guard import KeyPolicy

POLICY: Final = KeyPolicy(max_age=15.0, stale_for=45.0, cooldown=5.0, timeout=1.0)
"""Shorter than the default, so that ten minutes see everything."""

SLACK: Final = 0.5
"""Seconds by which the clocks of caller, API and key server may be apart, each on a busy machine."""


class Attempt(NamedTuple):
    """How one attempt to fetch keys ended, by the guard's own account: with keys, or with an error."""

    at: float
    kids: list[str]
    error: str


class Refusal(NamedTuple):
    """A good token was refused."""

    phase: str
    kid: str
    status: int
    began: float
    ended: float


class KeyServer:
    """Publishes the pool's keys, or fails to; on a thread of its own, so that callers do not hold it up."""

    def __init__(self) -> None:
        self.mode = "up"
        self._listener: Final = socket.create_server(("127.0.0.1", 0))
        self.url: Final = f"http://127.0.0.1:{self._listener.getsockname()[1]}/jwks.json"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65_536)
            if self.mode == "hangs":
                connection.recv(1)
                return
            body = json.dumps(local_pool().jwks()).encode()
            status = "200 OK" if self.mode == "up" else "500 Internal Server Error"
            connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def cause(refusal: Refusal, account: list[Attempt]) -> str | None:
    """Return why a good token was refused, or None."""
    before = [attempt for attempt in account if attempt.at <= refusal.ended + SLACK]
    fetched = [attempt for attempt in before if attempt.kids]
    held = bool(fetched) and refusal.ended - fetched[-1].at < POLICY.stale_for + SLACK
    # Without SLACK: a guard that has told of its keys must use them.
    known = any(refusal.kid in attempt.kids for attempt in fetched[-1:] if attempt.at < refusal.began)
    if not before or known:
        return None
    last = before[-1]
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return f"no keys held: {last.error.partition(': ')[2]}" if not held and last.error else None
    # The cooldown began with the attempt, at the latest when it ended.
    if refusal.status != HTTPStatus.UNAUTHORIZED or refusal.began - last.at >= POLICY.cooldown + SLACK:
        return None
    return f"unknown key, in the cooldown after an attempt that {'failed' if last.error else 'brought older keys'}"
