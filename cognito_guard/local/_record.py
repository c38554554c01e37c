"""Records the last requests, for the console and for tests that count them."""

from __future__ import annotations

import logging
import time
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_KEY: Final = "cognito_guard.local"
_MOST_REQUESTS: Final = 200
_LONGEST_SHOWN: Final = 80  # characters

_log: Final = logging.getLogger("cognito_guard.local")


def _now() -> float:
    # Looked up at each call: libraries that freeze time replace time.time.
    return time.time()


@dataclass(slots=True)
class SeenRequest:
    """
    A recorded request.

    Attributes:
        method: Its HTTP method.
        path: Its path, without the query.
        status: The status of the answer; None if there is none yet, or if the caller disconnected before it.
        client_id: The client that authenticated at the token endpoint.
        reason: Why it was refused, in a sentence for people, without secrets and tokens. None if it was not refused.
        at: When it arrived, in seconds since the epoch.

    """

    method: str
    path: str
    status: int | None = None
    client_id: str | None = None
    reason: str | None = field(default=None, compare=False)
    at: float = field(default_factory=_now, compare=False)


class Recorder:
    """Records each HTTP request on its way to *app*. Keeps the last 200."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._seen: deque[SeenRequest] = deque(maxlen=_MOST_REQUESTS)

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """The recorded requests, the oldest first."""
        return tuple(self._seen)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        seen = SeenRequest(scope["method"], scope["path"])
        self._seen.append(seen)

        async def note_status(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = status = message["status"]
                if status >= HTTPStatus.BAD_REQUEST and seen.reason is None:
                    _note(seen, _plain_reason(message))
            await send(message)

        await self._app({**scope, _KEY: seen}, receive, note_status)


def note_client(request: Request, client_id: str) -> None:
    """Record that *request* comes from this client."""
    seen: SeenRequest = request.scope[_KEY]
    seen.client_id = client_id


def note_reason(request: Request, reason: str) -> None:
    """Record why *request* is refused, and log it. *reason* must not contain a secret or a token."""
    _note(request.scope[_KEY], reason)


def shown(text: str) -> str:
    """Return text from a request in a form that can be shown: one short line of ASCII."""
    printable = text.encode("ascii", "backslashreplace").decode()
    printable = "".join(character if character.isprintable() else repr(character)[1:-1] for character in printable)
    return printable if len(printable) <= _LONGEST_SHOWN else printable[:_LONGEST_SHOWN] + "..."


def _note(seen: SeenRequest, reason: str) -> None:
    seen.reason = reason
    _log.warning("refused %s %s: %s", shown(seen.method), shown(seen.path), reason)


def _plain_reason(start: Message) -> str:
    """Return a reason for a request that the framework refused: an unknown path or a wrong method."""
    allowed = [value.decode() for name, value in start["headers"] if name.lower() == b"allow"]
    phrase = HTTPStatus(start["status"]).phrase
    return f"{phrase}; allowed is {', '.join(allowed)}." if allowed else f"{phrase}."
