"""One request in process, without server and client: the cost of the app itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.types import ASGIApp, Message, Scope

from benchmarks.rounds import Case, in_turn

Headers = list[tuple[bytes, bytes]]

_SCOPE: Final[dict[str, Any]] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.3"},
    "http_version": "1.1",
    "method": "GET",
    "scheme": "http",
    "root_path": "",
    "query_string": b"",
    "client": ("127.0.0.1", 50_000),
    "server": ("127.0.0.1", 8000),
}


def headers_with(token: str | None) -> Headers:
    """Return the headers of a typical request; without credentials if *token* is None."""
    headers = [
        (b"host", b"api.example"),
        (b"user-agent", b"python-httpx/0.28"),
        (b"accept", b"*/*"),
        (b"accept-encoding", b"gzip, deflate"),
    ]
    return headers if token is None else [*headers, (b"authorization", b"Bearer " + token.encode())]


class Exchange:
    """
    One request and its answer.

    Holds the scope beside `receive` and `send`, as uvicorn's does. If an app leaves one of those in the scope, there is
    a reference cycle, which costs time when the garbage collector runs.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope: Final = scope
        self.status = 0

    async def receive(self) -> Message:
        """Return an empty body."""
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        """Record the status and ignore the rest."""
        if message["type"] == "http.response.start":
            self.status = message["status"]

    async def run(self, app: ASGIApp) -> int:
        """Return the status that *app* answers with."""
        await app(self.scope, self.receive, self.send)
        return self.status


async def request_case(
    name: str, app: ASGIApp, path: str, tokens: Sequence[str | None], *, calls: int, status: int = 200
) -> Case:
    """
    Return a case: GET requests for *path*, each with the next of *tokens*. None means a request without one.

    All tokens have been sent once by then, and each was answered with *status*.
    """
    scope = {**_SCOPE, "path": path, "raw_path": path.encode()}
    requests = [headers_with(token) for token in tokens]
    statuses = {await Exchange({**scope, "headers": headers}).run(app) for headers in requests}
    if statuses != {status}:
        raise AssertionError(f"{name}: expected {status}, got {statuses}")
    turns = in_turn(requests, calls)

    async def run() -> None:
        for headers in next(turns):
            await Exchange({**scope, "headers": headers}).run(app)

    return Case(name, run, calls)
