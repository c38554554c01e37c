"""`python -m example_app`: an orders API, a worker that calls it and, without a real user pool, a local Cognito."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from cognito_guard import CognitoGuard, KeyPolicy, UserPool
from cognito_guard.client import ClientCredentials
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalCognito, serving
from example_app import api, starlette_api
from example_app.pool import WORKER_ID, WORKER_SECRET, make_pool
from example_app.welcome import welcome
from example_app.worker import make_worker

IMPATIENT: Final = KeyPolicy(max_age=2, stale_for=60, cooldown=1, timeout=1)


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run until Ctrl-C or SIGTERM, and return the exit code."""
    options = _options(arguments)
    _log_to_console()
    try:
        _run(options, environ)
    except ConfigurationError as error:
        print(f"example_app: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, environ: Mapping[str, str]) -> None:
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    with ExitStack() as running:
        if environ.get("COGNITO_USER_POOL_ID"):
            cognito_url = None
            pool = UserPool.from_env(environ)
        else:
            local = LocalCognito(make_pool())
            local.prepare()  # makes the keys before the guard asks for them: the guard waits only a few seconds
            cognito_url = running.enter_context(serving(local, port=options.cognito_port))
            pool = local.user_pool(cognito_url, resource_servers={"orders"})
        guard = CognitoGuard(pool, key_policy=IMPATIENT if options.impatient else KeyPolicy())
        app = starlette_api.make_api(guard) if options.starlette else api.make_api(guard)
        framework = "Starlette" if options.starlette else "FastAPI"
        api_url = running.enter_context(serving(app, port=options.port))
        credentials = _worker_credentials(environ, cognito_url)
        worker_url = None
        if credentials is not None:
            worker_url = running.enter_context(serving(make_worker(api_url, credentials), port=options.worker_port))
        print(welcome(framework, api_url, pool, cognito_url, worker_url), flush=True)
        # Wait in short steps: a signal may reach another thread, but its handler runs on this one.
        while not stopped.wait(0.2):
            pass


def _worker_credentials(environ: Mapping[str, str], cognito_url: str | None) -> ClientCredentials | None:
    """Return the worker's client: that of the environment variables if they name one, else one of the local Cognito."""
    if cognito_url is not None:
        return ClientCredentials(
            f"{cognito_url}/oauth2/token",
            client_id=WORKER_ID,
            client_secret=WORKER_SECRET,
            scopes=["orders/order.write"],
        )
    return ClientCredentials.from_env(environ) if environ.get("COGNITO_CLIENT_ID") else None


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m example_app",
        description="Run an orders API, a worker that places orders, and a local Cognito that issues tokens for them.",
        epilog="With COGNITO_USER_POOL_ID and COGNITO_CLIENT_IDS set, the API accepts the tokens of that user pool, "
        "and no local Cognito is started; the worker is started if COGNITO_CLIENT_ID, COGNITO_CLIENT_SECRET and "
        "COGNITO_TOKEN_URL are set too.",
    )
    parser.add_argument(
        "--port", type=port, default=8000, help="port of the API (default %(default)s; 0: any free one)"
    )
    parser.add_argument(
        "--cognito-port", type=port, default=9229, help="port of the local Cognito (default %(default)s)"
    )
    parser.add_argument("--worker-port", type=port, default=8001, help="port of the worker (default %(default)s)")
    parser.add_argument("--starlette", action="store_true", help="run the API that is written with plain Starlette")
    parser.add_argument(
        "--impatient", action="store_true", help="refresh keys every 2 s, to watch outages and rotations in a minute"
    )
    return parser.parse_args(arguments)


def port(text: str) -> int:
    """Return *text* as a port number. argparse writes the error message."""
    number = int(text)
    if not 0 <= number <= 65535:  # noqa: PLR2004 - 16 bits
        raise ValueError
    return number


def _log_to_console() -> None:
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    for name in ("cognito_guard", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.INFO)


if __name__ == "__main__":
    sys.exit(main())
