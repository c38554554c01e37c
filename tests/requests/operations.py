"""Every shape of path operation, guarded."""

from collections.abc import AsyncIterator, Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from cognito_guard import CognitoGuard, Principal

WRITE = "orders/order.write"


class Order(BaseModel):
    item: str


def fastapi_app(guard: CognitoGuard) -> FastAPI:
    """Every shape of path operation, each asking for the scope to write."""
    app = FastAPI()
    writer = guard.require(WRITE)

    @app.get("/coroutine")
    @guard.require(WRITE)
    async def coroutine() -> str:
        return "reached"

    @app.get("/function")
    @guard.require(WRITE)
    def function() -> str:
        return "reached"

    @app.get("/query")
    @guard.require(WRITE)
    async def query(limit: int) -> str:
        return "reached"

    @app.post("/decorated")
    @guard.require(WRITE)
    async def decorated(order: Order) -> str:
        return "reached"

    @app.get("/with-request")
    @guard.require(WRITE)
    async def with_request(request: Request) -> str:
        return "reached"

    @app.get("/partial")
    @guard.require(WRITE)
    async def with_default(item: str = "reached") -> str:
        return item

    @app.post("/depends")
    async def depends(order: Order, caller: Annotated[Principal, Depends(writer)]) -> str:
        return "reached"

    @app.post("/security")
    async def security(order: Order, caller: Annotated[Principal, Security(writer)]) -> str:
        return "reached"

    @app.post("/route", dependencies=[Depends(writer)])
    async def route(order: Order) -> str:
        return "reached"

    def caller_of(caller: Annotated[Principal, Depends(writer)]) -> str:
        return caller.client_id

    @app.post("/nested")
    async def nested(order: Order, client_id: Annotated[str, Depends(caller_of)]) -> str:
        return "reached"

    router = APIRouter(prefix="/router", dependencies=[Depends(writer)])

    @router.post("/included")
    async def included(order: Order) -> str:
        return "reached"

    outer = APIRouter(prefix="/outer")
    outer.include_router(router)
    app.include_router(router)
    app.include_router(outer)

    @app.get("/stream", response_class=StreamingResponse)
    @guard.require(WRITE)
    async def stream() -> AsyncIterator[str]:
        yield "reached"

    @app.get("/sync-stream", response_class=StreamingResponse)
    @guard.require(WRITE)
    def sync_stream() -> Iterator[str]:
        yield "reached"

    return app


GETS = ["/coroutine", "/function", "/query?limit=1", "/with-request", "/partial", "/stream", "/sync-stream"]
POSTS = ["/decorated", "/depends", "/security", "/route", "/nested", "/router/included", "/outer/router/included"]
FASTAPI = [*(("GET", path) for path in GETS), *(("POST", path) for path in POSTS)]
