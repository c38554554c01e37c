"""What it costs to say why: refused requests with and without their line in the log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Final

from benchmarks.apps import PATH, starlette_app
from benchmarks.asgi import request_case
from benchmarks.pool import CLIENT_ID, Material, make_guard, material, mint, wrongly_signed
from benchmarks.progress import Progress
from benchmarks.rounds import Case, interleave
from benchmarks.row import Effort, Row, Section
from cognito_guard import CognitoGuard
from cognito_guard._requests.internals import internals_of

_LINES: Final = 10
"""Lines of each reason that are written in full, within one window."""

_WINDOWS: Final = 5
"""Windows of one turn."""

_WINDOW: Final = 10.0
"""Seconds after which as many are written in full again."""

_PLAIN: Final = "one line by logging alone"
_OFF: Final = "not logged"
_COUNTED: Final = "counted"
_FULL: Final = "in full"

_MOST_COUNTED: Final = 1.2
_MOST_IN_FULL: Final = 3.0

_log: Final = logging.getLogger("cognito_guard")


def measure(effort: Effort, progress: Progress) -> Section:
    """Return what a refusal costs that is not logged, one that is counted in a flood, and one with a line in full."""
    kinds = _kinds(material(effort.tokens))
    guards: list[CognitoGuard] = []
    cases = [_plain_line(), *(case for name in kinds for case in asyncio.run(_cases(name, *kinds[name], guards)))]
    timings = interleave(cases, effort.rounds, progress)
    with _listening(logging.INFO):
        # What was counted would be written when the guards are dropped.
        for guard in guards:
            internals_of(guard).refusals.settle()
    plain = timings.seconds(_PLAIN)
    rows = [Row(what=_PLAIN, value=plain * 1e6)]
    for name in kinds:
        for how, at_most in ((_OFF, None), (_COUNTED, _MOST_COUNTED), (_FULL, _MOST_IN_FULL)):
            what, off = f"{name}, {how}", f"{name}, {_OFF}"
            added = timings.excess(what, off)
            rows.append(
                Row(
                    what=what,
                    value=timings.seconds(what) * 1e6,
                    ratio=timings.ratio(what, off),
                    baseline=_OFF,
                    at_most=at_most,
                    note="" if how == _OFF else f"{added * 1e6:+.1f} us, {added / plain:.1f} x a line by logging alone",
                )
            )
    return Section(
        name="refusals",
        title="A refusal that says why",
        about=(
            "GET for the only route of a Starlette app, refused. *Not logged*: the level of the logger is above all "
            "lines. *Counted*: a flood, of which no line is written. *In full*: each has its line, with what was found "
            "and what is accepted; the handler formats it and throws it away. *One line by logging alone* is a call of "
            "`logger.info` with a line and fields of the same size, to the same handler."
        ),
        rows=tuple(rows),
    )


def _kinds(good: Material) -> dict[str, tuple[Material, list[str | None], int]]:
    """Return, by name, tokens that are refused, and the status."""
    many = range(_LINES)
    pairs = pairwise((*good.tokens[:_LINES], good.tokens[0]))
    tokens: dict[str, list[str | None]] = {
        "no token": [None for _ in many],
        "expired": [mint(lifetime=-3 - number) for number in many],
        "another client": [mint(client_id=CLIENT_ID[::-1]) for _ in many],
        "another pool": [mint(iss=good.issuer[:-1]) for _ in many],
        "bad signature": [wrongly_signed(*pair) for pair in pairs],
        "missing scope": [mint(scope="orders/order.write") for _ in many],
    }
    return {name: (good, sent, 403 if name == "missing scope" else 401) for name, sent in tokens.items()}


async def _cases(
    name: str, good: Material, tokens: list[str | None], status: int, guards: list[CognitoGuard]
) -> list[Case]:
    cases = []
    for how, level in ((_OFF, logging.CRITICAL), (_COUNTED, logging.INFO), (_FULL, logging.INFO)):
        clock = _Clock()
        guards.append(make_guard(good.jwks, timer=clock))
        app = starlette_app(guards[-1], "decorator")
        with _listening(level):
            # Of the counted ones this uses the lines up that would be written in full.
            case = await request_case(f"{name}, {how}", app, PATH, tokens, calls=_LINES, status=status)
        cases.append(_logged(case, level, clock.advance if how == _FULL else None))
    return cases


def _plain_line() -> Case:
    fields: dict[str, str] = dict.fromkeys(
        ("status", "reason", "client_id", "method", "route", "found", "accepted", "hint"), "x" * 20
    )

    async def run() -> None:
        for _ in range(_LINES):
            _log.info("%s %s refused %d %s: %s", "GET", PATH, 401, "expired", "x" * 200, extra=fields)

    return _logged(Case(_PLAIN, run, _LINES), logging.INFO)


def _logged(case: Case, level: int, before: Callable[[], None] | None = None) -> Case:
    """Return *case* with the log at *level*, and *before* called ahead of each window."""

    async def run() -> None:
        with _listening(level):
            for _ in range(_WINDOWS):
                if before is not None:
                    before()
                await case.run()

    return Case(case.name, run, case.calls * _WINDOWS)


class _Clock:
    """Monotonic seconds that pass when they are told to."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        return self._now

    def advance(self) -> None:
        """Let a window pass, so that as many lines are written in full again."""
        self._now += _WINDOW


class _Nowhere:
    """A stream that keeps nothing."""

    def write(self, text: str) -> None: ...

    def flush(self) -> None: ...


_handler: Final[logging.Handler] = logging.StreamHandler[Any](_Nowhere())


@contextmanager
def _listening(level: int) -> Iterator[None]:
    """Have the lines of *level* and above formatted by one handler alone."""
    before, propagate = _log.level, _log.propagate
    _log.setLevel(level)
    _log.addHandler(_handler)
    _log.propagate = False
    try:
        yield
    finally:
        _log.removeHandler(_handler)
        _log.propagate = propagate
        _log.setLevel(before)
