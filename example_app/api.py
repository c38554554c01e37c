"""The orders API on FastAPI."""

# No `from __future__ import annotations` here: FastAPI could not find `guard` for the annotations below.
from typing import Annotated

from fastapi import Depends, FastAPI, WebSocket

from cognito_guard import CognitoGuard, Principal, UserPool
from example_app.orders import Order, PlacedOrder


def make_api(guard: CognitoGuard) -> FastAPI:
    """Return the orders API, guarded by *guard*, with no orders yet."""
    api = FastAPI(title="Orders")
    orders: list[PlacedOrder] = []

    # Every route needs a valid access token now, except FastAPI's own pages (/docs).
    guard.install(api, public_docs=True)
    guard.describe_scopes({"orders/order.read": "Read orders", "orders/order.write": "Place orders"})

    @api.get("/health")
    @guard.public
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @api.get("/orders")
    @guard.require("orders/order.read")
    async def list_orders() -> list[PlacedOrder]:
        return orders

    @api.post("/orders", status_code=201)
    async def place_order(
        order: Order, caller: Annotated[Principal, Depends(guard.require("orders/order.write"))]
    ) -> PlacedOrder:
        placed = PlacedOrder(**order.model_dump(), placed_by=caller.client_id)
        orders.append(placed)
        return placed

    @api.get("/me")
    async def me(caller: Annotated[Principal, Depends(guard.authenticated)]) -> dict[str, str | list[str]]:
        return {"client_id": caller.client_id, "scopes": sorted(caller.scopes)}

    @api.websocket("/feed")
    @guard.require("orders/order.read")
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        for order in orders:
            await websocket.send_json(order.model_dump())
        await websocket.close()

    return api


def create_app() -> FastAPI:
    """Return the API for the pool in `COGNITO_*` variables: `uvicorn --factory example_app.api:create_app`."""
    return make_api(CognitoGuard(UserPool.from_env()))
