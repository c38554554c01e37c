"""Builds the response to a refused request. This is the only place that answers instead of the app."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from cognito_guard._fastapi import http_exception, is_default_handler
from cognito_guard._principal import Principal
from cognito_guard._refusals.account import account_of
from cognito_guard._refusals.challenge import challenge, check_realm
from cognito_guard._report.reporter import Reporter
from cognito_guard._tokens.verifier import Verifier
from cognito_guard.errors import KeysUnavailableError, RefusalError

OnError = Callable[[HTTPConnection, RefusalError], Response | Awaitable[Response]]

UNAUTHORIZED: Final = 3000
"""The registered close code for missing credentials (IANA, WebSocket Close Codes)."""

# The registered codes for missing permission and for "try again later".
_CLOSE_CODES: Final = {403: 3003, 503: 1013}


class Refusals:
    """
    Builds the responses to refused requests.

    Args:
        realm: The realm for challenges (RFC 9110 section 11.5), or None.
        on_error: Returns the response instead of the JSON object. May be a coroutine function.
        reporter: Is told about each refusal.

    Raises:
        ConfigurationError: The realm cannot be quoted in a header.

    """

    def __init__(self, *, realm: str | None, on_error: OnError | None, reporter: Reporter) -> None:
        self._realm: Final = check_realm(realm)
        self._on_error: Final = on_error
        self._reporter: Final = reporter

    def prepare(
        self,
        error: RefusalError,
        principal: Principal | None,
        scope: Scope,
        credentials_of: Callable[[], list[bytes]],
        verifier: Verifier,
    ) -> RefusalError:
        """Report *error*, and return a copy with the headers of its answer. Only a report needs the credentials."""
        self._reporter.refused(
            error, principal, lambda: account_of(error, principal, scope, credentials_of(), verifier)
        )
        return error.with_headers(self._headers(error))

    def settle(self) -> None:
        """Write the counts of refusals that are not written yet."""
        self._reporter.settle()

    def _headers(self, error: RefusalError) -> dict[str, str]:
        if isinstance(error, KeysUnavailableError):
            return {"retry-after": str(error.retry_after)}
        return {"www-authenticate": challenge(error, self._realm)}

    def is_left_to(self, app: object, error: RefusalError) -> bool:
        """Return whether *app* answers *error* itself, with a registered handler."""
        return self._on_error is None and _handler(app, error) is not None

    async def send(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        error: RefusalError,
        apps: tuple[object, ...],
        is_open: bool = False,
    ) -> None:
        """
        Answer with *error*: by `on_error`, by a handler that one of *apps* registered, or with a JSON object.

        A websocket is closed if it *is_open*, or if the server does not have the denial extension.
        """
        denies = not is_open and "websocket.http.response" in scope.get("extensions", {})
        if scope["type"] == "websocket" and not denies:
            code = _CLOSE_CODES.get(error.status, UNAUTHORIZED)
            await send({"type": "websocket.close", "code": code, "reason": error.reason})
            return
        handlers = (_handler(app, error) or _fastapi_handler(app) for app in apps)
        handler: Callable[[Any, Any], Any] | None = self._on_error or next(filter(None, handlers), None)
        if handler is None:
            await _send_json(scope, send, error)
        else:
            conn = Request(scope, receive) if scope["type"] == "http" else WebSocket(scope, receive, send)
            response = await self._response(handler, conn, error)
            await response(scope, receive, send)
        error.__traceback__ = None

    async def _response(
        self, handler: Callable[[Any, Any], Any], conn: HTTPConnection, error: RefusalError
    ) -> Response:
        if inspect.iscoroutinefunction(handler):
            made = handler(conn, error)
        else:
            made = await run_in_threadpool(handler, conn, error)
        response: Response = await made if inspect.isawaitable(made) else made
        for name, value in (error.headers or {}).items():
            response.headers.setdefault(name, value)
        return response


async def _send_json(scope: Scope, send: Send, error: RefusalError) -> None:
    """Send the same as `JSONResponse`. Making one would take as long as the rest of a refusal."""
    body, headers = _json(error.code or error.reason, error.description)
    own = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (error.headers or {}).items()]
    prefix = "websocket." if scope["type"] == "websocket" else ""
    await send({"type": f"{prefix}http.response.start", "status": error.status, "headers": own + headers})
    await send({"type": f"{prefix}http.response.body", "body": body})


# The strings come from a fixed vocabulary: see `cognito_guard.errors`.
@lru_cache(maxsize=64)
def _json(code: str, description: str) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    response = JSONResponse({"error": code, "error_description": description})
    return bytes(response.body), response.raw_headers


def _fastapi_handler(app: object) -> Callable[[Any, Any], Any] | None:
    """Return the handler that *app* registered for FastAPI's HTTPException. Ours is a subclass of Starlette's only."""
    handler: Callable[[Any, Any], Any] | None = _handlers(app).get(http_exception())
    return handler


def _handler(app: object, error: RefusalError) -> Callable[[Any, Any], Any] | None:
    """Return the handler that *app* itself registered for *error*: for its status, or for one of its classes."""
    handlers = _handlers(app)
    classes = type(error).__mro__
    for key in (error.status, *classes[: classes.index(HTTPException) + 1]):
        handler: Callable[[Any, Any], Any] | None = handlers.get(key)
        # FastAPI registers a default handler for HTTPException. The app did not choose it.
        if handler is not None and not is_default_handler(handler):
            return handler
    return None


def _handlers(app: object) -> Mapping[Any, Any]:
    # Other frameworks have an attribute with this name, but call its handlers in another way.
    return app.exception_handlers if isinstance(app, Starlette) else {}
