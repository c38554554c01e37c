"""`cognito-guard scopes`: the resource servers that the user pool needs."""

from __future__ import annotations

import argparse
import json
from typing import Any

from cognito_guard._cli.app import add_app_argument, load_app
from cognito_guard._requests.internals import internals_of
from cognito_guard._routes.census import census
from cognito_guard._routes.resource_servers import as_cloudformation, as_json, resource_servers


def add_parser(subparsers: Any) -> None:
    """Add this command to *subparsers*."""
    parser = subparsers.add_parser(
        "scopes",
        help="print the resource servers that the user pool needs",
        description="Print the resource servers and scopes that the user pool needs for an app.",
    )
    add_app_argument(parser)
    parser.add_argument(
        "--format",
        choices=["json", "cloudformation"],
        default="json",
        help="arguments of CreateResourceServer, or a CloudFormation template (%(default)s)",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the resource servers, and return the exit code."""
    listed = list(census(load_app(arguments)))
    guards = {id(each.guard): each.guard for route in listed for each in route.requirements}
    descriptions: dict[str, str] = {}
    for guard in guards.values():
        descriptions |= internals_of(guard).scope_descriptions
    servers = resource_servers(listed, descriptions)
    print(json.dumps(as_json(servers) if arguments.format == "json" else as_cloudformation(servers), indent=2))
    return 0
