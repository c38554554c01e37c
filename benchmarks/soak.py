"""
Calls a guarded API for ten minutes while its pool rotates keys and fails: `python -m benchmarks.soak`.

Good tokens come over HTTP (seen before, and never seen) and over websockets; strangers send junk. For each refusal of a
good token, the cause is looked up in the guard's own reports of its fetches, and in the policy. The command fails if a
refusal has no cause, or if junk is accepted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from itertools import count, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from benchmarks.causes import Attempt, KeyServer, Refusal, cause
from benchmarks.environment import ROOT
from benchmarks.pool import local_pool, mint
from cognito_guard.local import PoolKeys

LENGTH: Final = 600.0
"""Seconds of a whole run. In a shorter run, all times below shrink by the same factor."""

ROTATION: Final = 20.0
"""Seconds between rotations. Each rotation withdraws the keys before the previous ones."""

MAX_AGE: Final = 15.0
STALE_FOR: Final = 45.0
COOLDOWN: Final = 5.0
"""The guard's policy, in seconds: shorter than the default, so that each outage lasts until the keys have run out."""

TIMEOUT: Final = 1.0
"""Longest time of an attempt to fetch keys, in seconds, however short the run."""

PHASES: Final = (
    # name, share of the time, the key server's answer, whether strangers call
    ("calm", 0.2, "up", False),
    ("junk", 0.2, "up", True),
    ("calm after junk", 0.1, "up", False),
    ("500s and junk", 0.15, "broken", True),
    ("calm after 500s", 0.1, "up", False),
    ("hangs", 0.15, "hangs", False),
    ("calm after hangs", 0.1, "up", False),
)


class Soak:
    """The callers, and the results of their calls."""

    def __init__(self, url: str, server: KeyServer, keys: Iterator[PoolKeys], seconds: float) -> None:
        self._url: Final = url
        self._server: Final = server
        self._keys: Final = keys
        self._seconds: Final = seconds
        self._http: Final = httpx.AsyncClient(base_url=url, timeout=30, trust_env=False)
        self._numbers: Final = count()
        self.phase = ""
        self.junk = False
        self.over = False
        self.results: Final[Counter[tuple[str, str]]] = Counter()
        self.refusals: Final[list[Refusal]] = []
        self.slowest: Final[dict[str, float]] = {}
        self.tokens: list[str] = []

    def rotate(self) -> None:
        """Sign with new keys from now on. Withdraw those before the previous ones."""
        pool = local_pool()
        old = pool.keys
        for key in pool.published:
            if key.kid not in {old.access.kid, old.identity.kid}:
                pool.withdraw(key.kid)
        pool.rotate(next(self._keys))
        self.tokens = [mint() for _ in range(20)]

    async def call(self, token: str) -> int:
        """Return the status of a request with *token*."""
        response = await self._http.get("/", headers={"Authorization": f"Bearer {token}"})
        return response.status_code

    async def open(self, token: str) -> int:
        """Return the status of a websocket's handshake with *token*."""
        url = f"{self._url.replace('http:', 'ws:')}/ws"
        try:
            async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, proxy=None) as websocket:
                await websocket.recv()
        except InvalidStatus as error:
            return error.response.status_code
        return HTTPStatus.OK

    async def good(self, next_token: Callable[[], str], send: Callable[[str], Awaitable[int]], pause: float) -> None:
        """Call with good tokens until the end."""
        while not self.over:
            phase, token, kid = self.phase, next_token(), local_pool().keys.access.kid
            began = time.monotonic()
            status = await send(token)
            ended = time.monotonic()
            self.slowest[phase] = max(self.slowest.get(phase, 0.0), ended - began)
            if status == HTTPStatus.OK:
                self.results[phase, "accepted"] += 1
            else:
                self.refusals.append(Refusal(phase, kid, int(status), began, ended))
            await asyncio.sleep(pause)

    async def strangers(self) -> None:
        """Send junk tokens, in the phases with strangers."""
        kinds: Iterator[Callable[[], str]] = cycle(
            (
                lambda: mint(headers={"kid": secrets.token_urlsafe(8)}),
                lambda: f"{self.tokens[0][:-8]}AAAAAAAA",
                lambda: self.tokens[0][:200],
                lambda: mint(lifetime=-10),
            )
        )
        while not self.over:
            if self.junk:
                status = await self.call(next(kinds)())
                self.results[self.phase, f"junk {int(status)}"] += 1
            await asyncio.sleep(0.02)

    async def run(self) -> None:
        """Call until the time is over."""
        seen = cycle(range(20))
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(self.good(lambda: self.tokens[next(seen)], self.call, 0.01))
                group.create_task(self.good(lambda: mint(jti=str(next(self._numbers))), self.call, 0.02))
            group.create_task(self.good(lambda: self.tokens[0], self.open, 0.05))
            group.create_task(self.strangers())
            rotating = group.create_task(self._rotate())
            for name, share, mode, junk in PHASES:
                self.phase, self._server.mode, self.junk = name, mode, junk
                await asyncio.sleep(self._seconds * share)
            self.over = True
            rotating.cancel()
        await self._http.aclose()

    async def _rotate(self) -> None:
        while True:
            await asyncio.sleep(ROTATION * self._seconds / LENGTH)
            self.rotate()


@contextmanager
def api(jwks_url: str, account: Path, shrunk: float) -> Iterator[str]:
    """Run the API in a separate process, with a policy *shrunk* by that factor, and yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [sys.executable, "-m", "benchmarks.soaked", f"--fd={listener.fileno()}", f"--jwks-url={jwks_url}"]
        command += [f"--account={account}", f"--timeout={TIMEOUT}", f"--max-age={MAX_AGE * shrunk}"]
        command += [f"--stale-for={STALE_FOR * shrunk}", f"--cooldown={COOLDOWN * shrunk}"]
        process = subprocess.Popen(command, cwd=ROOT, pass_fds=[listener.fileno()])
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait()


def soak(seconds: float) -> bool:
    """Run it, print the results, and return whether every refusal of a good token has a cause."""
    keys = [PoolKeys() for _ in range(int(LENGTH / ROTATION) + 2)]
    for pair in keys:
        # Here, because it would delay everything else.
        pair.access.prepare()
        pair.identity.prepare()
    server = KeyServer()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "account"
        with api(server.url, path, seconds / LENGTH) as url:
            calls = Soak(url, server, iter(keys), seconds)
            calls.rotate()
            asyncio.run(calls.run())
        account = [Attempt(*json.loads(line)) for line in path.read_text().splitlines()]
    unexplained = []
    for refusal in calls.refusals:
        found = cause(refusal, account)
        calls.results[refusal.phase, f"{refusal.status}: {found or 'UNEXPLAINED'}"] += 1
        if found is None:
            unexplained.append(refusal)
    for name, *_ in PHASES:
        print(f"{name}: slowest good call {calls.slowest.get(name, 0):.2f} s")
        for (phase, outcome), number in sorted(calls.results.items()):
            if phase == name:
                print(f"  {number:7} {outcome}")
    print(f"{len(account)} attempts to fetch keys, {len(unexplained)} refusals of good tokens without a cause")
    for refusal in unexplained[:20]:
        print(refusal)
        later = sum(attempt.at < refusal.ended for attempt in account)
        for attempt in account[max(0, later - 4) : later + 2]:
            print(f"  {attempt.at - refusal.began:+.3f} s {attempt}")
    accepted_junk = any(outcome == "junk 200" for _, outcome in calls.results)
    return not unexplained and not accepted_junk


def main(arguments: list[str]) -> int:
    """Return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").strip())
    parser.add_argument("--seconds", type=float, default=LENGTH, help="how long to call (default 600)")
    return 0 if soak(parser.parse_args(arguments).seconds) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
