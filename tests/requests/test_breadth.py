"""The guard among everything else that an app is made of."""

import functools
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import anyio
import httpx
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request, Security, WebSocket
from fastapi.routing import APIRoute
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
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
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware, Principal
from cognito_guard.local import LocalClient, LocalPool

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]

READ, WRITE = "orders/order.read", "orders/order.write"
JSON = {"content-type": "application/json"}
ORIGIN = {"origin": "https://shop.example"}
PREFLIGHT = ORIGIN | {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


@pytest.fixture
def may_read(pool: LocalPool, reader: LocalClient) -> str:
    return pool.mint(client_id=reader.client_id)


@pytest.fixture
def may_write(pool: LocalPool, writer: LocalClient) -> str:
    return pool.mint(client_id=writer.client_id)


async def inside(request: Request) -> Response:
    return PlainTextResponse("inside" * 200)


# -- other middleware


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
async def test_403_beats_422_whatever_has_read_the_body(
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


async def test_what_answers_outside_of_the_guard_is_not_guarded(guard: CognitoGuard, call: Call) -> None:
    """The guard is the innermost middleware: others may answer before it is asked, and so for strangers."""

    class Metrics(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            return PlainTextResponse("metrics")

    app = Starlette(routes=[Route("/orders", inside)])
    guard.install(app)
    app.add_middleware(Metrics)

    assert (await call(app, "GET", "/orders")).text == "metrics"


# -- FastAPI


async def test_generators_clean_up_around_a_refusal(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    seen: list[str] = []

    async def session() -> AsyncIterator[str]:
        seen.append("open")
        try:
            yield "session"
        except HTTPException as error:
            seen.append(f"rolled back for {error.status_code}")
            raise
        finally:
            seen.append("closed")

    app = FastAPI()

    @app.get("/after")
    async def after(
        db: Annotated[str, Depends(session)], caller: Annotated[Principal, Depends(guard.require(WRITE))]
    ) -> str:
        return db

    @app.get("/before")
    async def before(
        caller: Annotated[Principal, Depends(guard.require(WRITE))], db: Annotated[str, Depends(session)]
    ) -> str:
        return db

    @app.get("/decorated")
    @guard.require(WRITE)
    async def decorated(db: Annotated[str, Depends(session)]) -> str:
        return db

    guard.install(app)

    for path in ("/after", "/before", "/decorated"):
        assert (await call(app, "GET", path)).status_code == 401
        assert seen == []
        assert (await call(app, "GET", path, may_read)).status_code == 403
        assert seen == (["open", "rolled back for 403", "closed"] if path == "/after" else [])
        seen.clear()
        assert (await call(app, "GET", path, may_write)).json() == "session"
        assert seen == ["open", "closed"]
        seen.clear()


async def test_a_route_class_may_wrap_guarded_handlers(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    class Logged(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Any]:
            handler = super().get_route_handler()

            async def logged(request: Request) -> Response:
                await request.body()
                response: Response = await handler(request)
                response.headers["x-logged"] = "yes"
                return response

            return logged

    router = APIRouter(route_class=Logged, prefix="/logged")

    @router.post("/orders")
    @guard.require(WRITE)
    async def place(order: Annotated[dict[str, str], Body()]) -> str:
        return "inside"

    app = FastAPI()
    app.include_router(router)
    guard.install(app)

    accepted = await call(app, "POST", "/logged/orders", may_write, json={})
    assert (accepted.json(), accepted.headers["x-logged"]) == ("inside", "yes")
    assert (await call(app, "POST", "/logged/orders", may_read, content=b"{", headers=JSON)).status_code == 403
    assert (await call(app, "POST", "/logged/orders", content=b"{", headers=JSON)).status_code == 401


async def test_every_way_to_add_a_route_is_guarded(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    async def handler() -> str:
        return "inside"

    def guarded() -> Any:
        return guard.require(WRITE)(functools.partial(handler))

    app, router, nested = FastAPI(), APIRouter(prefix="/r"), APIRouter(prefix="/n", tags=["n"])
    app.add_api_route("/added", guarded())
    app.api_route("/both", methods=["GET", "PUT"])(guarded())
    app.put("/put")(guarded())
    app.patch("/patch")(guarded())
    app.delete("/delete")(guarded())
    app.head("/head")(guarded())
    app.options("/options")(guarded())
    app.trace("/trace")(guarded())
    nested.add_api_route("/added", guarded())
    nested.add_api_route("/depends", handler, dependencies=[Depends(guard.require(WRITE))])
    router.include_router(nested, dependencies=[Depends(guard.require(READ))])
    app.include_router(router, prefix="/v1")
    app.include_router(router, prefix="/v2", dependencies=[Depends(guard.require(WRITE))])
    guard.install(app)

    for method, path in (
        ("GET", "/added"), ("GET", "/both"), ("PUT", "/both"), ("PUT", "/put"), ("PATCH", "/patch"), ("HEAD", "/head"),
        ("DELETE", "/delete"), ("OPTIONS", "/options"), ("TRACE", "/trace"), ("GET", "/v1/r/n/added"),
        ("GET", "/v1/r/n/depends"), ("GET", "/v2/r/n/added"), ("GET", "/v2/r/n/depends"),
    ):  # fmt: skip
        statuses = [(await call(app, method, path, token)).status_code for token in (None, may_read, may_write)]
        assert (path, statuses) == (path, [401, 403, 200])


async def test_head_is_answered_by_starlette_and_not_by_fastapi(guard: CognitoGuard, call: Call, may_read: str) -> None:
    """As without the guard; strangers get a 401 from either."""
    app = FastAPI(routes=[Route("/starlette", inside)])
    app.get("/fastapi")(inside)
    app.get("/public")(guard.public(functools.partial(inside)))
    guard.install(app)

    assert (await call(app, "HEAD", "/starlette", may_read)).status_code == 200
    assert (await call(app, "HEAD", "/fastapi", may_read)).status_code == 405
    for path in ("/starlette", "/fastapi", "/public"):
        assert (await call(app, "HEAD", path)).status_code == 401


@pytest.mark.parametrize("redirect_slashes", [True, False])
async def test_slashes_are_redirected_for_callers_only(
    guard: CognitoGuard, call: Call, may_read: str, redirect_slashes: bool
) -> None:
    app = FastAPI(redirect_slashes=redirect_slashes)
    app.get("/orders")(guard.public(functools.partial(inside)))
    guard.install(app)

    assert (await call(app, "GET", "/orders/", may_read)).status_code == (307 if redirect_slashes else 404)
    assert (await call(app, "GET", "/orders/")).status_code == 401


async def test_the_frontend_is_guarded_with_its_router(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("inside")
    app = FastAPI()
    router = APIRouter(prefix="/admin", dependencies=[Depends(guard.require(WRITE))])
    router.frontend("/", directory=tmp_path)
    app.include_router(router)
    app.frontend("/site", directory=tmp_path)
    guard.install(app)

    for path, expected in (("/admin/", [401, 403, 200]), ("/site/", [401, 200, 200])):
        statuses = [(await call(app, "GET", path, token)).status_code for token in (None, may_read, may_write)]
        assert (path, statuses) == (path, expected)
    assert (await call(app, "GET", "/admin/unknown", headers={"accept": "text/html"})).status_code == 401


async def test_dependencies_of_a_router_are_not_for_what_is_mounted_in_it(
    guard: CognitoGuard, call: Call, may_read: str
) -> None:
    """FastAPI leaves them out: what is mounted has the guard's default, any valid token, and nothing more."""
    app = FastAPI()
    router = APIRouter(dependencies=[Depends(guard.require(WRITE))])
    router.routes += [Mount("/mounted", routes=[Route("/x", inside)]), Route("/route", inside)]
    app.include_router(router)
    guard.install(app)

    for path in ("/mounted/x", "/route"):
        assert (await call(app, "GET", path)).status_code == 401
        assert (await call(app, "GET", path, may_read)).status_code == 200


FACTORY = """
from __future__ import annotations

from typing import Annotated

from fastapi import Depends, FastAPI

from cognito_guard import CognitoGuard, Principal


def make_app(guard: CognitoGuard) -> FastAPI:
    app = FastAPI()
    guard.install(app)

    @app.get("/orders")
    async def orders(caller: Annotated[Principal, Depends(guard.require("orders/order.write"))]) -> str:
        raise AssertionError

    return app
"""

MODULE = """
from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Depends
from starlette.requests import Request
from pydantic import BaseModel

from cognito_guard import CognitoGuard, Principal


class Order(BaseModel):
    item: str


def make_router(guard: CognitoGuard) -> APIRouter:
    router = APIRouter()

    @router.post("/decorated")
    @guard.require("orders/order.write")
    async def decorated(order: Order, request: Request, limit: int = 5) -> Order:
        return order

    router.post("/depends")(guard.require("orders/order.read")(depends))
    return router


async def depends(order: Annotated[Order, Body(embed=True)], request: Request) -> Order:
    return order
"""


def module_of(source: str, folder: Path) -> Any:
    path = folder / "handlers.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("handlers", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("query", ["", "?caller=x", "?caller={}"])
async def test_a_dependency_that_fastapi_can_not_make_out_lets_nobody_in(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, tmp_path: Path, query: str
) -> None:
    """An annotation that is a string can not name the guard of a factory; FastAPI then asks for a query parameter."""
    app = module_of(FACTORY, tmp_path).make_app(guard)

    assert (await call(app, "GET", "/orders" + query)).status_code == 401
    for token in (may_read, may_write):
        assert (await call(app, "GET", "/orders" + query, token, crash=False)).status_code in {422, 500}


async def test_annotations_may_be_strings(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, tmp_path: Path
) -> None:
    app = FastAPI()
    app.include_router(module_of(MODULE, tmp_path).make_router(guard))
    guard.install(app)

    order = {"item": "book"}
    assert (await call(app, "POST", "/decorated", may_write, json=order)).json() == order
    assert (await call(app, "POST", "/decorated", may_read, json=order)).status_code == 403
    assert (await call(app, "POST", "/depends", may_read, json={"order": order})).json() == order
    operation = app.openapi()["paths"]["/decorated"]["post"]
    assert [each["name"] for each in operation["parameters"]] == ["limit"]


async def test_another_security_scheme_stands_beside_ours(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    other = OAuth2PasswordBearer("/token", scopes={"me": "Me"}, auto_error=False)

    async def other_user(scopes: SecurityScopes, credentials: Annotated[str | None, Depends(other)]) -> str:
        return f"{scopes.scope_str} {credentials is not None}"

    app = FastAPI()

    @app.get("/both")
    async def both(
        user: Annotated[str, Security(other_user, scopes=["me"])],
        caller: Annotated[Principal, Security(guard.require(WRITE))],
    ) -> str:
        return user

    guard.install(app)

    assert (await call(app, "GET", "/both", may_read)).status_code == 403
    assert (await call(app, "GET", "/both", may_write)).json() == "me True"


@pytest.mark.parametrize("where", ["parameter", "route", "router", "require"])
async def test_scopes_that_are_given_to_security_are_required(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str, where: str
) -> None:
    """`Security(dependency, scopes=[...])` is FastAPI's own way to ask for scopes; to drop them lets everybody in."""
    app = FastAPI()
    secured = Security(guard.require(READ) if where == "require" else guard.authenticated, scopes=[WRITE])
    router = APIRouter(dependencies=[secured] if where == "router" else [])

    async def handler() -> str:
        return "inside"

    async def with_parameter(caller: Annotated[Principal, secured]) -> str:
        return "inside"

    router.add_api_route(
        "/orders",
        with_parameter if where in {"parameter", "require"} else handler,
        dependencies=[secured] if where == "route" else [],
    )
    app.include_router(router)
    guard.install(app)

    assert (await call(app, "GET", "/orders", may_write)).status_code == 200
    assert (await call(app, "GET", "/orders", may_read)).status_code == 403


@pytest.mark.parametrize("name", ["require", "require_any", "require_groups", "public"])
@pytest.mark.parametrize("query", ["", "?scopes=a/b&groups=x&handler=y&conn=z"])
async def test_a_call_that_was_forgotten_lets_nobody_in(
    guard: CognitoGuard, call: Call, may_write: str, name: str, query: str
) -> None:
    """`Depends(guard.require)` for `Depends(guard.require("a/b"))`."""
    app = FastAPI()

    @app.get("/orders", dependencies=[Depends(getattr(guard, name))])
    async def orders() -> str:
        raise AssertionError

    guard.install(app)

    assert (await call(app, "GET", "/orders" + query, may_write, crash=False)).status_code in {422, 500}
    assert (await call(app, "GET", "/orders" + query)).status_code == 401


@pytest.mark.parametrize("how", ["query", "path", "body"])
async def test_nothing_that_a_caller_sends_counts_as_having_been_judged(
    guard: CognitoGuard, call: Call, may_read: str, how: str
) -> None:
    """Handlers are called with what was sent as keywords, by home-made decorators; the names are the caller's."""

    @guard.require(WRITE)
    async def handler(request: Request, **sent: Any) -> Response:
        raise AssertionError

    async def endpoint(request: Request) -> Any:
        sent: dict[str, Any] = {
            "query": dict(request.query_params),
            "path": dict([request.path_params["pair"].split("=")]),
            "body": await request.json(),
        }[how]
        return await handler(request, **sent)

    app = Starlette(routes=[Route("/{pair}", endpoint, methods=["POST"])])
    guard.install(app)
    name = "cognito_guard_requirement_0"

    answer = await call(app, "POST", f"/{name}=x?{name}=x", may_read, json={name: None}, crash=False)
    assert answer.status_code == 403


async def test_a_websockets_scope_is_judged_before_its_query(
    guard: CognitoGuard, may_read: str, may_write: str
) -> None:
    app = FastAPI()

    @app.websocket("/feed")
    async def feed(
        websocket: WebSocket,
        caller: Annotated[Principal, Depends(guard.require(WRITE))],
        limit: Annotated[int, Query()],
    ) -> None:
        await websocket.accept()
        await websocket.send_text(f"{caller.client_id} {limit}")
        await websocket.close()

    guard.install(app)
    client = TestClient(app)

    def headers(token: str) -> dict[str, str]:
        return {"authorization": f"Bearer {token}"}

    with (
        pytest.raises(WebSocketDenialResponse) as caught,
        client.websocket_connect("/feed?limit=many", headers=headers(may_read)),
    ):
        raise AssertionError
    assert caught.value.status_code == 403
    with client.websocket_connect("/feed?limit=5", headers=headers(may_write)) as websocket:
        assert websocket.receive_text().endswith(" 5")


# -- state, lifespan, TestClient


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("entered", [True, False])
def test_the_test_client_works_with_and_without_lifespan(
    guard: CognitoGuard, fetch: Any, may_read: str, framework: Any, backend: Any, entered: bool
) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[dict[str, str]]:
        app.state.started = True
        yield {"pool": "connections"}

    async def state(request: Request) -> Response:
        return JSONResponse([getattr(request.state, "pool", None), getattr(request.app.state, "started", None)])

    app = framework(routes=[Route("/state", guard.require(READ)(state))], lifespan=lifespan)
    guard.install(app)
    headers = {"authorization": f"Bearer {may_read}"}
    client = TestClient(app, backend=backend)

    if entered:
        with client:
            assert fetch.calls == 1
            assert client.get("/state", headers=headers).json() == ["connections", True]
            assert client.get("/state").status_code == 401
    else:
        assert client.get("/state", headers=headers).json() == [None, None]
        assert client.get("/state").status_code == 401
    assert fetch.calls == 1


async def test_state_that_is_set_on_the_way_reaches_the_handler(guard: CognitoGuard, call: Call, may_read: str) -> None:
    class Tracing:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope.setdefault("state", {})["trace"] = "5"
            await self.app(scope, receive, send)

    async def trace(request: Request) -> Response:
        return PlainTextResponse(request.state.trace + request.app.state.name)

    app = Starlette(routes=[Route("/", trace)])
    app.state.name = "app"
    guard.install(app)
    app.add_middleware(Tracing)

    assert (await call(app, "GET", "/", may_read)).text == "5app"


# -- a guard that does not guard


class Broken(CognitoGuardMiddleware):
    """Lets everything through."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_a_guard_that_lets_everything_through_is_noticed_where_something_is_required(
    guard: CognitoGuard, call: Call, may_write: str, framework: Any
) -> None:
    """Nothing stands between strangers and a route that relies on the default alone: require what you need."""
    app = framework(
        routes=[
            Route("/required", guard.require(WRITE)(inside)),
            Route("/authenticated", guard.authenticated(inside)),
            Route("/default", inside),
        ],
        middleware=[Middleware(Broken, guard=guard)],
    )

    for token in (None, may_write):
        assert (await call(app, "GET", "/required", token)).status_code == 500
        assert (await call(app, "GET", "/authenticated", token)).status_code == 500
        assert (await call(app, "GET", "/default", token)).status_code == 200


def test_the_parts_of_a_broken_guard_do_not_add_up(guard: CognitoGuard, make_guard: MakeGuard, may_write: str) -> None:
    """A guard of another object is another guard, even if it is made of the same pool."""
    app = Starlette(routes=[Route("/required", guard.require(WRITE)(inside))])
    make_guard().install(app)

    answer = TestClient(app).get("/required", headers={"authorization": f"Bearer {may_write}"})

    assert (answer.status_code, answer.text) == (500, "The server is not set up to verify access tokens.")


async def test_sync_generators_and_handlers_are_guarded(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    seen: list[str] = []

    def session() -> Iterator[str]:
        seen.append("open")
        yield "session"
        seen.append("closed")

    app = FastAPI()

    @app.get("/orders")
    @guard.require(WRITE)
    def orders(db: Annotated[str, Depends(session)]) -> str:
        return db

    guard.install(app)

    assert (await call(app, "GET", "/orders", may_read)).status_code == 403
    assert seen == []
    assert (await call(app, "GET", "/orders", may_write)).json() == "session"
    assert seen == ["open", "closed"]
