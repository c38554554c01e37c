"""The API that `benchmarks.soak` calls."""

from __future__ import annotations

import argparse
import json
import logging
import socket
import time
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.causes import Attempt
from benchmarks.pool import CLIENT_ID, POOL_ID, SCOPE
from cognito_guard import CognitoGuard, KeyPolicy, UserPool
from cognito_guard.events import Event, KeysFailed, KeysFetched


def main() -> None:
    """Serve the app on an inherited socket until the process is told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--jwks-url", required=True)
    parser.add_argument("--account", type=Path, required=True)
    for name in ("max-age", "stale-for", "cooldown", "timeout"):
        parser.add_argument(f"--{name}", type=float, required=True)
    told = parser.parse_args()
    policy = KeyPolicy(max_age=told.max_age, stale_for=told.stale_for, cooldown=told.cooldown, timeout=told.timeout)
    account = told.account.open("a", buffering=1)

    def note(event: Event) -> None:
        if isinstance(event, KeysFetched):
            # The attempt began between these two reads of the clock, and the age of the keys counts from it.
            earliest, age, now = time.monotonic(), guard.status()[event.pool_id]["age"] or 0.0, time.monotonic()
            gone_at, next_at = earliest - age + policy.stale_for, now - age + policy.cooldown
            attempt = Attempt(now, next_at, gone_at, sorted(event.kids), "", usable=True)
        elif isinstance(event, KeysFailed):
            now = time.monotonic()
            attempt = Attempt(now, now + event.next_attempt, 0.0, [], event.error, usable=event.usable)
        else:
            return
        account.write(json.dumps(attempt) + "\n")

    pool = UserPool(POOL_ID, client_ids={CLIENT_ID}, jwks_url=told.jwks_url)
    guard = CognitoGuard(pool, key_policy=policy, on_event=note)

    async def answer(request: Request) -> PlainTextResponse:
        return PlainTextResponse(request.user.client_id)

    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(websocket.user.client_id)
        await websocket.close()

    app = Starlette(
        routes=[
            Route("/", guard.require(SCOPE)(answer)),
            WebSocketRoute("/ws", guard.require(SCOPE)(echo)),
        ]
    )
    guard.install(app)
    # Thousands of refusals are expected here. The account has the failures of the key server.
    logging.getLogger("cognito_guard").setLevel(logging.CRITICAL)
    config = uvicorn.Config(app, access_log=False, log_level="critical")
    uvicorn.Server(config).run([socket.socket(fileno=told.fd)])


if __name__ == "__main__":
    main()
