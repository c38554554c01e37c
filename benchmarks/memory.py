"""How much memory tokens leave behind."""

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
from benchmarks.pool import make_guard, material, mint
from benchmarks.progress import Progress
from benchmarks.row import Effort, Row, Section
from cognito_guard import CognitoGuard
from cognito_guard.errors import BearerError

_JUNK_PER_VALID: Final = 4
_STEP: Final = 1000
_GOAL: Final = 40.0


def measure(effort: Effort, progress: Progress) -> Section:
    """Return by how much a fresh process has grown after many tokens, good ones and junk."""
    valid, junk = effort.valid, effort.valid * _JUNK_PER_VALID
    child = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.memory", str(valid)],
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
            progress.show(done, valid + junk)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, child.args)
    return Section(
        name="memory",
        title="Memory",
        about=(
            f"Growth of the resident memory of a fresh process, `token_cache` as it is by default: {valid:,} different "
            f"good tokens, and {junk:,} different ones with a wrong signature, an unknown key, another issuer, or of "
            "random bytes."
        ),
        rows=(Row(what=f"{valid:,} good tokens, {junk:,} junk", value=grown, unit="MB", at_most=_GOAL),),
    )


def main(valid: int) -> None:
    """Send tokens through a guard, and print now and then how many they were and by how many MB memory has grown."""
    guard = make_guard(material(1).jwks)
    asyncio.run(_verify_all(guard, valid))


async def _verify_all(guard: CognitoGuard, valid: int) -> None:
    stranger = random.Random(0)  # noqa: S311 - the same junk each time
    # Once through everything, so that what is made at first use is not counted.
    await _send(guard, mint(), stranger)
    before = _resident()
    for number in range(1, valid + 1):
        await _send(guard, mint(), stranger)
        if number % _STEP == 0 or number == valid:
            print(number * (1 + _JUNK_PER_VALID), (_resident() - before) / 1e6, flush=True)


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
    main(int(sys.argv[1]))
