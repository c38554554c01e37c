"""`cognito-guard local`: serves a user pool on a port of this machine, alone or beside your API."""

from __future__ import annotations

import argparse
import logging
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from cognito_guard._urls import is_loopback
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._announcement import NOT_FOR_PRODUCTION, announcement
from cognito_guard.local._beside import run_beside
from cognito_guard.local._environment import environment_with, variables_of, write_env_file
from cognito_guard.local._issuer import SELF
from cognito_guard.local._pool import DEFAULT_POOL_ID
from cognito_guard.local._server import LocalCognito
from cognito_guard.local._serving import LOOPBACK, listen, served, url_of
from cognito_guard.local._setup import Setup, default_setup, read_setup, setup_of_flags
from cognito_guard.local._signals import ending_signals
from cognito_guard.local._state import load_state, merged, save_state


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to *subparsers* of argparse."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "local",
        help="run a stand-in for a Cognito user pool, for development",
        description="Run a stand-in for a Cognito user pool: token endpoint, key set and a console page. "
        "For development only, never for production.",
    )
    parser.add_argument("--host", default=LOOPBACK, help="the address to listen on (%(default)s: this machine only)")
    parser.add_argument("--port", type=port, default=9229, help="the port to listen on (%(default)s; 0: any free one)")
    parser.add_argument("--pool", metavar="ID", help="the id of the user pool, such as eu-central-1_AbCdEf123")
    parser.add_argument(
        "--client",
        metavar="NAME=SCOPE,SCOPE",
        action="append",
        default=[],
        help="an app client and its scopes, such as reader=orders/order.read; may be given several times",
    )
    parser.add_argument(
        "--issuer-here",
        action="store_true",
        help="make the issuer of tokens this server's own URL, so that OpenID Connect libraries can discover it",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file with pools, instead of these three")
    parser.add_argument(
        "--state", metavar="FILE", type=Path, help="keep client ids, secrets and keys here across restarts (mode 0600)"
    )
    parser.add_argument(
        "--env-file",
        metavar="FILE",
        type=Path,
        help="write the variables for your API into this file, such as .env; its other lines stay",
    )
    parser.add_argument("--no-console", action="store_true", help="do not serve the console page")
    parser.add_argument(
        "command",
        nargs="*",
        metavar="-- COMMAND",
        help="run your API beside it, with the variables set, such as -- uvicorn main:app; both end together",
    )
    # Errors of this part are errors of its options.
    parser.set_defaults(run=run, when_wrong=2)


def run(args: argparse.Namespace) -> int:
    """
    Serve until Ctrl-C or SIGTERM and return 0; or until the command after `--` ends, and return its exit code.

    Raises:
        ConfigurationError: An option cannot be carried out; the message says which and why.

    """
    setup = _setup(args)
    if args.state is not None:
        setup = merged(setup, load_state(args.state))
    pools = [pool.make() for pool in setup.pools]
    saving = threading.Lock()

    def save() -> None:
        with saving:  # The state that was read last is written last.
            if args.state is not None:
                save_state(args.state, pools)

    cognito = LocalCognito(*pools, disputed=setup.disputed, console=not args.no_console, on_change=save)
    args.when_wrong = 3  # Errors from here on are not errors of the options.
    try:
        listening = listen(args.host, args.port)
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} with --port") from error
    with listening as listener:
        save()
        url = _reachable(url_of(listener))
        variables = [variables_of(pool, url) for pool in cognito.pools]
        if args.env_file is not None:
            write_env_file(args.env_file, variables[0])
        _warn(args.host)
        logging.basicConfig(format="%(message)s")
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
        with ending_signals() as signals, served(cognito, listener):
            cognito.served_at(url)
            console = f"{url}/" if not args.no_console else None
            sys.stdout.write(announcement(url, cognito.pools, variables, console=console, command=args.command))
            sys.stdout.flush()
            if args.command:
                return run_beside(args.command, environment_with(variables[0]), signals)
            signals.wait()
    return 0


def _warn(host: str) -> None:
    if not is_loopback(host):
        sys.stderr.write(
            f"WARNING: listening on {host}. Everyone who can reach it, also from other machines, can get tokens for "
            f"any client or user.\nWARNING: {NOT_FOR_PRODUCTION}\n"
        )


def _setup(args: argparse.Namespace) -> Setup:
    if args.config is not None:
        if args.pool is not None or args.client or args.issuer_here:
            raise ConfigurationError(
                "--config describes pools and clients; leave out --pool, --client and --issuer-here"
            )
        return read_setup(args.config)
    # Start from the saved state, unless options ask for something.
    if args.state is not None and args.state.exists() and not (args.pool or args.client or args.issuer_here):
        return Setup()
    pool_id = DEFAULT_POOL_ID if args.pool is None else args.pool
    setup = setup_of_flags(pool_id, args.client) if args.client else default_setup(pool_id)
    if args.issuer_here:
        setup = replace(setup, pools=tuple(replace(pool, issuer=SELF) for pool in setup.pools))
    return setup


def _reachable(url: str) -> str:
    # 0.0.0.0 and :: mean all addresses of the machine. They cannot be called.
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def port(text: str) -> int:
    """Return *text* as a port number. argparse writes the error message."""
    number = int(text)
    if not 0 <= number <= 65535:  # noqa: PLR2004 - 16 bits
        raise ValueError
    return number
