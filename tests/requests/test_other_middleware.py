"""The guard among other middleware."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import anyio
import httpx
import pytest
from fastapi import Body, Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.httpsredirect import HTTPSRedirectMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from cognito_guard import CognitoGuard
from tests.requests.apps import READ, WRITE, inside

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]

JSON = {"content-type": "application/json"}
ORIGIN = {"origin": "https://shop.example"}
PREFLIGHT = ORIGIN | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


class Passing(BaseHTTPMiddleware):
    """Does nothing, in the way of Starlette's base class."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        response: Response = await call_next(request)
        return response


class Reading(BaseHTTPMiddleware):
    """Reads bodies before the routes are asked, to log them."""

    async def dispatch(self, request: Request, call_next: Any) -> Response:
        await request.body()
        response: Response = await call_next(request)
        return response


STACK = {
    "cors": Middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["authorization"], allow_methods=["*"]),
    "gzip": Middleware(GZipMiddleware, minimum_size=10),
    "hosts": Middleware(TrustedHostMiddleware, allowed_hosts=["api.example"]),
    "base": Middleware(Passing),
}
ORDERS = [list(STACK), list(reversed(STACK)), ["gzip", "base", "cors", "hosts"], ["base", "hosts", "gzip", "cors"]]


@pytest.mark.parametrize("order", ORDERS, ids="-".join)
@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_the_order_of_middleware_does_not_matter(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, framework: Any, order: list[str]
) -> None:
    """The guard is inside of all of it, so that each does its part for answers of the guard as well."""
    app = framework(routes=[Route("/orders", guard.require(WRITE)(inside))])
    for name in order[:2]:
        app.add_middleware(STACK[name].cls, **STACK[name].kwargs)
    guard.install(app)
    for name in order[2:]:
        app.add_middleware(STACK[name].cls, **STACK[name].kwargs)

    accepted = await call(app, "GET", "/orders", may_write, headers=ORIGIN)
    assert (accepted.status_code, accepted.text) == (200, "inside" * 200)
    for token, status in ((None, 401), (may_read, 403)):
        refused = await call(app, "GET", "/orders", token, headers=ORIGIN)
        assert (refused.status_code, refused.headers["www-authenticate"][:6]) == (status, "Bearer")
        assert refused.json()["error"] in {"missing_token", "insufficient_scope"}
        assert refused.headers["access-control-allow-origin"] == "*"
        assert refused.headers["content-encoding"] == accepted.headers["content-encoding"] == "gzip"
    preflight = await call(app, "OPTIONS", "/orders", headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert (await call(app, "GET", "/orders", may_write, headers={"host": "evil"})).status_code == 400


async def test_strangers_are_sent_to_https_before_they_are_refused(
    guard: CognitoGuard, call: Call, may_read: str
) -> None:
    app = Starlette(routes=[Route("/orders", inside)])
    guard.install(app)
    app.add_middleware(HTTPSRedirectMiddleware)

    redirect = await call(app, "GET", "/orders", may_read)
    assert (redirect.status_code, redirect.headers["location"]) == (307, "https://api.example/orders")


@pytest.mark.parametrize("where", ["outside", "in-a-sub-app", "in-a-mount"])
async def test_streams_go_through_the_base_class_of_middleware(
    guard: CognitoGuard, call: Call, may_read: str, where: str
) -> None:
    async def stream(request: Request) -> Response:
        async def chunks() -> AsyncIterator[str]:
            for chunk in "abc":
                await anyio.lowlevel.checkpoint()
                yield chunk

        return StreamingResponse(chunks())

    app = layered(where, Passing, [Route("/x", guard.require(READ)(stream)), Route("/y", guard.require(WRITE)(stream))])
    guard.install(app)

    assert (await call(app, "GET", "/sub/x", may_read)).text == "abc"
    assert (await call(app, "GET", "/sub/y", may_read)).json()["error"] == "insufficient_scope"
    assert (await call(app, "GET", "/sub/y")).json()["error"] == "missing_token"


def layered(where: str, middleware: type[BaseHTTPMiddleware], routes: list[Any], sub: Any = None) -> Starlette:
    """Return an app with *routes* below /sub and *middleware* somewhere around them."""
    if where == "in-a-mount":
        return Starlette(routes=[Mount("/sub", routes=routes, middleware=[Middleware(middleware)])])
    sub = sub or Starlette()
    sub.router.routes += routes
    app = Starlette(routes=[Mount("/sub", app=sub)])
    (app if where == "outside" else sub).add_middleware(middleware)
    return app


@pytest.mark.parametrize("where", ["outside", "in-a-sub-app"])
@pytest.mark.parametrize("middleware", [Passing, Reading])
@pytest.mark.parametrize("shaped", [False, True])
async def test_403_beats_422_even_if_the_body_was_read_before(
    guard: CognitoGuard,
    call: Call,
    may_read: str,
    may_write: str,
    where: str,
    middleware: type[BaseHTTPMiddleware],
    shaped: bool,
) -> None:
    async def shape(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"error": "shaped"}, error.status_code)

    sub = FastAPI()

    @sub.post("/decorated")
    @guard.require(WRITE)
    async def decorated(order: Annotated[dict[str, str], Body()]) -> str:
        return "inside"

    @sub.post("/depending", dependencies=[Depends(guard.require(WRITE))])
    async def depending(order: Annotated[dict[str, str], Body()]) -> str:
        return "inside"

    app = layered(where, middleware, [], sub)
    if shaped:
        sub.add_exception_handler(HTTPException, shape)  # type: ignore[arg-type]
    guard.install(app)

    for path in ("/sub/decorated", "/sub/depending"):
        for content, status in ((b"{broken", 422), (b"[]", 422), (b'{"item": "book"}', 200)):
            sent: dict[str, Any] = {"content": content, "headers": JSON}
            assert (await call(app, "POST", path, may_write, **sent)).status_code == status
            refused = await call(app, "POST", path, may_read, **sent)
            assert (refused.status_code, refused.json()["error"]) == (403, "shaped" if shaped else "insufficient_scope")


@pytest.mark.parametrize("shaped", [False, True])
async def test_a_refusal_is_reported_and_answered_once(
    make_guard: MakeGuard, call: Call, may_read: str, shaped: bool
) -> None:
    reported: list[str] = []
    answered: list[str] = []

    async def shape(request: Request, error: HTTPException) -> Response:
        answered.append(request.url.path)
        return JSONResponse({}, error.status_code)

    guard = make_guard(on_event=lambda event: reported.append(type(event).__name__))
    app = FastAPI()

    @app.post("/decorated")
    @guard.require(WRITE)
    async def decorated(order: Annotated[dict[str, str], Body()]) -> None: ...

    @app.get("/depending", dependencies=[Depends(guard.require(WRITE))])
    async def depending() -> None: ...

    if shaped:
        app.add_exception_handler(HTTPException, shape)  # type: ignore[arg-type]
    guard.install(app)

    for method, path in (("POST", "/decorated"), ("GET", "/depending")):
        assert (await call(app, method, path, may_read)).status_code == 403
        assert reported.count("Refused") == 1
        assert answered == ([path] if shaped else [])
        reported.clear()
        answered.clear()


async def test_middleware_outside_of_the_guard_is_not_guarded(guard: CognitoGuard, call: Call) -> None:
    """The guard is the innermost middleware: others may answer before it is asked, and so for strangers."""

    class Metrics(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            return PlainTextResponse("metrics")

    app = Starlette(routes=[Route("/orders", inside)])
    guard.install(app)
    app.add_middleware(Metrics)

    assert (await call(app, "GET", "/orders")).text == "metrics"
