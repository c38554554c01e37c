"""The last requests seen, for the eye and for tests that count."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEY: Final = "cognito_guard.local"
_MOST_REQUESTS: Final = 200


@dataclass(slots=True)
class SeenRequest:
    """
    A request that came in.

    Attributes:
        method: Its HTTP method.
        path: Its path, without the query.
        status: The status it was answered with; None while it is not, and for good if the caller left before.
        client_id: The client that proved at the token endpoint who it is.
        reason: Why it was refused, in a sentence for people. It names no secret and no token. None if it was not.
        at: When it came in, in seconds since the epoch.

    """

    method: str
    path: str
    status: int | None = None
    client_id: str | None = None
    reason: str | None = field(default=None, compare=False)
    at: float = field(default_factory=time.time, compare=False)


class Recorder:
    """Notes each HTTP request on its way to *app*, and drops the oldest when there are 200."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._seen: deque[SeenRequest] = deque(maxlen=_MOST_REQUESTS)

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """The requests seen, the oldest first."""
        return tuple(self._seen)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the connection on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = SeenRequest(scope["method"], scope["path"])
        self._seen.append(seen)

        async def note_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
            await send(message)

        await self._app({**scope, _KEY: seen}, receive, note_status)


def note_client(request: Request, client_id: str) -> None:
    """Note that *request* is of that client."""
    seen: SeenRequest = request.scope[_KEY]
    seen.client_id = client_id


def note_reason(request: Request, reason: str) -> None:
    """Note why *request* is refused."""
    seen: SeenRequest = request.scope[_KEY]
    seen.reason = reason
