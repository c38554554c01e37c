"""How much memory tokens use."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.environment import ROOT, clean_environ
from benchmarks.pool import make_guard, material, mint, mint_user
from benchmarks.progress import Progress
from benchmarks.row import Effort, Row, Section
from cognito_guard import CognitoGuard
from cognito_guard.errors import BearerError

_JUNK_PER_VALID: Final = 4
_STEP: Final = 1000
_WARM_UP: Final = 50
_GOAL: Final = 40.0
_REMEMBERED: Final = 10_000
_GOAL_EACH: Final = 1.2


def measure(effort: Effort, progress: Progress) -> Section:
    """Return by how much a fresh process has grown after many tokens, good ones and junk, and for each remembered."""
    valid, junk = effort.valid, effort.valid * _JUNK_PER_VALID
    remembered = min(valid, _REMEMBERED)
    grown = _grown("junk", valid, progress, valid + junk)
    each = {whose: _grown(whose, remembered, progress, remembered) * 1e3 / remembered for whose in ("machine", "user")}
    return Section(
        name="memory",
        title="Memory",
        about=(
            "Growth of the resident memory of a fresh process with the default `token_cache`, after "
            f"{valid:,} different good tokens and {junk:,} different bad ones: with a wrong signature, an unknown key, "
            "another issuer, or made of random bytes. The figure for each remembered token is the growth after "
            f"{remembered:,} good tokens, all of them remembered, divided by their number."
        ),
        rows=(
            Row(what=f"{valid:,} good tokens, {junk:,} junk", value=grown, unit="MB", at_most=_GOAL),
            Row(what="each remembered token of a machine", value=each["machine"], unit="KB", at_most=_GOAL_EACH),
            Row(what="each remembered token of a user", value=each["user"], unit="KB"),
        ),
    )


def _grown(whose: str, valid: int, progress: Progress, total: int) -> float:
    """Return by how many MB a fresh process has grown after *valid* good tokens, and what else *whose* stands for."""
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.memory", whose, str(valid)],
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        text=True,
    )
    grown = 0.0
    with child:
        assert child.stdout is not None
        for line in child.stdout:
            done, grown = int(line.split()[0]), float(line.split()[1])
            progress.show(done, total)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return grown


def main(whose: str, valid: int) -> None:
    """Send tokens through a guard, and print now and then how many they were and by how many MB memory has grown."""
    jwks = material(1).jwks
    guard = make_guard(jwks) if whose == "junk" else make_guard(jwks, token_cache=valid)
    asyncio.run(_verify_all(guard, whose, valid))


async def _verify_all(guard: CognitoGuard, whose: str, valid: int) -> None:
    stranger = random.Random(0)  # noqa: S311 - the same junk each time
    # Run everything once, so that objects made at first use are not counted.
    for _ in range(_WARM_UP):
        await _send(guard, _good(whose, 0), stranger)
    before = _resident()
    for number in range(1, valid + 1):
        token = _good(whose, number)
        if whose == "junk":
            await _send(guard, token, stranger)
        else:
            await guard.verify(token)
        if number % _STEP == 0 or number == valid:
            done = number * (1 + _JUNK_PER_VALID) if whose == "junk" else number
            print(done, (_resident() - before) / 1e6, flush=True)


def _good(whose: str, number: int) -> str:
    return mint_user(number) if whose == "user" else mint()


async def _send(guard: CognitoGuard, token: str, stranger: random.Random) -> None:
    await guard.verify(token)
    for junk in _junk(token, stranger):
        try:
            await guard.verify(junk)
        except BearerError:
            continue
        raise AssertionError("junk was accepted")


def _junk(token: str, stranger: random.Random) -> Sequence[str]:
    header, payload, _ = token.split(".")
    signature = _encoded(stranger.randbytes(256))
    name = stranger.randbytes(8).hex()
    unknown_key = _encoded(json.dumps({"alg": "RS256", "kid": name}).encode())
    other_issuer = _encoded(json.dumps({"iss": f"https://{name}.example"}).encode())
    return (
        f"{header}.{payload}.{signature}",
        f"{unknown_key}.{payload}.{signature}",
        f"{header}.{other_issuer}.{signature}",
        _encoded(stranger.randbytes(700)),
    )


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
