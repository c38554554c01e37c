"""Requests per second of real servers under load."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
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
_BUSY: Final = 0.85
_CALLERS: Final = 100
"""How many callers come again and again, where tokens have been seen before."""

_GOALS: Final = {"starlette": 0.80, "fastapi": 0.90}
_NAMES: Final = {"starlette": "Starlette", "fastapi": "FastAPI"}


class Stack(NamedTuple):
    """What uvicorn runs on."""

    python: Path
    http: str
    loop: str
    name: str


class Load(NamedTuple):
    """What one run of wrk saw: requests per second, latencies in milliseconds, and how busy the server was, up to 1."""

    rate: float
    p50: float
    p99: float
    busy: float


class Server(NamedTuple):
    """A server that runs."""

    url: str
    pid: int


@dataclass(slots=True)
class Target:
    """A server under load, by turns with the others."""

    stack: Stack
    framework: str
    tokens: str
    server: Server
    loads: list[Load] = field(default_factory=list)


def measure(effort: Effort, progress: Progress) -> Section:
    """Return how many requests per second each server answers, guarded and bare."""
    wrk = shutil.which("wrk")
    if wrk is None:
        return _section((Row(what="uvicorn", value=None, note="not measured: wrk is not installed"),))
    stacks = [Stack(Path(sys.executable), "h11", "asyncio", "h11")]
    own = environment(("httptools", "uvloop"), progress)
    if not own.missing:
        stacks.append(Stack(own.python, "httptools", "uvloop", "uvloop"))
    good = material(effort.tokens)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        (folder / "jwks.json").write_bytes(good.jwks)
        (folder / "unseen").write_text("\n".join(good.tokens))
        (folder / "seen").write_text("\n".join(good.tokens[:_CALLERS]))
        targets = [
            Target(stack, framework, tokens, running.enter_context(_server(stack, framework, tokens, good, folder)))
            for stack in stacks
            for framework in _GOALS
            for tokens in ("bare", "seen", "unseen")
        ]
        for number in range(effort.loads * len(targets)):
            target = targets[number % len(targets)]
            progress.show(number, effort.loads * len(targets), f"{target.framework} {target.tokens}")
            tokens = folder / ("seen" if target.tokens == "bare" else target.tokens)
            target.loads.append(_load(wrk, target.server, tokens, effort.seconds))
    return _section(tuple(row for number in range(0, len(targets), 3) for row in _rows(*targets[number : number + 3])))


def _section(rows: tuple[Row, ...]) -> Section:
    return Section(
        name="serving",
        title="uvicorn under load",
        about=(
            "*h11*: uvicorn as it installs, with h11 and asyncio. *uvloop*: with httptools and uvloop. "
            f"One worker, no access log, `wrk` with one thread and {_CONNECTIONS} connections on the same machine; all "
            f"servers take turns. *Seen before*: {_CALLERS} callers. *Never seen*: every token new to the guard. "
            "Latencies are at full load. A goal is only judged where the servers were busy for at least "
            f"{_BUSY:.0%} of the time: one that is held up by something else says nothing of its guard."
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
    # Connections are queued until the server is up.
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
    began, worked = time.perf_counter(), _processor_time(server.pid)
    done = subprocess.run([wrk, *options, server.url, "--", tokens], stdout=subprocess.PIPE, text=True, check=True)
    busy = (_processor_time(server.pid) - worked) / (time.perf_counter() - began)
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
    rate, p50, p99, errors = (float(word) for word in line.split()[1:])
    if errors:
        raise AssertionError(f"{server.url}: {errors:.0f} requests went wrong")
    return Load(rate, p50, p99, busy)


def _processor_time(pid: int) -> float:
    # Behind the command's name, which may hold anything (proc(5)).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _rows(bare: Target, seen: Target, unseen: Target) -> Iterator[Row]:
    server = f"{_NAMES[bare.framework]}, {bare.stack.name}"
    # Where something else than the server was the bottleneck, a guard would seem to cost nothing.
    judged = all(_busy(target) >= _BUSY for target in (bare, seen))
    for what, target, goal in (
        ("no guard", bare, None),
        ("token seen before", seen, _GOALS[bare.framework] if judged else None),
        ("token never seen", unseen, None),
    ):
        yield Row(
            what=f"{server}: {what}",
            value=median(load.rate for load in target.loads),
            unit="requests/s",
            ratio=median(ours.rate / theirs.rate for ours, theirs in zip(target.loads, bare.loads, strict=True)),
            baseline="no guard",
            at_least=goal,
            note=(
                f"p50 {median(load.p50 for load in target.loads):.1f} ms, "
                f"p99 {median(load.p99 for load in target.loads):.1f} ms, server {_busy(target):.0%} busy"
            ),
        )


def _busy(target: Target) -> float:
    return median(load.busy for load in target.loads)
