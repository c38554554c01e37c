"""The smallest apps there are, bare and guarded."""

# Annotations are no strings here: FastAPI could not look up what is local to a function.

from typing import Annotated, Final, Literal

from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.pool import SCOPE
from cognito_guard import CognitoGuard, Principal

PATH: Final = "/orders"

How = Literal["middleware", "decorator", "depends"]


def starlette_app(guard: CognitoGuard | None = None, how: How = "middleware") -> Starlette:
    """Return a Starlette app with one route, guarded if there is a *guard*; that may also judge the scope."""

    async def orders(_request: Request) -> Response:
        return PlainTextResponse("ok")

    endpoint = orders if guard is None or how == "middleware" else guard.require(SCOPE)(orders)
    app = Starlette(routes=[Route(PATH, endpoint)])
    if guard is not None:
        guard.install(app)
    return app


def fastapi_app(guard: CognitoGuard | None = None, how: How = "middleware") -> FastAPI:
    """Return a FastAPI app with one route, guarded if there is a *guard*; that may also judge the scope."""
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
