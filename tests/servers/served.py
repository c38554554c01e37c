"""The apps that servers run in the tests, chosen by the Host header of a request."""

import functools
import os
import time
import warnings
from collections.abc import AsyncIterable, AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import ANY_CLIENT, CognitoGuard, Principal, UserPool

READ, WRITE = "orders/order.read", "orders/order.write"


def fetch(url: str, timeout: float) -> bytes:
    return os.environ["JWKS"].encode()


def guard_of(pool_id: str, **options: Any) -> CognitoGuard:
    pool = UserPool(pool_id, client_ids=ANY_CLIENT)
    seams: dict[str, Any] = {"fetch": fetch} | options
    return CognitoGuard(pool, **seams)


guard = guard_of(os.environ["POOL"])


async def inside(request: Request) -> Response:
    return PlainTextResponse("inside")


async def healthy(request: Request) -> Response:
    return PlainTextResponse("healthy")


@guard.require(WRITE)
async def place(request: Request) -> Response:
    return PlainTextResponse(f"inside {len(await request.body())}")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while (text := await websocket.receive_text()) != "bye":
        await websocket.send_text(text)
    await websocket.close()


class Methods(HTTPEndpoint):
    @guard.public
    async def get(self, request: Request) -> Response:
        return PlainTextResponse("healthy")

    async def delete(self, request: Request) -> Response:
        return PlainTextResponse("inside")


async def raw(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("inside")(scope, receive, send)


def routes() -> list[BaseRoute]:
    def public() -> Any:
        return guard.public(functools.partial(healthy))

    return [
        Route("/health", public()),
        Route("/orders", inside),
        Route("/orders", place, methods=["POST"]),
        Route("/methods", Methods),
        Route("/item/{number:int}", inside),
        Mount("/mounted", routes=[Route("/health", public()), Route("/orders", inside)]),
        Mount("/raw", app=raw),
        Mount("/files", app=StaticFiles(directory=os.environ["FILES"])),
        WebSocketRoute("/feed", echo),
        WebSocketRoute("/decorated", guard.require(WRITE)(echo)),
        WebSocketRoute("/open", guard.public(functools.partial(echo))),
    ]


starlette = Starlette(routes=routes())
guard.install(starlette)

fast = FastAPI()
guard.install(fast, public_docs=True)
fast.router.routes += routes()
gates: dict[str, anyio.Event] = {}


def gate(key: str) -> anyio.Event:
    return gates.setdefault(key, anyio.Event())


class Order(BaseModel):
    item: str


@fast.post("/json")
@guard.require(WRITE)
async def json_order(order: Order) -> str:
    return "inside"


@fast.websocket("/depends")
async def depends(websocket: WebSocket, caller: Annotated[Principal, Depends(guard.require(WRITE))]) -> None:
    await websocket.accept()
    await websocket.send_text(caller.client_id)
    await websocket.receive_text()
    await websocket.close()


@fast.get("/stream/{key}")
@guard.require(READ)
async def stream(key: str) -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await gate(key).wait()
            yield b"last"
        finally:
            gate("gone " + key).set()

    async def work() -> None:
        gate("done " + key).set()

    return StreamingResponse(chunks(), background=BackgroundTask(work))


@fast.get("/events/{key}", response_class=EventSourceResponse)
@guard.require(READ)
async def events(key: str) -> Any:
    yield {"n": 1}
    await gate(key).wait()
    yield {"n": 2}


@fast.get("/lines/{key}")
@guard.require(READ)
async def lines(key: str) -> AsyncIterable[dict[str, int]]:
    yield {"n": 1}
    await gate(key).wait()
    yield {"n": 2}


@fast.post("/gate/{key}")
@guard.public
async def open_gate(key: str) -> None:
    gate(key).set()


@fast.get("/wait/{key}")
@guard.public
async def wait(key: str) -> None:
    with anyio.fail_after(100):
        await gate(key).wait()


# Its keys cannot be fetched.


def fail(url: str, timeout: float) -> bytes:
    raise OSError


dark_guard = guard_of(os.environ["POOL"], fetch=fail)
dark = Starlette(routes=[Route("/orders", inside), WebSocketRoute("/feed", echo)])
dark_guard.install(dark)

# Connected clients move its clock.


class Clock:
    """The real clock, and so many seconds later."""

    later = 0.0

    def __call__(self) -> float:
        return time.time() + self.later


clock = Clock()
clocked_guard = guard_of(os.environ["POOL"], clock=clock)


async def clocked_feed(websocket: WebSocket) -> None:
    await websocket.accept()
    clock.later = float(await websocket.receive_text())
    await websocket.send_text("moved")
    await websocket.receive_text()
    await websocket.send_text("still here")
    clock.later = 0.0
    await websocket.receive_text()
    await websocket.close()


clocked = Starlette(routes=[Route("/orders", inside), WebSocketRoute("/feed", clocked_feed)])
clocked_guard.install(clocked)

# Two tenants, each with its own pool. The app around them has no guard.


def tenant(own: CognitoGuard) -> FastAPI:
    app = FastAPI()

    @app.get("/health")
    @own.public
    async def own_health() -> str:
        return "healthy"

    @app.get("/orders")
    @own.require(READ)
    async def own_orders() -> str:
        return "inside"

    own.install(app)
    return app


tenants = Starlette(
    routes=[
        Mount("/one", app=tenant(guard)),
        Mount("/two", app=tenant(guard_of(os.environ["OTHER"]))),
        Mount("/{name}/two", app=tenant(guard_of(os.environ["OTHER"]))),
    ]
)

with warnings.catch_warnings():
    # FastAPI prefers a root path from the server.
    warnings.simplefilter("ignore")
    rooted = FastAPI(root_path="/api")
rooted.router.routes += routes()
guard.install(rooted)

apps: dict[bytes, ASGIApp] = {
    b"starlette": starlette,
    b"dark": dark,
    b"clocked": clocked,
    b"tenants": tenants,
    b"rooted": rooted,
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    host = dict(scope.get("headers", ())).get(b"host", b"")
    await apps.get(host, fast)(scope, receive, send)
