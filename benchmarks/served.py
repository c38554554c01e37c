"""The process of one server that `benchmarks.serving` puts under load."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

import uvicorn

from benchmarks.apps import fastapi_app, starlette_app
from benchmarks.pool import make_guard


def main() -> None:
    """Serve the app on an inherited socket until the process is told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("framework", choices=["starlette", "fastapi"])
    parser.add_argument("--guarded", action="store_true")
    parser.add_argument("--jwks", type=Path, required=True)
    parser.add_argument("--token-cache", type=int, required=True)
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--http", required=True)
    parser.add_argument("--loop", required=True)
    told = parser.parse_args()
    guard = make_guard(told.jwks.read_bytes(), token_cache=told.token_cache) if told.guarded else None
    make = starlette_app if told.framework == "starlette" else fastapi_app
    app = make(guard, "decorator")
    config = uvicorn.Config(app, http=told.http, loop=told.loop, access_log=False, log_level="warning")
    # uvicorn's own fd= treats it as a Unix socket. A socket that does not know its protocol has no TCP_NODELAY: then
    # every answer waits 40 ms for an ACK, and all servers are equally fast.
    uvicorn.Server(config).run([socket.socket(fileno=told.fd)])


if __name__ == "__main__":
    main()
