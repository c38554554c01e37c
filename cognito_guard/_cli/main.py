"""
The command `cognito-guard`, also `python -m cognito_guard`.

Each subcommand is a module with `add_parser(subparsers)`, which sets `run=` as a default of its parser. `run(args)`
returns the exit code: 0 if all is well, 1 if not. A wrong command line is 2, as argparse has it.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Final

from cognito_guard.errors import GuardError

_COMMANDS: Final = ("cognito_guard.local._command", "cognito_guard._cli.routes", "cognito_guard._cli.scopes")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv*, by default that of the process, and return the exit code."""
    parser = argparse.ArgumentParser(prog="cognito-guard", description="Guard APIs with AWS Cognito access tokens.")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in _COMMANDS:
        importlib.import_module(name).add_parser(subparsers)
    try:
        args = parser.parse_args(argv)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 2
    try:
        code: int = args.run(args)
    except GuardError as error:
        sys.stderr.write(f"cognito-guard: {error}\n")
        return 1
    return code
