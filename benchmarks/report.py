"""The results as Markdown."""

from __future__ import annotations

import datetime as dt
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.row import Row, Section

_PACKAGES: Final = ("cognito-guard", "cryptography", "pyjwt", "starlette", "fastapi", "uvicorn")


def origin() -> str:
    """Return on what machine, with which versions and when this is measured."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in _PACKAGES)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    return f"{machine}; {python}, {versions}; {dt.datetime.now(dt.UTC):%Y-%m-%d}"


def summary(sections: Sequence[Section]) -> str:
    """Return a short table: what there is a goal for, and whether it is reached."""
    rows = [(section, row) for section in sections for row in section.rows if row.reached is not None]
    lines = [
        f"| {section.title}: {row.what} | {_measured(row)} | {_goal(row)}{'' if row.reached else ', missed'} |"
        for section, row in rows
    ]
    return "\n".join(["| | measured | goal |", "| --- | ---: | ---: |", *lines])


def markdown(sections: Sequence[Section], command: str) -> str:
    """Return a page with the goals, a table for each section, and where the figures come from."""
    goals = ["## Goals", "", *summary(sections).splitlines(), ""]
    return "\n".join([*_head(command), *goals, *(line for section in sections for line in _section(section))])


def plain(section: Section) -> str:
    """Return the lines of one section for a terminal."""
    rows = [_cells(row) for row in section.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join([section.title, *(f"  {line}" for line in lines), ""])


def _head(command: str) -> Iterator[str]:
    yield "# What the guard costs"
    yield ""
    yield f"Measured by `{command}`: {origin()}. Load comes from {_wrk()}."
    yield ""
    yield "Everything that is compared takes turns of a few milliseconds. Times are processor time, as medians of all"
    yield "rounds. Ratios are medians of the ratios within each round; they say more than the times, which depend on"
    yield "the machine."
    yield ""


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield ""
    yield f"{section.about}"
    yield ""
    yield "| | figure | ratio | to | goal | |"
    yield "| --- | ---: | ---: | --- | ---: | --- |"
    for row in section.rows:
        yield f"| {' | '.join(_cells(row))} |"
    yield ""


def _cells(row: Row) -> tuple[str, ...]:
    verdict = {None: "", True: "reached", False: "NOT reached"}[row.reached]
    return (
        row.what,
        "-" if row.value is None else f"{figure(row.value)} {row.unit}",
        "" if row.ratio is None else f"{figure(row.ratio)} x",
        row.baseline,
        _goal(row),
        "; ".join(filter(None, (verdict, row.note))),
    )


def _measured(row: Row) -> str:
    if row.ratio is None:
        return "-" if row.value is None else f"{figure(row.value)} {row.unit}"
    return f"{figure(row.ratio)} x {row.baseline}"


def _goal(row: Row) -> str:
    if row.at_most is not None:
        return f"<= {row.at_most:g}"
    return "" if row.at_least is None else f">= {row.at_least:g}"


def figure(value: float) -> str:
    """Return three digits, which is more than the machine is good for."""
    if abs(value) >= 100:  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"  # noqa: PLR2004 - likewise


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _wrk() -> str:
    wrk = shutil.which("wrk")
    if wrk is None:
        return "none, wrk is not installed"
    said = subprocess.run([wrk, "--version"], capture_output=True, text=True, check=False).stdout
    return " ".join(said.split()[:2])
