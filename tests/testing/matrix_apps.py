"""An app that the tests of the matrix share, and a handler that refuses everybody."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cognito_guard import CognitoGuard

READ, WRITE = "orders/order.read", "orders/order.write"


async def forbid(request: Request) -> Response:
    return PlainTextResponse("not your order", 403)


def simple_app(guard: CognitoGuard, *middleware: Middleware) -> Starlette:
    app = Starlette(
        routes=[Route("/", guard.require(READ)(forbid)), Route("/{item:uuid}", guard.require(READ)(forbid))],
        middleware=middleware,
    )
    guard.install(app)
    return app
