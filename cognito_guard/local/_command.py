"""`cognito-guard local`: a user pool at a port of this machine, until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cognito_guard._urls import is_loopback
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._server import LocalCognito
from cognito_guard.local._serving import LOOPBACK, listen, serve, url_of
from cognito_guard.local._setup import Setup, default_setup, read_setup, setup_of_flags
from cognito_guard.local._state import load_state, merged, save_state

_NOT_FOR_PRODUCTION = "NOT FOR PRODUCTION: this hands out valid tokens to whoever can reach it."


def add_parser(subparsers: Any) -> None:
    """Add the subcommand to *subparsers* of argparse."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "local",
        help="run a stand-in for a Cognito user pool, for development",
        description="Run a stand-in for a Cognito user pool: token endpoint, key set and a console page. "
        "For development only, never for production.",
    )
    parser.add_argument("--host", default=LOOPBACK, help="the address to listen on (%(default)s: this machine alone)")
    parser.add_argument("--port", type=_port, default=9229, help="the port to listen on (%(default)s; 0: any free one)")
    parser.add_argument("--pool", metavar="ID", help="the id of the user pool, such as eu-central-1_AbCdEf123")
    parser.add_argument(
        "--client",
        metavar="NAME=SCOPE,SCOPE",
        action="append",
        default=[],
        help="an app client and what it may ask for, such as reader=orders/order.read; may be given several times",
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="a TOML file with pools, in place of these two")
    parser.add_argument(
        "--state", metavar="FILE", type=Path, help="keep client ids, secrets and keys here across restarts (mode 0600)"
    )
    parser.add_argument("--no-console", action="store_true", help="do without the console page")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """
    Serve until Ctrl-C or SIGTERM, and return 0.

    Raises:
        ConfigurationError: Something of it can not be done; the message says what.

    """
    setup = _setup(args)
    if args.state is not None:
        setup = merged(setup, load_state(args.state))
    pools = [pool.make() for pool in setup.pools]

    def save() -> None:
        if args.state is not None:
            save_state(args.state, pools)

    cognito = LocalCognito(*pools, disputed=setup.disputed, console=not args.no_console, on_change=save)
    with listen(args.host, args.port) as listener:
        save()
        if not is_loopback(args.host):
            sys.stderr.write(
                f"WARNING: listening on {args.host}. Whoever can reach it, from other machines as well, can sign in "
                f"as anybody.\nWARNING: {_NOT_FOR_PRODUCTION}\n"
            )
        logging.basicConfig(format="%(message)s")
        logging.getLogger("uvicorn.access").setLevel(logging.INFO)
        url = _reachable(url_of(listener))
        serve(cognito, listener, _announcement(url, pools, console=not args.no_console))
    return 0


def _setup(args: argparse.Namespace) -> Setup:
    if args.config is not None:
        if args.pool is not None or args.client:
            raise ConfigurationError("--config says what pools and clients there are; leave out --pool and --client")
        return read_setup(args.config)
    if args.client:
        return setup_of_flags(args.pool, args.client)
    # What was saved is enough to start from, unless a pool is asked for.
    if args.pool is None and args.state is not None and args.state.exists():
        return Setup()
    return default_setup(args.pool)


def _announcement(url: str, pools: Iterable[LocalPool], *, console: bool) -> str:
    lines = [f"*** {_NOT_FOR_PRODUCTION} ***", "", f"Local Cognito at {url}"]
    if console:
        lines.append(f"Console page: {url}/")
    for pool in pools:
        lines += ["", f"User pool {pool.pool_id}. For your API:", ""]
        lines += [f"export {name}={value}" for name, value in _variables(url, pool).items()]
        for client in pool.clients:
            if client.secrets:
                lines += ["", f"A token for the client {client.name} ({' '.join(client.scopes)}):", ""]
                lines.append(
                    f"curl -sS -u '{client.client_id}:{client.secret}' -d grant_type=client_credentials "
                    f"{url}/oauth2/token"
                )
    return "\n".join([*lines, "", "Press Ctrl-C to stop.", ""])


def _variables(url: str, pool: LocalPool) -> dict[str, str]:
    """Return what `UserPool.from_env` reads."""
    variables = {
        "COGNITO_USER_POOL_ID": pool.pool_id,
        "COGNITO_CLIENT_IDS": ",".join(client.client_id for client in pool.clients),
        "COGNITO_JWKS_URL": f"{url}/{pool.pool_id}/.well-known/jwks.json",
        "COGNITO_TOKEN_URL": f"{url}/oauth2/token",
    }
    return variables | ({"COGNITO_ISSUER": pool.issuer} if pool.has_own_issuer else {})


def _reachable(url: str) -> str:
    # An address that stands for all of the machine's is none to call.
    return url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:  # noqa: PLR2004 - 16 bits
        raise ValueError
    return number
