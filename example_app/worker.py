"""The second service: a worker that places orders at the orders API, with its own tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cognito_guard.client import ClientCredentials
from cognito_guard.errors import TokenRequestError


def make_worker(
    api: str, credentials: ClientCredentials, transport: httpx.AsyncBaseTransport | None = None
) -> Starlette:
    """
    Return the worker.

    Args:
        api: URL of the orders API.
        credentials: The client of the worker. It buys a token for the first order and uses it until it expires.
        transport: Sends the requests to the API; by default over new connections.

    """
    # Each request of this client carries the token. Nothing else is needed.
    orders = httpx.AsyncClient(base_url=api, auth=credentials, transport=transport)

    async def reorder(_request: Request) -> Response:
        """Place the order that this worker is for."""
        try:
            placed = await orders.post("/orders", json={"item": "tea", "quantity": 10})
        except TokenRequestError as error:
            return JSONResponse({"error": str(error)}, 502)
        except httpx.TransportError as error:
            return JSONResponse({"error": f"the orders API cannot be reached: {type(error).__name__}"}, 502)
        return JSONResponse(placed.json(), placed.status_code)

    async def tokens(_request: Request) -> Response:
        """Return what the worker's tokens have cost so far."""
        return JSONResponse(asdict(credentials.status()))

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with orders:
            yield

    return Starlette(
        routes=[Route("/reorder", reorder, methods=["POST"]), Route("/tokens", tokens)],
        lifespan=lifespan,
    )
