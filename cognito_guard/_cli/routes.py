"""`cognito-guard routes`: what every route of an app requires."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cognito_guard._cli.app import UsageError, add_app_argument, load_app
from cognito_guard.audit import RouteEntry, findings, routes


def add_parser(subparsers: Any) -> None:
    """Add this command to *subparsers*."""
    parser = subparsers.add_parser(
        "routes",
        help="list every route of an app, and what it requires",
        description="List every route of an app, and what it requires.",
    )
    add_app_argument(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if something is wrong with a route")
    parser.add_argument(
        "--scopes",
        metavar="SCOPES",
        help="the scopes that exist, separated by commas, or a file with one scope per line",
    )
    parser.add_argument("--opaque", metavar="PATH", action="append", default=[], help="skip the mounted app at PATH")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the routes, and return the exit code."""
    app = load_app(arguments)
    listed = routes(app)
    found = findings(app, opaque=arguments.opaque, scopes=_scopes(arguments.scopes))
    if arguments.json:
        print(json.dumps([_as_json(route) for route in listed], indent=2))
    else:
        print(_table(listed))
    for finding in found if arguments.strict else ():
        print(finding, file=sys.stderr)
    return 1 if arguments.strict and found else 0


def _scopes(text: str | None) -> list[str] | None:
    if text is None:
        return None
    if _is_file_name(text):
        if not Path(text).is_file():
            raise UsageError(f"--scopes: there is no file {text!r}")
        text = Path(text).read_text(encoding="utf-8")
    return text.replace(",", " ").split()


def _is_file_name(text: str) -> bool:
    # A scope has a slash too, so look at the ending of a text file or the beginning of a path.
    return Path(text).is_file() or text.endswith((".txt", ".csv", ".json", ".lst")) or text[:1] in {".", "/", "~"}


def _table(listed: Iterable[RouteEntry]) -> str:
    rows = [("METHOD", "PATH", "REQUIRES", "HANDLER")]
    rows += [(route.method, route.path, route.requirement, route.handler) for route in listed]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _as_json(route: RouteEntry) -> dict[str, Any]:
    return {
        "method": route.method,
        "path": route.path,
        "handler": route.handler,
        "public": route.public,
        "guarded": route.guarded,
        "opaque": route.opaque,
        "requirements": [each.condition.as_data() for each in route.requirements],
    }
