"""A key server that fails on demand, and the cause of each refusal of a good token."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import suppress
from http import HTTPStatus
from typing import Final, NamedTuple

from benchmarks.pool import local_pool

LAG: Final = 0.1
"""Longest time, in seconds, from a change of the keys to its line in the account, on a busy machine."""


class Attempt(NamedTuple):
    """
    How one attempt to fetch keys ended, as the guard itself reported it.

    All processes of a machine share the monotonic clock, so its times compare with the caller's.

    Attributes:
        at: When the guard reported it. The change took effect up to `LAG` earlier.
        next_at: When the next attempt may start. If this one failed while keys were held: when they run out.
        gone_at: When its keys run out if no newer ones come; 0 if it failed.
        kids: The keys it brought; none if it failed.
        error: Why it failed, or "".
        usable: Whether keys were held when it had ended.

    """

    at: float
    next_at: float
    gone_at: float
    kids: list[str]
    error: str
    usable: bool


class Refusal(NamedTuple):
    """A good token was refused, at some moment between `began` and `ended`."""

    phase: str
    kid: str
    status: int
    began: float
    ended: float


class KeyServer:
    """Publishes the pool's keys, or fails. It has its own thread, so that callers do not delay it."""

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
    """Return why a good token was refused, or None if the policy of the keys gives no reason."""
    if refusal.status == HTTPStatus.SERVICE_UNAVAILABLE:
        return _without_keys(refusal, account)
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        return _with_unknown_key(refusal, account)
    return None


def _without_keys(refusal: Refusal, account: list[Attempt]) -> str | None:
    held_until = refusal.began
    for attempt in account:
        if attempt.at <= held_until < attempt.gone_at:
            held_until = attempt.gone_at
    if held_until > refusal.ended:
        return None
    # A cooldown ends when the keys run out. It refuses only requests that began while they were held.
    ran_out = held_until > refusal.began
    failures = [attempt for attempt in _in_the_way(refusal, account) if attempt.error]
    for failure in reversed(failures):
        if ran_out or not failure.usable:
            return f"no keys held: {failure.error.partition(': ')[2]}"
    return None


def _with_unknown_key(refusal: Refusal, account: list[Attempt]) -> str | None:
    fetched = [attempt for attempt in account if attempt.kids]
    held = any(each.at - LAG <= refusal.ended and refusal.began < each.gone_at + LAG for each in fetched)
    # Without LAG: a guard that has reported its keys must use them.
    told = [each for each in fetched if each.at < refusal.began]
    if not held or (told and refusal.kid in told[-1].kids):
        return None
    for attempt in reversed(_in_the_way(refusal, account)):
        if refusal.kid not in attempt.kids:
            how = "failed" if attempt.error else "brought older keys"
            return f"unknown key, in the cooldown after an attempt that {how}"
    return None


def _in_the_way(refusal: Refusal, account: list[Attempt]) -> list[Attempt]:
    """Return the attempts that ended, or whose back-off was running, during the request."""
    return [each for each in account if each.at - LAG <= refusal.ended and refusal.began < each.next_at]
