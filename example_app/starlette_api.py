"""The same orders API on plain Starlette."""

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from cognito_guard import CognitoGuard, UserPool
from example_app.orders import Order, PlacedOrder


def make_api(guard: CognitoGuard) -> Starlette:
    """Return the orders API, guarded by *guard*, with no orders yet."""
    orders: list[PlacedOrder] = []

    @guard.public
    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    @guard.require("orders/order.read")
    async def list_orders(_request: Request) -> Response:
        return JSONResponse([order.model_dump() for order in orders])

    @guard.require("orders/order.write")
    async def place_order(request: Request) -> Response:
        try:
            order = Order.model_validate_json(await request.body())
        except ValidationError as error:
            return Response(error.json(), 422, media_type="application/json")
        placed = PlacedOrder(**order.model_dump(), placed_by=request.user.client_id)
        orders.append(placed)
        return JSONResponse(placed.model_dump(), 201)

    @guard.authenticated
    async def me(request: Request) -> Response:
        return JSONResponse({"client_id": request.user.client_id, "scopes": sorted(request.user.scopes)})

    @guard.require("orders/order.read")
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        for order in orders:
            await websocket.send_json(order.model_dump())
        await websocket.close()

    api = Starlette(
        routes=[
            Route("/health", health),
            Route("/orders", list_orders),
            Route("/orders", place_order, methods=["POST"]),
            Route("/me", me),
            WebSocketRoute("/feed", feed),
        ]
    )
    # Every route needs a valid access token now, even without a decorator.
    guard.install(api)
    return api


def create_app() -> Starlette:
    """Return the API for the pool in `COGNITO_*` variables; run it like that of `example_app.api`."""
    return make_api(CognitoGuard(UserPool.from_env()))
