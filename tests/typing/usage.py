"""
The API as users write it: type checkers accept all of this and know the types. Nothing here is run.

What must not be accepted stands in misuse.py.
"""

import functools
from collections.abc import Callable
from typing import Annotated, assert_type

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send

from cognito_guard import (
    ANY_CLIENT,
    CognitoGuard,
    CognitoGuardMiddleware,
    KeyPolicy,
    Principal,
    UserPool,
    audit,
    errors,
    events,
)
from cognito_guard.client import ClientCredentials, MemoryStore
from cognito_guard.local import LocalCognito, LocalPool, serving

# -- a guard


def on_event(event: events.Event) -> None:
    if isinstance(event, events.Refused):
        assert_type(event.reason, str)


def on_error(conn: HTTPConnection, error: errors.RefusalError) -> Response:
    return JSONResponse({"problem": error.description}, error.status, error.headers)


async def on_error_async(conn: HTTPConnection, error: errors.RefusalError) -> Response:
    return on_error(conn, error)


pool = UserPool("eu-central-1_AbCdEf123", client_ids={"7lhlkkfbfb4q5kpp90urffao"}, resource_servers={"orders"})
pools = [
    UserPool("eu-central-1_AbCdEf123", client_ids=["7lhlkkfbfb4q5kpp90urffao"], replica_regions=["eu-west-1"]),
    UserPool("eu-central-1_Other1234", client_ids=ANY_CLIENT, audience="https://api.example", jwks={"keys": []}),
    UserPool.from_env(),
]
guard = CognitoGuard(
    *pools,
    leeway=5,
    key_policy=KeyPolicy(max_age=3600, stale_for=86400.0, cooldown=10, timeout=3),
    token_cache=0,
    realm="Orders",
    on_event=on_event,
    on_error=on_error,
)
CognitoGuard(pool, on_error=on_error_async)


# -- FastAPI


class Order(BaseModel):
    item: str


app = FastAPI()
guard.install(app, public_paths={("GET", "/metrics")}, public_docs=True, strict=True, opaque=["/static"])
guard.describe_scopes({"orders/order.read": "Read orders"})

Writer = Annotated[Principal, Depends(guard.require("orders/order.write"))]
router = APIRouter(dependencies=[Depends(guard.require_any("orders/order.read", "orders/order.write"))])


@app.get("/health")
@guard.public
async def health() -> str:
    return "ok"


@app.get("/orders")
@guard.require("orders/order.read")
async def list_orders(limit: int = 5) -> list[Order]:
    return []


@app.post("/orders")
async def place_order(order: Order, caller: Writer) -> str:
    assert_type(caller, Principal)
    return caller.client_id


@router.get("/admin")
@guard.require_groups("admins")
@guard.authenticated
def admin(caller: Annotated[Principal, Security(guard.authenticated, scopes=["orders/order.read"])]) -> str | None:
    return caller.username


@app.websocket("/feed")
@guard.require("orders/order.read")
async def feed(websocket: WebSocket) -> None:
    principal = guard.principal(websocket)
    assert_type(principal, Principal | None)
    await websocket.accept()


def owns_the_order(principal: Principal, conn: HTTPConnection) -> bool:
    return principal.subject == str(conn.path_params["owner"])


@router.delete("/orders/{owner}")
@guard.require_that(owns_the_order, "the owner of the order")
@guard.user_only
async def delete_order(owner: str) -> None: ...


@app.get("/report", dependencies=[Depends(guard.machine_only)])
async def report() -> str:
    return "a report"


def may_write(principal: Principal | None, conn: HTTPConnection) -> bool:
    return guard.require("orders/order.write").is_met_by(principal, conn) or guard.authenticated.is_met_by(principal)


# A guarded handler keeps its signature.
handler: Callable[..., object] = list_orders
app.dependency_overrides[guard.require("orders/order.write")] = lambda: None


# -- Starlette, and any other ASGI app


@guard.require("orders/order.read")
async def show(request: Request) -> Response:
    caller = guard.principal(request)
    return PlainTextResponse("nobody" if caller is None else caller.client_id)


@guard.require("orders/order.read")
class Orders(HTTPEndpoint):
    @guard.require("orders/order.write")
    async def post(self, request: Request) -> Response:
        return PlainTextResponse("placed")


async def asgi(scope: Scope, receive: Receive, send: Send) -> None: ...


starlette = Starlette(
    routes=[
        Route("/show", show),
        Route("/orders", Orders),
        Route("/health", guard.public(functools.partial(show))),
        WebSocketRoute("/feed", feed),
        Mount("/files", app=guard.require("orders/order.read").wrap(asgi)),
        Mount("/open", app=guard.public(asgi)),
    ],
    middleware=[Middleware(CognitoGuardMiddleware, guard=guard)],
)
wrapped = CognitoGuardMiddleware(asgi, guard=guard, public_paths=[("GET", "/health")])


# -- outside of HTTP


async def consume(token: str) -> tuple[str, frozenset[str]]:
    try:
        principal = await guard.verify(token)
    except errors.KeysUnavailableError:
        raise
    except errors.InvalidTokenError as error:
        assert_type(error.reason, str)
        assert_type(guard.explain(token, error), str)
        raise
    assert_type(principal, Principal)
    return principal.client_id, principal.scopes


async def ready() -> bool:
    await guard.prefetch()
    return all(state["ready"] for state in guard.status().values())


# -- the calling side


credentials = ClientCredentials(
    "https://orders.example/oauth2/token",
    client_id="7lhlkkfbfb4q5kpp90urffao",
    client_secret=lambda: "secret",
    scopes=["orders/order.read"],
    store=MemoryStore(),
)


async def call_orders() -> int:
    async with httpx.AsyncClient(auth=credentials, base_url="https://orders.example") as client:
        return (await client.get("/orders")).status_code


def call_orders_from_a_script() -> int:
    with httpx.Client(auth=credentials) as client:
        return client.get("https://orders.example/orders").status_code


# -- audits and tests


def test_every_route_says_what_it_requires() -> None:
    audit.assert_guarded(app)
    for route in audit.routes(app):
        assert_type(route, audit.RouteEntry)


@pytest.fixture(name="guard")
def guard_under_test() -> CognitoGuard:
    return guard


def test_over_http() -> None:
    local = LocalPool("eu-central-1_AbCdEf123")
    client = local.add_client(scopes=["orders/order.read"])
    with serving(LocalCognito(local)) as url:
        assert_type(url, str)
    assert_type(local.mint("orders/order.read", client_id=client.client_id), str)
