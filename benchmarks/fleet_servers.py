"""The servers of the fleet drill: a token endpoint and an API in this process, and a Redis."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from cognito_guard import CognitoGuard
from cognito_guard.errors import BearerError
from cognito_guard.local import LocalPool

LIFETIME: Final = 30
"""Seconds that a token is good for; Cognito's shortest is five minutes, which would make a long drill."""

CLIENTS: Final = ("shared", "alone")


class Servers:
    """
    An ASGI app: a token endpoint that counts and fails on demand, and an API that accepts its tokens.

    Attributes:
        secrets: The client's secrets that are active.
        fault: Status to answer token requests with, or None.

    """

    def __init__(self) -> None:
        self._pool: Final = LocalPool()
        self._pool.add_resource_server("orders", {"order.read": "Read orders"})
        ids = [
            self._pool.add_client(name=name, client_id=name, scopes=["orders/order.read"]).client_id for name in CLIENTS
        ]
        self._pool.prepare()
        keys = json.dumps(self._pool.jwks()).encode()
        self._guard: Final = CognitoGuard(self._pool.user_pool(client_ids=ids), fetch=lambda url, timeout: keys)  # noqa: ARG005
        self.secrets: set[str] = set()
        self.fault: int | None = None
        self._seen: Final[list[tuple[float, str, int]]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        response = await (self._token(request) if request.url.path == "/oauth2/token" else self._api(request))
        await response(scope, receive, send)

    async def _token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        response = self._answer(form)
        self._seen.append((time.time(), form["client_id"], response.status_code))
        return response

    def _answer(self, form: dict[str, str]) -> Response:
        if self.fault is not None:
            headers = {"Retry-After": "2"} if self.fault == 429 else None  # noqa: PLR2004 - too many requests
            return JSONResponse({"message": "A fault is switched on."}, self.fault, headers)
        if form["client_secret"] not in self.secrets:
            return JSONResponse({"error": "invalid_client"}, 400)
        token = self._pool.mint(client_id=form["client_id"], lifetime=LIFETIME)
        return JSONResponse({"access_token": token, "expires_in": LIFETIME, "token_type": "Bearer"})

    async def _api(self, request: Request) -> Response:
        try:
            await self._guard.verify(request.headers.get("authorization", "").removeprefix("Bearer "))
        except BearerError as error:
            return JSONResponse({"error": error.reason}, error.status)
        return JSONResponse([])

    def age(self, client_id: str) -> float:
        """Return how many seconds ago a client last bought a token."""
        return time.time() - max(
            (when for when, who, status in self._seen if (who, status) == (client_id, 200)), default=0
        )

    def requests(self, client_id: str, began: float, ended: float) -> Counter[int]:
        """Return how many token requests of a client were answered with which status in a span of time."""
        return Counter(status for when, who, status in self._seen if who == client_id and began <= when < ended)


class RedisServer:
    """A redis-server on a socket in *folder*. It stores nothing on disk."""

    def __init__(self, command: str, folder: Path) -> None:
        path = folder / "redis"
        self.url: Final = f"unix://{path}"
        options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(folder)]
        self._command: Final = [command, *options]
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return when it accepts connections."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        for line in self._process.stdout:
            if "ready to accept connections" in line.lower():
                return
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        """Return when it is gone."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()
            self._process = None
