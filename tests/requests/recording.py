"""Handlers that record that they ran: an answer does not show which code was executed."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from tests.requests.apps import no_body


class Recorder:
    """Makes handlers, operations, dependencies and apps. Each one records its name when it runs."""

    def __init__(self) -> None:
        self._ran: list[str] = []

    def note(self, name: str) -> None:
        """Remember that something ran."""
        self._ran.append(name)

    def take(self) -> list[str]:
        """Return what ran since this was last asked."""
        ran, self._ran = self._ran, []
        return ran

    def handler(self, name: str, status: int = 200) -> Callable[[Request], Awaitable[Response]]:
        """Return a handler as Starlette wants it; each is a function of its own."""

        async def handler(request: Request) -> Response:
            self.note(name)
            return PlainTextResponse(name, status)

        return handler

    def operation(self, name: str) -> Callable[[], Awaitable[str]]:
        """Return a handler without parameters."""

        async def operation() -> str:
            self.note(name)
            return name

        return operation

    def dependency(self, name: str) -> Callable[[], None]:
        """Return a dependency that gives nothing."""

        def dependency() -> None:
            self.note(name)

        return dependency

    def socket(self, name: str) -> Callable[[WebSocket], Awaitable[None]]:
        """Return a handler of websockets."""

        async def socket(websocket: WebSocket) -> None:
            self.note(name)
            await websocket.accept()
            await websocket.close()

        return socket

    def app(self, name: str, status: int = 200, **headers: str) -> ASGIApp:
        """Return an ASGI app without routes."""

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            self.note(name)
            await PlainTextResponse(name, status, headers)(scope, receive, send)

        return app


def rewriting(old: str, new: str, copy: Callable[[Any], Any] = lambda scope: scope) -> Any:
    """Return middleware that changes paths, in a copy of the scope that *copy* makes."""

    class Rewriting:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope = copy(scope)
            scope["path"] = scope["path"].replace(old, new)
            await self.app(scope, receive, send)

    return Rewriting


class Answer(NamedTuple):
    """What an app said to one request."""

    status: int
    headers: dict[str, str]
    text: str


async def ask(
    app: ASGIApp, method: str, path: str, token: str | None = None, *, root_path: str = "", **headers: str
) -> Answer:
    """Make one request, without a client in between: ten times as fast, and paths are what they are."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    if token is not None:
        raw.append((b"authorization", f"Bearer {token}".encode()))
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("api.example", 80),
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": root_path,
        "query_string": b"",
        "headers": raw,
    }
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, no_body, send)
    start, *rest = sent
    assert start["type"] == "http.response.start"
    return Answer(
        start["status"],
        {name.decode(): value.decode() for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in rest).decode(),
    )
