"""
The command `cognito-guard`, also `python -m cognito_guard`.

Each subcommand is a module with `add_parser(subparsers)`, which sets `run=` as a default of its parser. `run(args)`
returns the exit code: 0 nothing was found, 1 something was found, 2 the command line is wrong, 3 the app could not be
checked or served.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import version
from typing import Final

from cognito_guard._cli.app import UsageError
from cognito_guard.errors import GuardError

_COMMANDS: Final = ("cognito_guard.local._command", "cognito_guard._cli.routes", "cognito_guard._cli.scopes")

USAGE: Final = 2
NOT_CHECKED: Final = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv*, by default the arguments of the process, and return the exit code."""
    parser = argparse.ArgumentParser(
        prog="cognito-guard",
        description="Guard APIs with AWS Cognito access tokens.",
        epilog="Exit codes: 0 nothing was found, 1 something was found, 2 the command line is wrong, "
        "3 the app could not be checked.",
    )
    parser.add_argument("-V", "--version", action="version", version=f"cognito-guard {version('cognito-guard')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(name).add_parser(subparsers)
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and not words[0].startswith("-") and words[0] not in subparsers.choices:
            meant = "".join(f"did you mean {close!r}? " for close in get_close_matches(words[0], subparsers.choices, 1))
            parser.error(f"there is no command {words[0]!r}; {meant}commands are: {', '.join(subparsers.choices)}")
        args = parser.parse_args(words)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else USAGE
    try:
        code: int = args.run(args)
    except GuardError as error:
        sys.stderr.write(f"cognito-guard: {error}\n")
        return USAGE if isinstance(error, UsageError) else getattr(args, "when_wrong", NOT_CHECKED)
    return code
