"""A requirement is judged when the route has been chosen, before the app does anything for the route."""

import functools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security
from fastapi.routing import APIRoute
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Match, Mount, Route, Router, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from cognito_guard import CognitoGuard, CognitoGuardMiddleware, Principal, audit
from tests.requests.apps import READ, WRITE, needs_frontends, reached
from tests.requests.recording import Recorder

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


def requirement_at(app: object, path: str) -> str:
    return next(route.requirement for route in audit.routes(app) if route.path == path)


# -- what a route does before its handler


def with_own_handle(record: Recorder) -> type[APIRoute]:
    class Handling(APIRoute):
        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            record.note("route")
            await super().handle(scope, receive, send)

    return Handling


def with_own_wrapper(record: Recorder) -> type[APIRoute]:
    class Wrapping(APIRoute):
        def get_route_handler(self) -> Any:
            handle = super().get_route_handler()

            async def wrapper(request: Request) -> Response:
                record.note("route")
                return await handle(request)

            return wrapper

    return Wrapping


@pytest.mark.parametrize("make_class", [with_own_handle, with_own_wrapper])
@pytest.mark.parametrize("form", ["decorator", "dependency", "router", "include", "app"])
@pytest.mark.parametrize("nested", [False, True])
async def test_nothing_of_a_route_runs_for_a_caller_without_its_scope(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str,
    make_class: Any, form: str, nested: bool,
) -> None:  # fmt: skip
    """Not its class, not the dependencies of its app and routers, wherever the requirement stands."""
    required = [Depends(guard.require(WRITE))]
    app = FastAPI(
        dependencies=[Depends(record.dependency("app")), *(required if form == "app" else [])], openapi_url=None
    )
    router = APIRouter(
        route_class=make_class(record),
        dependencies=[Depends(record.dependency("router")), *(required if form == "router" else [])],
    )
    operation = record.operation("handler")
    router.add_api_route(
        "/x",
        guard.require(WRITE)(operation) if form == "decorator" else operation,
        dependencies=[Depends(record.dependency("own")), *(required if form == "dependency" else [])],
    )
    outer = APIRouter()
    if nested:
        outer.include_router(router)
    app.include_router(outer if nested else router, prefix="/in", dependencies=required if form == "include" else [])
    guard.install(app)

    assert (await call(app, "GET", "/in/x")).status_code == 401
    assert (await call(app, "GET", "/in/x", may_read)).status_code == 403
    assert record.take() == []
    assert (await call(app, "GET", "/in/x", may_write)).text == '"handler"'
    assert record.take() == ["route", "app", "router", "own", "handler"]
    assert requirement_at(app, "/in/x") == WRITE


async def test_a_router_that_is_included_twice_has_the_requirements_of_each_place(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    router = APIRouter(prefix="/r")
    router.add_api_route("/plain", record.operation("plain"))
    router.add_api_route("/public", guard.public(record.operation("public")))
    app = FastAPI(openapi_url=None)
    app.include_router(router)
    app.include_router(router, prefix="/write", dependencies=[Depends(guard.require(WRITE))])
    app.include_router(router, prefix="/read", dependencies=[Depends(guard.require(READ))])
    guard.install(app)

    for prefix, stranger, reading in (("", 200, 200), ("/write", 401, 403), ("/read", 401, 200)):
        assert (prefix, (await call(app, "GET", f"{prefix}/r/plain")).status_code) == (prefix, 401)
        assert (prefix, (await call(app, "GET", f"{prefix}/r/public")).status_code) == (prefix, stranger)
        for path in ("plain", "public"):
            record.take()
            answer = await call(app, "GET", f"{prefix}/r/{path}", may_read)
            assert (prefix, path, answer.status_code) == (prefix, path, reading)
            assert record.take() == ([path] if reading == 200 else [])
            assert (await call(app, "GET", f"{prefix}/r/{path}", may_write)).status_code == 200


@pytest.mark.parametrize("where", ["app", "include", "mount"])
async def test_overrides_replace_requirements_and_what_leads_to_them(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, where: str
) -> None:
    app = FastAPI(openapi_url=None)
    router: Any = {"app": app, "include": APIRouter(), "mount": FastAPI(openapi_url=None)}[where]
    requirement = guard.require(WRITE)

    def caller(principal: Annotated[Principal, Depends(requirement)]) -> None:
        record.note("caller")

    router.add_api_route("/decorated", requirement(record.operation("decorated")))
    router.add_api_route("/direct", record.operation("direct"), dependencies=[Depends(requirement)])
    router.add_api_route("/nested", record.operation("nested"), dependencies=[Depends(caller)])
    if where == "include":
        app.include_router(router)
    if where == "mount":
        app.mount("/m", router)
    guard.install(app)
    prefix = "/m" if where == "mount" else ""
    overridden = router if where == "mount" else app
    paths = ("decorated", "direct", "nested")

    async def statuses() -> list[int]:
        return [(await call(app, "GET", f"{prefix}/{path}", may_read)).status_code for path in paths]

    assert await statuses() == [403, 403, 403]
    assert record.take() == []
    overridden.dependency_overrides[caller] = record.dependency("instead")
    assert await statuses() == [403, 403, 200]
    assert record.take() == ["instead", "nested"]
    overridden.dependency_overrides = {requirement: record.dependency("instead")}
    assert await statuses() == [200, 200, 200]
    assert record.take() == ["decorated", "instead", "direct", "instead", "caller", "nested"]
    # A stranger is one still.
    assert (await call(app, "GET", f"{prefix}/direct")).status_code == 401


async def test_the_override_of_a_dependency_is_judged_too(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    def instead(principal: Annotated[Principal, Depends(guard.require(WRITE))]) -> None:
        raise AssertionError

    app, replaced = FastAPI(openapi_url=None), record.dependency("replaced")
    app.add_api_route("/x", record.operation("x"), dependencies=[Depends(replaced)])
    app.dependency_overrides[replaced] = instead
    guard.install(app)

    assert (await call(app, "GET", "/x", may_read)).status_code == 403
    assert record.take() == []


@pytest.mark.parametrize("form", ["own", "parent", "grandparent"])
async def test_scopes_of_security_are_judged_before_other_dependencies_and_the_body(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, form: str
) -> None:
    reader = guard.require(READ)
    scopes = [WRITE]

    def parent(caller: Annotated[Principal, Security(reader)]) -> None:
        record.note("parent")

    def grandparent(caller: Annotated[None, Security(parent)]) -> None:
        record.note("grandparent")

    leads_to_it: Any = {"own": reader, "parent": parent, "grandparent": grandparent}[form]
    app = FastAPI(openapi_url=None, dependencies=[Depends(record.dependency("app"))])

    @app.post("/x")
    async def handler(number: int, caller: Annotated[Any, Security(leads_to_it, scopes=scopes)]) -> None:
        record.note("handler")

    guard.install(app)

    assert (await call(app, "POST", "/x?number=many", may_read)).status_code == 403
    assert record.take() == []
    assert (await call(app, "POST", "/x?number=many", may_write)).status_code == 422
    assert (await call(app, "POST", "/x?number=1", may_write)).status_code == 200
    assert record.take()[-1] == "handler"
    assert requirement_at(app, "/x") == f"{READ}; {WRITE}"


async def test_a_dependency_that_is_added_to_a_route_later_is_judged_at_the_choice(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    app = FastAPI(openapi_url=None, dependencies=[Depends(record.dependency("app"))])
    app.add_api_route("/x", record.operation("x"))
    donor = FastAPI()
    donor.add_api_route("/x", record.operation("x"), dependencies=[Depends(guard.require(WRITE))])
    guard.install(app)
    assert (await call(app, "GET", "/x", may_read)).status_code == 200
    record.take()

    routes: Any = app.router.routes[0], donor.router.routes[-1]
    routes[0].dependant.dependencies.append(routes[1].dependant.dependencies[0])

    assert (await call(app, "GET", "/x", may_read)).status_code == 403
    assert record.take() == []


async def test_a_guarded_callable_object_is_judged_at_the_choice(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    class Service:
        @guard.require(WRITE)
        async def __call__(self, number: int) -> str:
            raise AssertionError

    app = FastAPI(openapi_url=None, dependencies=[Depends(record.dependency("app"))])
    app.add_api_route("/x", Service())
    guard.install(app)

    status = (await call(app, "GET", "/x?number=many", may_read)).status_code
    assert (status, record.take(), requirement_at(app, "/x")) == (403, [], WRITE)


async def test_a_guarded_function_that_is_a_dependency_is_judged_at_the_choice(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    app = FastAPI(openapi_url=None, dependencies=[Depends(record.dependency("app"))])
    guarded = guard.require(WRITE)(record.operation("guarded"))
    app.add_api_route("/x", record.operation("x"), dependencies=[Depends(guarded)])
    guard.install(app)

    status = (await call(app, "GET", "/x", may_read)).status_code
    assert (status, record.take(), requirement_at(app, "/x")) == (403, [], WRITE)


@needs_frontends
@pytest.mark.parametrize("included", [True, False])
async def test_the_frontend_of_a_router_is_judged_before_its_other_dependencies(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, tmp_path: Path, included: bool
) -> None:
    (tmp_path / "index.html").write_text("inside")
    dependencies = [Depends(record.dependency("charge")), Depends(guard.require(WRITE))]
    app = FastAPI(openapi_url=None, dependencies=[] if included else dependencies)
    if included:
        router = APIRouter(dependencies=dependencies)
        router.frontend("/ui", directory=tmp_path)
        app.include_router(router)
    else:
        app.frontend("/ui", directory=tmp_path)
    guard.install(app)

    status = (await call(app, "GET", "/ui/", may_read)).status_code
    listed = [(route.path, route.requirement) for route in audit.routes(app)]
    assert (status, record.take(), listed) == (403, [], [("/ui", WRITE)])


# -- Starlette


def caching(record: Recorder) -> Callable[[Any], Any]:
    cached: list[Response] = []

    def decorate(handler: Any) -> Any:
        @functools.wraps(handler)
        async def wrapper(request: Request) -> Response:
            record.note("cache")
            if not cached:
                cached.append(await handler(request))
            return cached[0]

        return wrapper

    return decorate


async def test_a_cache_above_the_guard_serves_only_callers_with_the_scope(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    handler = caching(record)(guard.require(WRITE)(record.handler("handler")))
    app = Starlette(routes=[Route("/x", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/x", may_write)).text == "handler"
    assert record.take() == ["cache", "handler"]
    assert (await call(app, "GET", "/x", may_read)).status_code == 403
    assert (await call(app, "GET", "/x")).status_code == 401
    assert record.take() == []
    assert (await call(app, "GET", "/x", may_write)).text == "handler"
    assert record.take() == ["cache"]


async def test_middleware_of_a_route_or_a_mount_runs_after_the_choice(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    class Noting:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            record.note("middleware")
            await self.app(scope, receive, send)

    guarded = guard.require(WRITE)(record.handler("x"))
    app = Starlette(
        routes=[
            Route("/route", guarded, middleware=[Middleware(Noting)]),
            Mount(
                "/mount",
                routes=[Route("/guarded", guarded), Route("/public", guard.public(record.handler("public")))],
                middleware=[Middleware(Noting)],
            ),
        ]
    )
    guard.install(app)

    for token in (None, may_read):
        assert (await call(app, "GET", "/route", token)).status_code in {401, 403}
        assert record.take() == []
    assert (await call(app, "GET", "/mount/guarded")).status_code == 401
    assert record.take() == []
    assert (await call(app, "GET", "/mount/guarded", may_read)).status_code == 403
    assert record.take() == ["middleware"]
    assert (await call(app, "GET", "/mount/guarded", may_write)).text == "x"
    # Behind middleware of the app's own there is no looking.
    record.take()
    assert (await call(app, "GET", "/mount/public", may_read)).text == "public"


class Ways:
    """A router of the app's own, which spells the choice in its own way."""

    def __init__(self, endpoint: Any, choose: Callable[[Any, dict[str, Any]], Any]) -> None:
        self._route = Route("/x", endpoint)
        self._choose = choose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match, child_scope = self._route.matches(scope)
        assert match is Match.FULL
        self._choose(scope, dict(child_scope))
        await self._route.handle(scope, receive, send)


@pytest.mark.parametrize(
    "choose",
    [
        lambda scope, child: scope.update(child),
        lambda scope, child: scope.update(child.items()),
        lambda scope, child: scope.update(**child),
        lambda scope, child: scope.__ior__(child),
        lambda scope, child: scope.update({"path_params": {}}, endpoint=child["endpoint"]),
    ],
    ids=["mapping", "pairs", "keywords", "or", "both"],
)
async def test_every_spelling_of_a_choice_is_noticed(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, choose: Any
) -> None:
    handler = caching(record)(guard.require(WRITE)(record.handler("x")))
    app = Starlette(routes=[Mount("/own", app=Ways(handler, choose))])
    guard.install(app)

    assert (await call(app, "GET", "/own/x")).status_code == 401
    assert (await call(app, "GET", "/own/x", may_read)).status_code == 403
    assert record.take() == []
    assert (await call(app, "GET", "/own/x", may_write)).text == "x"


async def test_a_scope_stays_itself_when_members_are_added(guard: CognitoGuard, call: Call, may_read: str) -> None:
    async def adding(scope: Any, receive: Receive, send: Send) -> None:
        before = scope
        scope |= {"path": "/orders"}
        assert scope is before
        await router(scope, receive, send)

    router = Router(routes=[Route("/orders", reached)])

    assert (await call(CognitoGuardMiddleware(adding, guard=guard), "GET", "/", may_read)).text == "reached"


async def test_classes_of_handlers_are_judged_method_by_method(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    class Orders(HTTPEndpoint):
        async def dispatch(self) -> None:
            record.note("dispatch")
            await super().dispatch()

        @guard.public
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("get")

        @guard.require(WRITE)
        async def post(self, request: Request) -> Response:
            raise AssertionError

        async def options(self, request: Request) -> Response:
            return PlainTextResponse("options")

    app = Starlette(routes=[Route("/x", Orders)])
    guard.install(app)

    for method, stranger, reading in (
        ("GET", 200, 200), ("HEAD", 200, 200), ("POST", 401, 403), ("OPTIONS", 401, 200), ("PUT", 401, 405),
    ):  # fmt: skip
        record.take()
        assert (method, (await call(app, method, "/x")).status_code) == (method, stranger)
        assert record.take() == (["dispatch"] if stranger == 200 else [])
        assert (method, (await call(app, method, "/x", may_read)).status_code) == (method, reading)
        assert record.take() == ([] if reading == 403 else ["dispatch"])
    # Starlette 1.0 calls whatever attribute has the name of the method.
    for method in ("DISPATCH", "SCOPE", "METHOD_NOT_ALLOWED", "__INIT__"):
        assert (method, (await call(app, method, "/x")).status_code) == (method, 401)
    assert record.take() == []


# -- routes that end in other ways


class Nameless(Route):
    """Names no endpoint."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child_scope = super().matches(scope)
        return match, {key: value for key, value in child_scope.items() if key != "endpoint"}


async def test_a_handler_that_no_choice_names_is_guarded_by_its_decorator(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    app = Starlette(
        routes=[
            Nameless("/guarded", guard.require(WRITE)(record.handler("guarded"))),
            Nameless("/plain", record.handler("plain")),
            Nameless("/public", guard.public(record.handler("public"))),
        ]
    )
    guard.install(app)

    for path, stranger, reading in (("/guarded", 401, 403), ("/plain", 401, 200), ("/public", 401, 200)):
        assert (path, (await call(app, "GET", path)).status_code) == (path, stranger)
        assert record.take() == []
        assert (path, (await call(app, "GET", path, may_read)).status_code) == (path, reading)
        assert record.take() == ([path[1:]] if reading == 200 else [])
    assert (await call(app, "GET", "/guarded", may_write)).text == "guarded"


# -- websockets


async def connect(app: ASGIApp, path: str, token: str | None) -> list[str]:
    """Return the types of what is sent to a client that goes away after connecting."""
    sent: list[str] = []
    incoming = iter([{"type": "websocket.connect"}])

    async def receive() -> Message:
        return next(incoming, {"type": "websocket.disconnect", "code": 1000})

    async def send(message: Message) -> None:
        sent.append(message["type"] + str(message.get("status", "")))

    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "headers": [] if token is None else [(b"authorization", b"Bearer " + token.encode())],
        "extensions": {"websocket.http.response": {}}, "subprotocols": [],
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


async def test_websockets_are_judged_before_their_dependencies(
    guard: CognitoGuard, record: Recorder, may_read: str, may_write: str
) -> None:
    charge, required = Depends(record.dependency("charge")), Depends(guard.require(WRITE))
    app = FastAPI(openapi_url=None)
    router = APIRouter(dependencies=[charge, required])
    router.add_api_websocket_route("/router", record.socket("router"))
    app.include_router(router)
    app.include_router(router, prefix="/again")
    app.add_api_websocket_route("/own", record.socket("own"), dependencies=[charge, required])
    app.add_api_websocket_route("/decorated", guard.require(WRITE)(record.socket("decorated")), dependencies=[charge])
    public = APIRouter()
    public.add_api_websocket_route("/public", guard.public(record.socket("public")))
    app.include_router(public)
    app.include_router(public, prefix="/write", dependencies=[required])
    guard.install(app)

    denied = "websocket.http.response.start"
    for path in ("/router", "/again/router", "/own", "/decorated", "/write/public"):
        assert (path, (await connect(app, path, None))[0]) == (path, f"{denied}401")
        assert (path, (await connect(app, path, may_read))[0]) == (path, f"{denied}403")
        assert record.take() == []
        assert (path, await connect(app, path, may_write)) == (path, ["websocket.accept", "websocket.close"])
        assert record.take()[-1] == path.rsplit("/", 1)[1]
    assert await connect(app, "/public", None) == ["websocket.accept", "websocket.close"]
    assert (await connect(app, "/none", None))[0] == f"{denied}401"


@pytest.mark.parametrize("form", ["class", "method", "heir"])
async def test_a_websocket_endpoint_does_not_connect_a_refused_caller(
    guard: CognitoGuard, record: Recorder, may_read: str, may_write: str, form: str
) -> None:
    class Feed(WebSocketEndpoint):
        async def on_connect(self, websocket: WebSocket) -> None:
            record.note("connect")
            await websocket.accept()

        async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
            record.note("disconnect")

    class Guarded(Feed):
        on_connect: Any = guard.require(WRITE)(Feed.on_connect)

    endpoint: Any = Guarded if form == "method" else guard.require(WRITE)(Feed)
    if form == "heir":
        endpoint = type("Heir", (endpoint,), {})
    app = Starlette(routes=[WebSocketRoute("/feed", endpoint)])
    guard.install(app)

    assert (await connect(app, "/feed", None))[0] == "websocket.http.response.start401"
    assert (await connect(app, "/feed", may_read))[0] == "websocket.http.response.start403"
    assert record.take() == []
    assert await connect(app, "/feed", may_write) == ["websocket.accept"]
    assert record.take() == ["connect", "disconnect"]
    assert form == "method" or requirement_at(app, "/feed") == WRITE


def test_the_audit_lists_what_the_methods_of_an_endpoint_of_websockets_require(guard: CognitoGuard) -> None:
    class Feed(WebSocketEndpoint):
        @guard.require(WRITE)
        async def on_connect(self, websocket: WebSocket) -> None:
            raise AssertionError

    app = Starlette(routes=[WebSocketRoute("/feed", Feed)])
    guard.install(app)

    assert requirement_at(app, "/feed") == WRITE


async def test_a_websocket_that_is_refused_after_it_was_accepted_is_closed(
    guard: CognitoGuard, record: Recorder, may_read: str
) -> None:
    guarded = guard.require(WRITE)(record.operation("guarded"))

    async def late(websocket: WebSocket) -> None:
        await websocket.accept()
        await guarded()

    app = Starlette(routes=[WebSocketRoute("/late", late)])
    guard.install(app)

    sent = await connect(app, "/late", may_read)

    assert record.take() == []
    assert sent == ["websocket.accept", "websocket.close"]
