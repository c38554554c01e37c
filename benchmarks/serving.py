"""What a request costs real servers under load: processor time, and requests per second."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks.apps import PATH
from benchmarks.environment import ROOT, clean_environ, environment
from benchmarks.pool import Material, material
from benchmarks.progress import Progress
from benchmarks.row import Effort, Row, Section

_HOST: Final = "127.0.0.1"
_CONNECTIONS: Final = 16

_GOALS: Final = {"starlette": 0.77, "fastapi": 0.88}
_NAMES: Final = {"starlette": "Starlette", "fastapi": "FastAPI"}


class Stack(NamedTuple):
    """What uvicorn runs on."""

    python: Path
    http: str
    loop: str
    name: str


class Load(NamedTuple):
    """The results of one run of wrk: requests per second, latencies in milliseconds, server seconds per request."""

    rate: float
    p50: float
    p99: float
    processor: float


class Server(NamedTuple):
    """A server that runs."""

    url: str
    pid: int


@dataclass(slots=True)
class Target:
    """A server that is put under load in turn with the others."""

    stack: Stack
    framework: str
    tokens: str
    server: Server
    loads: list[Load] = field(default_factory=list)


def measure(effort: Effort, progress: Progress) -> Section:
    """Return what a request costs each server, guarded and bare."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return _section((Row(what="uvicorn", value=None, note="not measured: wrk is not installed"),), effort.tokens)
    stacks = [Stack(Path(sys.executable), "h11", "asyncio", "h11")]
    own = environment(("httptools", "uvloop"), progress)
    if not own.missing:
        stacks.append(Stack(own.python, "httptools", "uvloop", "uvloop"))
    good = material(effort.tokens)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        (folder / "jwks.json").write_bytes(good.jwks)
        sent = folder / "tokens"
        sent.write_text("\n".join(good.tokens))
        targets = [
            Target(stack, framework, tokens, running.enter_context(_server(stack, framework, tokens, good, folder)))
            for stack in stacks
            for framework in _GOALS
            for tokens in ("bare", "seen", "unseen")
        ]
        for number in range(effort.loads * len(targets)):
            target = targets[number % len(targets)]
            progress.show(number, effort.loads * len(targets), f"{target.framework} {target.tokens}")
            target.loads.append(_load(wrk, target.server, sent, effort.seconds))
    rows = (row for number in range(0, len(targets), 3) for row in _rows(*targets[number : number + 3]))
    return _section(tuple(rows), len(good.tokens))


def _section(rows: tuple[Row, ...], tokens: int) -> Section:
    return Section(
        name="serving",
        title="uvicorn under load",
        about=(
            "*h11*: uvicorn as it installs, with h11 and asyncio. *uvloop*: with httptools and uvloop. "
            f"One worker, no access log, `wrk` with one thread and {_CONNECTIONS} connections on the same machine; all "
            f"servers take turns. The route has `@guard.require`; {tokens:,} distinct tokens in turn, all remembered "
            "(*seen before*) or all forgotten before they come again (*never seen*). The figure is the server's "
            "processor time per request. The ratio is the part of the unguarded server's capacity that remains. Rates "
            "and latencies at full load vary much more on a shared machine."
        ),
        rows=rows,
    )


@contextmanager
def _server(stack: Stack, framework: str, tokens: str, good: Material, folder: Path) -> Iterator[Server]:
    with socket.create_server((_HOST, 0)) as listener:
        fd = listener.fileno()
        cache = len(good.tokens) // 2 if tokens == "unseen" else 10_000
        command = [str(stack.python), "-m", "benchmarks.served", framework, f"--jwks={folder / 'jwks.json'}"]
        options = [f"--fd={fd}", f"--http={stack.http}", f"--loop={stack.loop}", f"--token-cache={cache}"]
        guarded = [] if tokens == "bare" else ["--guarded"]
        process = subprocess.Popen(
            [*command, *options, *guarded], cwd=ROOT, env=clean_environ(), pass_fds=[fd], stdin=subprocess.DEVNULL
        )
        try:
            port = listener.getsockname()[1]
            _check(port, good.tokens[0], guarded=tokens != "bare")
            yield Server(f"http://{_HOST}:{port}{PATH}", process.pid)
        finally:
            process.terminate()
            process.wait()


def _check(port: int, token: str, *, guarded: bool) -> None:
    # Connections are queued until the server runs.
    answers = {}
    for sender, headers in (("caller", {"Authorization": f"Bearer {token}"}), ("stranger", {})):
        connection = HTTPConnection(_HOST, port, timeout=30)
        with closing(connection):
            connection.request("GET", PATH, headers=headers)
            answers[sender] = connection.getresponse().status
    if answers != {"caller": HTTPStatus.OK, "stranger": HTTPStatus.UNAUTHORIZED if guarded else HTTPStatus.OK}:
        raise AssertionError(f"guarded: {guarded}, but it answers {answers}")


def _load(wrk: str, server: Server, tokens: Path, seconds: int) -> Load:
    script = Path(__file__).with_name("tokens.lua")
    options = ["--threads=1", f"--connections={_CONNECTIONS}", f"--duration={seconds}s", f"--script={script}"]
    worked = _processor_time(server.pid)
    done = subprocess.run([wrk, *options, server.url, "--", tokens], stdout=subprocess.PIPE, text=True, check=True)
    worked = _processor_time(server.pid) - worked
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    rate, requests, p50, p99, errors = (float(word) for word in line.split()[1:])
    if errors:
        raise AssertionError(f"{server.url}: {errors:.0f} requests went wrong")
    return Load(rate, p50, p99, worked / requests)


def _processor_time(pid: int) -> float:
    # Skip the name of the command, which may contain anything (proc(5)).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _rows(bare: Target, seen: Target, unseen: Target) -> Iterator[Row]:
    server = f"{_NAMES[bare.framework]}, {bare.stack.name}"
    for what, target, goal in (
        ("no guard", bare, None),
        ("token seen before", seen, _GOALS[bare.framework]),
        ("token never seen", unseen, None),
    ):
        rate = median(load.rate for load in target.loads)
        of_bare = median(ours.rate / theirs.rate for ours, theirs in zip(target.loads, bare.loads, strict=True))
        yield Row(
            what=f"{server}: {what}",
            value=median(load.processor for load in target.loads) * 1e6,
            ratio=median(
                theirs.processor / ours.processor for ours, theirs in zip(target.loads, bare.loads, strict=True)
            ),
            baseline="capacity without a guard",
            at_least=goal,
            note=(
                f"{rate:,.0f} requests/s ({of_bare:.2f} x), "
                f"p50 {median(load.p50 for load in target.loads):.1f} ms, "
                f"p99 {median(load.p99 for load in target.loads):.1f} ms"
            ),
        )
