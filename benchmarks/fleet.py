"""
A fleet of processes that share tokens, and what happens to it: `python -m benchmarks.fleet`, about five minutes.

8 processes of 100 callers each call an API with tokens of 30 seconds. They share tokens through a real `redis-server`
(Debian: `apt-get install redis-server`). It is stopped and started, the token endpoint answers 429 and 500, and the
client's secret is rotated. A second fleet of the same size, without a store, runs beside it in the calm phase.
Everything runs on loopback. Prints a table, and exits with 1 if a call failed or sharing saved too little.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.environment import ROOT
from benchmarks.fleet_servers import LIFETIME, RedisServer, Servers
from benchmarks.progress import Progress
from cognito_guard.local import serving

PROCESSES: Final = 8
GOAL: Final = 0.15
"""Tokens bought in the calm phase, as a part of what the fleet without a store buys."""

Step = tuple[str, float, Callable[[], None]]
"""The name of a phase, its seconds, and what happens at its start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One line of the table."""

    name: str
    seconds: float
    calls: int
    failed: int
    requests: int
    bought: int
    longest: float
    reasons: tuple[str, ...]


class Fleet:
    """Processes of callers."""

    def __init__(self, api: str, client_id: str, secrets: Path, redis: str) -> None:
        command = [sys.executable, "-m", "benchmarks.fleet_worker", api, client_id, str(secrets), redis]
        self._processes: Final = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(PROCESSES)
        ]
        self.reports: list[dict[str, Any]] = []
        for process in self._processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"

    def begin(self) -> None:
        """Let the callers call."""
        for process in self._processes:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()

    def end(self) -> None:
        """Collect what the callers saw."""
        for process in self._processes:
            assert process.stdin
            process.stdin.close()
        for process in self._processes:
            assert process.stdout
            self.reports.append(json.loads(process.stdout.read()))
            process.wait()

    def kill(self) -> None:
        """Kill the processes."""
        for process in self._processes:
            process.kill()
            process.wait()

    def phase(self, name: str, began: float, ended: float, statuses: dict[int, int]) -> Phase:
        """Return what happened between two times, in whole seconds."""
        seconds = [str(second) for second in range(int(began), int(ended))]
        failures = [why for report in self.reports for when, why in report["failures"] if began <= when < ended]
        return Phase(
            name=name,
            seconds=ended - began,
            calls=sum(report["calls"].get(second, 0) for report in self.reports for second in seconds),
            failed=len(failures),
            reasons=tuple(sorted(set(failures))),
            requests=sum(statuses.values()),
            bought=statuses.get(200, 0),
            longest=max(report["longest"].get(second, 0.0) for report in self.reports for second in seconds),
        )


def table(phases: Sequence[Phase]) -> str:
    """Return *phases* as Markdown."""
    lines = [
        f"| {phase.name} | {phase.seconds:.0f} s | {phase.calls:,} | {phase.failed} | {phase.requests} "
        f"| {phase.bought} | {phase.longest:.2f} s |"
        for phase in phases
    ]
    head = ["| | lasts | calls | failed | token requests | tokens bought | longest call |"]
    return "\n".join([*head, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |", *lines])


def script(servers: Servers, redis: RedisServer, secrets: Path) -> Iterator[Step]:
    """Yield what happens to the fleet that shares, after the calm phase."""

    def fault(status: int) -> None:
        """Switch a fault on some seconds before the current token is due, so that the renewal meets it in time."""
        deadline = time.time() + 2 * LIFETIME
        while not LIFETIME / 2 <= servers.age("shared") < LIFETIME * 0.6 and time.time() < deadline:
            time.sleep(0.1)
        servers.fault = status

    def recover() -> None:
        servers.fault = None

    def known(*values: str) -> None:
        """Tell the fleet its secrets, in one step."""
        new = secrets.with_suffix(".new")
        new.write_text(json.dumps(values), encoding="utf-8")
        new.replace(secrets)

    yield "Redis stopped", 45, redis.stop
    yield "Redis started, empty", 45, redis.start
    yield "token endpoint answers 429", 15, lambda: fault(429)
    yield "it recovers", 15, recover
    yield "token endpoint answers 500", 15, lambda: fault(500)
    yield "it recovers", 15, recover
    yield "fleet knows a new secret, not active yet", 25, lambda: known("new", "old")
    yield "both secrets are active", 25, lambda: servers.secrets.add("new")
    yield "old secret deleted", 25, lambda: servers.secrets.discard("old")
    yield "fleet forgets the old secret", 25, lambda: known("new")


@contextmanager
def fleet(api: str, client_id: str, secrets: Path, redis: str) -> Iterator[Fleet]:
    """Run a fleet for a block."""
    running = Fleet(api, client_id, secrets, redis)
    try:
        yield running
    finally:
        running.kill()


def run(calm: float, steps: Callable[[Servers, RedisServer, Path], Iterator[Step]], redis_server: str) -> list[Phase]:
    """Return the phases of the whole drill: the two fleets in the calm phase, then each of *steps*."""
    servers = Servers()
    servers.secrets.add("old")
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        secrets = folder / "secrets"
        secrets.write_text('["old"]', encoding="utf-8")
        redis = RedisServer(redis_server, folder)
        redis.start()
        running.callback(redis.stop)
        api = running.enter_context(serving(servers))
        alone = running.enter_context(fleet(api, "alone", secrets, ""))
        shared = running.enter_context(fleet(api, "shared", secrets, redis.url))
        progress = Progress("fleet")
        times: list[tuple[str, float, float]] = []
        began = float(int(time.time()))
        alone.begin()
        shared.begin()
        plan = list(steps(servers, redis, secrets))
        times.append(("calm", began, began + calm))
        _wait_until(times[-1][2])
        alone.end()
        for number, (name, seconds, begin) in enumerate(plan):
            progress.show(number, len(plan), name)
            begin()
            # What happened before the right moment belongs to the previous phase.
            start = float(int(time.time()))
            times[-1] = (*times[-1][:2], start)
            _wait_until(start + seconds)
            times.append((name, start, start + seconds))
        shared.end()
        progress.end()
    name, start, end = times[0]
    return [
        alone.phase(f"{name}, each process for itself", start, end, servers.requests("alone", start, end)),
        *(
            shared.phase(f"{name}, shared" if number == 0 else name, start, end, servers.requests("shared", start, end))
            for number, (name, start, end) in enumerate(times)
        ),
    ]


def _wait_until(when: float) -> None:
    time.sleep(max(0.0, when - time.time()))


def main() -> int:
    """Run the drill and return the exit code."""
    redis_server = shutil.which("redis-server")
    if redis_server is None:
        print("redis-server is not installed; Debian: apt-get install redis-server", file=sys.stderr)
        return 1
    phases = run(100, script, redis_server)
    alone, shared, *_ = phases
    print(table(phases))
    ratio, failed = shared.bought / alone.bought, sum(phase.failed for phase in phases)
    print(f"\nShared, the fleet bought {ratio:.3f} of what it buys unshared (goal: <= {GOAL}); {failed} calls failed.")
    for phase in phases:
        for reason in phase.reasons:
            print(f"{phase.name}: {reason}")
    return 0 if ratio <= GOAL and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
