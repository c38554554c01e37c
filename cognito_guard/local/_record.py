"""The last requests seen, for the eye and for tests that count."""

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
    at: float = field(default_factory=_now, compare=False)


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
                seen.status = status = message["status"]
                if status >= HTTPStatus.BAD_REQUEST and seen.reason is None:
                    _note(seen, _plain_reason(message))
            await send(message)

        await self._app({**scope, _KEY: seen}, receive, note_status)


def note_client(request: Request, client_id: str) -> None:
    """Note that *request* is of that client."""
    seen: SeenRequest = request.scope[_KEY]
    seen.client_id = client_id


def note_reason(request: Request, reason: str) -> None:
    """Note why *request* is refused, and say it in the log. *reason* names no secret and no token."""
    _note(request.scope[_KEY], reason)


def shown(text: str) -> str:
    """Return what a stranger sent as it may stand in a sentence: one line of ASCII, not long."""
    printable = text.encode("ascii", "backslashreplace").decode()
    printable = "".join(character if character.isprintable() else repr(character)[1:-1] for character in printable)
    return printable if len(printable) <= _LONGEST_SHOWN else printable[:_LONGEST_SHOWN] + "..."


def _note(seen: SeenRequest, reason: str) -> None:
    seen.reason = reason
    _log.warning("refused %s %s: %s", shown(seen.method), shown(seen.path), reason)


def _plain_reason(start: Message) -> str:
    """Return what the framework says of a request that it refuses itself: an unknown path, another method."""
    allowed = [value.decode() for name, value in start["headers"] if name.lower() == b"allow"]
    phrase = HTTPStatus(start["status"]).phrase
    return f"{phrase}; allowed is {', '.join(allowed)}." if allowed else f"{phrase}."
