"""Calls an ASGI app without a body, up to the first message that the app sends."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Message

from cognito_guard._report.reporter import refusals_seen
from cognito_guard.events import Refused


class Outcome(NamedTuple):
    """
    The result of a call.

    Attributes:
        status: The HTTP status. 101: a websocket was accepted. 403: it was closed instead. 500: the app ended without
            an answer. None: there was no answer before the time-out.
        refusal: The error with which a guard refused the call; None if no guard did.

    """

    status: int | None
    refusal: Refused | None


async def call(
    app: ASGIApp,
    *,
    method: str | None,
    scheme: str,
    host: str,
    path: str,
    headers: Collection[tuple[str, str]],
    timeout: float,  # noqa: ASYNC109
) -> Outcome:
    """
    Return how *app* answers a request, or a websocket if there is no *method*.

    Args:
        app: The app to call.
        method: The HTTP method, or None for a websocket.
        scheme: `http` or `https`, also for a websocket.
        host: The value of the `Host` header.
        path: The path, not encoded.
        headers: Further headers.
        timeout: Seconds after which the call is cancelled.

    """
    kind = "websocket" if method is None else "http"
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": scheme if kind == "http" else scheme.replace("http", "ws"),
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in [("host", host), *headers]],
        "server": ("testserver", 443 if scheme == "https" else 80),
        "client": ("testclient", 50000),
        "state": {},
    }
    if kind == "http":
        scope["method"] = method
    else:
        scope |= {"subprotocols": [], "extensions": {"websocket.http.response": {}}}
    incoming = iter([{"type": "http.request"} if kind == "http" else {"type": "websocket.connect"}])
    statuses: list[int] = []

    async def receive() -> Message:
        return next(incoming, {"type": f"{kind}.disconnect", "code": 1000})

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 101 if message["type"] == "websocket.accept" else 403))
        # The rest of the answer may never end.
        answered.cancel()
        await anyio.lowlevel.checkpoint()

    refusals: list[Refused] = []
    before = refusals_seen.set(refusals)
    try:
        # An error of the handler about an empty request is not of interest here.
        with anyio.move_on_after(timeout) as answered, suppress(Exception):
            await app(scope, receive, send)
    finally:
        refusals_seen.reset(before)
    silent = answered.cancelled_caught and not statuses
    return Outcome(None if silent else next(iter(statuses), 500), refusals[-1] if refusals else None)
