"""
What the guard costs: `python -m benchmarks` measures everything, which takes some minutes.

Prints the figures; a complete run also writes `RESULTS.md`, with goals and misses, and `results.svg` beside this file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks import (
    calling,
    importing,
    memory,
    peers,
    refusals,
    requests,
    routing,
    serving,
    strangers,
    threads,
    verifying,
)
from benchmarks.chart import svg
from benchmarks.progress import Progress
from benchmarks.report import markdown, plain
from benchmarks.row import FULL, QUICK, Effort, Section

SECTIONS: Final[dict[str, Callable[[Effort, Progress], Section]]] = {
    "verify": verifying.measure,
    "threads": threads.measure,
    "peers": peers.measure,
    "requests": requests.measure,
    "serving": serving.measure,
    "routes": routing.measure,
    "strangers": strangers.measure,
    "refusals": refusals.measure,
    "import": importing.measure,
    "memory": memory.measure,
    "calling": calling.measure,
}


def main(arguments: list[str]) -> None:
    """Measure the chosen sections."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").strip())
    parser.add_argument("sections", nargs="*", metavar="section", help=f"any of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a few rounds only: for a first look, not for the record")
    parser.add_argument("--into", type=Path, metavar="FOLDER", help="write the results there, whatever was measured")
    asked = parser.parse_args(arguments)
    unknown = set(asked.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    names = [name for name in SECTIONS if name in asked.sections or not asked.sections]
    sections = []
    for name in names:
        progress = Progress(name)
        sections.append(SECTIONS[name](QUICK if asked.quick else FULL, progress))
        progress.end()
        print(plain(sections[-1]), flush=True)
    complete = names == list(SECTIONS) and not asked.quick
    folder = asked.into or (Path(__file__).parent if complete else None)
    if folder is not None:
        command = " ".join(["python -m benchmarks", *arguments])
        (folder / "RESULTS.md").write_text(markdown(sections, command), encoding="utf-8")
        (folder / "results.svg").write_text(svg(sections), encoding="utf-8")
        print(f"written to {folder}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
