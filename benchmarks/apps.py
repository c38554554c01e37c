"""The smallest apps there are, bare and guarded."""

# No `from __future__ import annotations` here: FastAPI could not find the local names of a function.

import time
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.pool import SCOPE
from cognito_guard import CognitoGuard, Principal

PATH: Final = "/orders"

How = Literal["middleware", "decorator", "depends"]


def starlette_app(guard: CognitoGuard | None = None, how: How = "middleware") -> Starlette:
    """Return a Starlette app with one route. A *guard* guards it, and may also require a scope."""

    async def orders(_request: Request) -> Response:
        return PlainTextResponse("ok")

    endpoint = orders if guard is None or how == "middleware" else guard.require(SCOPE)(orders)
    app = Starlette(routes=[Route(PATH, endpoint)])
    if guard is not None:
        guard.install(app)
    return app


def fastapi_app(guard: CognitoGuard | None = None, how: How = "middleware") -> FastAPI:
    """Return a FastAPI app with one route. A *guard* guards it, and may also require a scope."""
    app = FastAPI()
    if guard is None or how == "middleware":

        @app.get(PATH)
        async def orders() -> dict[str, str]:
            return {"status": "ok"}

    elif how == "decorator":

        @app.get(PATH)
        @guard.require(SCOPE)
        async def decorated_orders() -> dict[str, str]:
            return {"status": "ok"}

    else:

        @app.get(PATH)
        async def depending_orders(_: Annotated[Principal, Depends(guard.require(SCOPE))]) -> dict[str, str]:
            return {"status": "ok"}

    if guard is not None:
        guard.install(app)
    return app


def with_idle_middleware(app: Starlette) -> Starlette:
    """Return *app* with a `BaseHTTPMiddleware` that does nothing, for comparison."""

    async def pass_on(request: Request, call_next: RequestResponseEndpoint) -> Response:
        return await call_next(request)

    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_on)
    return app


class Floor:
    """
    The least that any guard must do around *app* for a token seen before. It guards nothing.

    It finds the header in the list, looks its SHA-256 up in a dictionary, reads the clock, and wraps `send` in a
    function. It does not look at the route, and tells the app nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app
        self._seen: Final[dict[bytes, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        values = [value for name, value in scope["headers"] if name == b"authorization"]
        digest = sha256(values[0]).digest()
        if self._seen.get(digest, 0.0) < time.time():
            self._seen[digest] = time.time() + 3600

        def pass_on(message: Any) -> Any:
            return send(message)

        await self._app(scope, receive, pass_on)
