"""The guard among what FastAPI has of its own."""

import functools
import importlib.util
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, Query, Request, Security, WebSocket
from fastapi.routing import APIRoute
from fastapi.security import OAuth2PasswordBearer, SecurityScopes
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient, WebSocketDenialResponse

from cognito_guard import CognitoGuard, Principal
from cognito_guard.errors import ConfigurationError
from tests.requests.apps import READ, WRITE, inside, needs_frontends, needs_included_mounts

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]

JSON = {"content-type": "application/json"}


async def test_no_dependency_runs_for_a_refused_caller(
    guard: CognitoGuard, call: Call, may_read: str, may_write: str
) -> None:
    seen: list[str] = []

    async def session() -> AsyncIterator[str]:
        seen.append("open")
        yield "session"
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
        assert seen == []
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
    """As without the guard, also for strangers on public routes; elsewhere they get 401 from either."""
    app = FastAPI(routes=[Route("/starlette", inside)])
    app.get("/fastapi")(inside)
    app.get("/public")(guard.public(functools.partial(inside)))
    guard.install(app)

    assert (await call(app, "HEAD", "/starlette", may_read)).status_code == 200
    assert (await call(app, "HEAD", "/fastapi", may_read)).status_code == 405
    for path, status in (("/starlette", 401), ("/fastapi", 401), ("/public", 405)):
        assert (await call(app, "HEAD", path)).status_code == status


@pytest.mark.parametrize("redirect_slashes", [True, False])
async def test_strangers_are_redirected_only_to_public_routes(
    guard: CognitoGuard, call: Call, may_read: str, redirect_slashes: bool
) -> None:
    app = FastAPI(redirect_slashes=redirect_slashes)
    app.get("/health")(guard.public(functools.partial(inside)))
    app.get("/orders")(inside)
    guard.install(app)

    for path in ("/health/", "/orders/"):
        assert (await call(app, "GET", path, may_read)).status_code == (307 if redirect_slashes else 404)
    assert (await call(app, "GET", "/orders/")).status_code == 401
    redirect = await call(app, "GET", "/health/?probe=1")
    assert redirect.status_code == (307 if redirect_slashes else 401)
    if redirect_slashes:
        shown = await call(app, "GET", "/health/?probe=1", may_read)
        assert redirect.headers["location"] == shown.headers["location"] == "http://api.example/health?probe=1"


@needs_frontends
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


@needs_included_mounts
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


async def test_an_annotation_that_fastapi_cannot_resolve_stops_the_app(
    guard: CognitoGuard, call: Call, may_write: str, tmp_path: Path
) -> None:
    """An annotation that is a string cannot name the guard of a factory; FastAPI then asks for a query parameter."""
    app = module_of(FACTORY, tmp_path).make_app(guard)

    for token in (None, may_write, may_write):
        with pytest.raises(ConfigurationError, match=r"GET /orders .*cannot resolve the annotation"):
            await call(app, "GET", "/orders?caller=x", token)


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


async def test_another_security_scheme_is_kept_beside_ours(
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


@pytest.mark.parametrize("name", ["require", "require_any", "require_groups", "require_that", "public", "verify", None])
@pytest.mark.parametrize("where", ["route", "router", "parameter", "below"])
async def test_a_guard_in_place_of_a_requirement_stops_the_app(
    guard: CognitoGuard, call: Call, may_write: str, name: str | None, where: str
) -> None:
    """`Depends(guard.require)` for `Depends(guard.require("a/b"))`."""
    forgotten: Any = Depends(guard if name is None else getattr(guard, name))

    async def between(caller: Annotated[Any, forgotten]) -> None:
        raise AssertionError

    async def plain() -> str:
        raise AssertionError

    async def with_parameter(caller: Annotated[Any, forgotten]) -> str:
        raise AssertionError

    app = FastAPI()
    router = APIRouter(dependencies=[forgotten] if where == "router" else [])
    dependencies = {"route": [forgotten], "below": [Depends(between)]}.get(where, [])
    router.get("/orders", dependencies=dependencies)(with_parameter if where == "parameter" else plain)
    app.include_router(router)
    guard.install(app)

    wrong = "Depends(guard)" if name is None else f"Depends(guard.{name})"
    for token in (None, may_write):
        with pytest.raises(ConfigurationError, match=rf"GET /orders .*{re.escape(wrong)} asks for nothing; write "):
            await call(app, "GET", "/orders", token)


@pytest.mark.parametrize("how", ["query", "path", "body"])
async def test_a_caller_cannot_send_the_mark_that_skips_the_check(
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
