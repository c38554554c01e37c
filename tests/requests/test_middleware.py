"""What reaches the app, what does not, and how that is said."""

import functools
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi import HTTPException as FastAPIHTTPException
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from cognito_guard import CognitoGuard, CognitoGuardMiddleware, UserPool
from cognito_guard.errors import BearerError, ConfigurationError, RefusalError
from cognito_guard.local import LocalClient, LocalPool

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]

WRITE = "orders/order.write"


@pytest.fixture
def token(pool: LocalPool, reader: LocalClient) -> str:
    return pool.mint(client_id=reader.client_id)


async def reached(request: Request) -> Response:
    return PlainTextResponse("reached")


async def no_body() -> Any:
    raise AssertionError


async def raw_app(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("reached")(scope, receive, send)


def guarded_app(guard: CognitoGuard, **options: Any) -> Starlette:
    app = Starlette(
        routes=[
            Route("/orders", reached),
            Route("/refused", guard.require(WRITE)(functools.partial(reached))),
            Route("/health", guard.public(functools.partial(reached))),
        ]
    )
    guard.install(app, **options)
    return app


# --- who gets in ---------------------------------------------------------------------------------------------------


async def test_every_route_needs_a_token(guard: CognitoGuard, call: Call, token: str) -> None:
    app = guarded_app(guard)

    refused = await call(app, "GET", "/orders")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert refused.json() == {"error": "missing_token", "error_description": "A bearer access token is required."}
    assert (await call(app, "GET", "/orders", token)).text == "reached"


async def test_strangers_do_not_learn_which_paths_exist(guard: CognitoGuard, call: Call, token: str) -> None:
    app = guarded_app(guard)

    for method, path in (("GET", "/unknown"), ("DELETE", "/orders"), ("GET", "/orders/")):
        known, unknown = await call(app, "GET", "/orders"), await call(app, method, path)
        assert (known.status_code, known.content) == (unknown.status_code, unknown.content)
    assert (await call(app, "GET", "/unknown", token)).status_code == 404


async def test_the_middleware_wraps_any_asgi_app(guard: CognitoGuard, call: Call, token: str) -> None:
    app = CognitoGuardMiddleware(raw_app, guard=guard)

    assert (await call(app, "GET", "/")).status_code == 401
    assert (await call(app, "GET", "/", token)).text == "reached"


async def test_the_middleware_may_be_listed(guard: CognitoGuard, call: Call, token: str) -> None:
    app = Starlette(
        routes=[Route("/", reached), Route("/health", guard.public(functools.partial(reached)))],
        middleware=[Middleware(CognitoGuardMiddleware, guard=guard)],
    )

    assert (await call(app, "GET", "/")).status_code == 401
    assert (await call(app, "GET", "/", token)).text == "reached"
    assert (await call(app, "GET", "/health")).text == "reached"


async def test_a_connection_of_an_unknown_type_is_not_let_through(guard: CognitoGuard) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(ConfigurationError, match="webtransport"):
        await CognitoGuardMiddleware(raw_app, guard=guard)({"type": "webtransport", "headers": []}, never, never)


async def test_the_user_is_known_further_out_as_well(guard: CognitoGuard, call: Call, token: str) -> None:
    """Metrics and access logs sit outside; they see the caller and the route."""
    seen: list[Any] = []

    class Outside:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await self.app(scope, receive, send)
            seen.append((scope["user"].is_authenticated, "endpoint" in scope))

    app = guarded_app(guard)
    app.add_middleware(Outside)

    await call(app, "GET", "/orders", token)
    await call(app, "GET", "/health")
    assert seen == [(True, True), (False, True)]


# --- public routes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer nonsense", "Basic abc", "Bearer " + "x" * 9000])
async def test_a_public_route_takes_no_notice_of_bad_tokens(
    guard: CognitoGuard, call: Call, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"authorization": authorization}

    answer = await call(guarded_app(guard), "GET", "/health", headers=headers)

    assert (answer.status_code, answer.text) == (200, "reached")


async def test_a_public_route_knows_the_caller_if_there_is_one(guard: CognitoGuard, call: Call, token: str) -> None:
    @guard.public
    async def who(request: Request) -> Response:
        principal = guard.principal(request)
        assert request.user.is_authenticated is (principal is not None)
        return PlainTextResponse("nobody" if principal is None else principal.client_id)

    app = Starlette(routes=[Route("/", who)])
    guard.install(app)

    assert (await call(app, "GET", "/")).text == "nobody"
    assert (await call(app, "GET", "/", token)).text == guard_client(token)


def guard_client(token: str) -> str:
    import jwt  # noqa: PLC0415

    client_id: str = jwt.decode(token, options={"verify_signature": False})["client_id"]
    return client_id


async def test_a_public_route_works_without_keys(make_guard: MakeGuard, call: Call, fetch: Any, token: str) -> None:
    fetch.fail(OSError())
    guard = make_guard()
    app = guarded_app(guard)

    assert (await call(app, "GET", "/health", token)).status_code == 200
    unavailable = await call(app, "GET", "/orders", token)
    assert (unavailable.status_code, unavailable.headers["retry-after"]) == (503, "1")
    assert "www-authenticate" not in unavailable.headers
    assert unavailable.json()["error"] == "temporarily_unavailable"


async def test_public_is_found_wherever_the_route_is(guard: CognitoGuard, call: Call, token: str) -> None:
    def public() -> Any:
        return guard.public(functools.partial(reached))

    class Methods(HTTPEndpoint):
        @guard.public
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("reached")

        async def post(self, request: Request) -> Response:
            raise AssertionError

    @guard.public
    class Whole(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("reached")

    class Heir(Whole):
        pass

    inner = FastAPI()

    @inner.get("/health")
    @guard.public
    async def inner_health() -> str:
        return "reached"

    @inner.get("/orders")
    async def inner_orders() -> str:
        raise AssertionError

    app = FastAPI()
    router, outer = APIRouter(prefix="/router"), APIRouter(prefix="/outer")

    @router.get("/health")
    @guard.public
    async def router_health() -> str:
        return "reached"

    @router.get("/orders")
    async def router_orders() -> str:
        raise AssertionError

    router.routes.append(Mount("/mounted", routes=[Route("/health", public()), Route("/orders", reached)]))
    outer.include_router(router)
    app.include_router(router)
    app.include_router(outer)
    app.mount("/inner", inner)
    app.mount("/wrapped", CORSMiddleware(inner, allow_origins=["*"]))
    app.router.routes += [
        Mount("/mount", routes=[Route("/health", public()), Route("/orders", reached)]),
        Mount("/twice", routes=[Mount("/mount", routes=[Route("/health", public()), Route("/orders", reached)])]),
        Mount(
            "/behind", routes=[Route("/health", public())], middleware=[Middleware(CORSMiddleware, allow_origins=["*"])]
        ),
        Route("/methods", Methods),
        Route("/whole", Whole),
        Route("/heir", Heir),
        Mount("/raw", app=raw_app),
        Route("/raw-public", guard.public(raw_app_class())),
        Host("health.example", app=Starlette(routes=[Route("/", public()), Route("/orders", reached)])),
    ]
    guard.install(app)

    for path in (
        "/router/health", "/outer/router/health", "/mounted/health", "/outer/mounted/health",
        "/inner/health", "/wrapped/health", "/mount/health", "/twice/mount/health", "/behind/health",
        "/methods", "/whole", "/raw-public",
    ):  # fmt: skip
        answer = await call(app, "GET", path)
        assert (path, answer.status_code, answer.text.strip('"')) == (path, 200, "reached")
    assert (await call(app, "HEAD", "/methods")).status_code == 200
    assert (await call(app, "GET", "/", headers={"host": "health.example"})).status_code == 200

    for method, path in (
        ("GET", "/router/orders"), ("GET", "/outer/router/orders"), ("GET", "/mounted/orders"),
        ("GET", "/inner/orders"), ("GET", "/wrapped/orders"), ("GET", "/mount/orders"),
        ("GET", "/twice/mount/orders"), ("POST", "/methods"), ("DELETE", "/methods"), ("GET", "/heir"),
        ("GET", "/raw"), ("GET", "/raw/health"), ("GET", "/docs"), ("GET", "/openapi.json"), ("GET", "/"),
        ("POST", "/router/health"), ("GET", "/health"),
    ):  # fmt: skip
        assert (path, (await call(app, method, path)).status_code) == (path, 401)
    assert (await call(app, "GET", "/orders", headers={"host": "health.example"})).status_code == 401


def raw_app_class() -> Any:
    class RawApp:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await raw_app(scope, receive, send)

    return RawApp()


async def test_the_first_route_that_matches_decides(guard: CognitoGuard, call: Call) -> None:
    app = Starlette(
        routes=[
            Route("/{name}", reached, methods=["POST"]),
            Route("/health", reached),
            Route("/health", guard.public(functools.partial(reached))),
        ]
    )
    guard.install(app)

    assert (await call(app, "GET", "/health")).status_code == 401


async def test_public_is_for_the_guard_that_said_so(make_guard: MakeGuard, call: Call) -> None:
    guard, other = make_guard(), make_guard()
    app = Starlette(routes=[Route("/health", other.public(functools.partial(reached)))])
    guard.install(app)

    assert (await call(app, "GET", "/health")).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/health/", "//health", "/health;x", "/Health", "/health%20", "/health/../orders", "/orders/../health",
        "/health%2f..%2forders", "/%2e/health", "/health%00", "/.//health", "/health\\..\\orders", "/health%3f",
    ],
)  # fmt: skip
async def test_a_path_that_only_looks_public_is_not(guard: CognitoGuard, path: str) -> None:
    app = guarded_app(guard, public_paths={("GET", "/health")})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    decoded = httpx.URL("http://api.example" + path).path if "\\" not in path else path
    for each in {path, decoded} - {"/health"}:
        sent.clear()
        scope = {
            "type": "http",
            "method": "GET",
            "path": each,
            "raw_path": b"/health",
            "headers": [],
            "query_string": b"",
        }
        await app(scope, no_body, send)
        assert (each, sent[0]["status"]) == (each, 401)


@pytest.mark.parametrize(
    ("value", "status", "reason"),
    [
        (b"Bearer no token", 400, "malformed_header"),
        (b"Bearer a=b", 400, "malformed_header"),
        (b"Bearer \xe4", 400, "malformed_header"),
        (b"Bearer a.b.c", 401, "malformed"),
        (b"Bearer a==", 401, "malformed"),
        (b"Bearer " + b"a" * 8192, 401, "malformed"),
        (b"Bearer " + b"a" * 8193, 401, "oversized"),
        (b"Bearer " + b" " * 8193, 401, "oversized"),
    ],
)
async def test_a_header_that_is_no_token68_is_a_bad_request(
    make_guard: MakeGuard, value: bytes, status: int, reason: str
) -> None:
    refused: list[Any] = []
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    app = CognitoGuardMiddleware(raw_app, guard=make_guard(on_event=refused.append))
    await app({"type": "http", "method": "GET", "path": "/", "headers": [(b"authorization", value)]}, no_body, send)

    assert sent[0]["status"] == status
    assert [(event.status, event.reason) for event in refused] == [(status, reason)]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "x/health?"},
        {"host": "api.example/health#"},
        {"x-forwarded-prefix": "/health"},
        {"x-original-url": "/health"},
        {"x-rewrite-url": "/health"},
        {"x-http-method-override": "GET"},
        {"referer": "/health"},
    ],
)
async def test_no_header_changes_what_a_path_is(guard: CognitoGuard, call: Call, headers: dict[str, str]) -> None:
    """CVE-2026-48710: a Host header could make request.url.path another one."""
    app = guarded_app(guard, public_paths={("GET", "/docs")})

    assert (await call(app, "GET", "/orders", headers=headers)).status_code == 401


@pytest.mark.parametrize(("path", "root_path"), [("/docs", ""), ("/api/docs", "/api"), ("/docs", "/api"), ("", "")])
async def test_public_paths_are_below_the_root_path(guard: CognitoGuard, path: str, root_path: str) -> None:
    app = CognitoGuardMiddleware(raw_app, guard=guard, public_paths={("GET", "/docs")})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path, "headers": []}
    await app(scope, no_body, send)

    assert sent[0]["status"] == (200 if path else 401)


@pytest.mark.parametrize(
    ("path", "root_path"), [("/api", "/api"), ("/apidocs", "/api"), ("/api/docs", ""), ("/docs/api", "/api")]
)
async def test_other_paths_below_a_root_path_are_not_public(guard: CognitoGuard, path: str, root_path: str) -> None:
    app = CognitoGuardMiddleware(raw_app, guard=guard, public_paths={("GET", "/docs")})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "root_path": root_path, "headers": []}
    await app(scope, no_body, send)

    assert sent[0]["status"] == 401


async def test_a_public_path_does_not_open_what_has_a_requirement(guard: CognitoGuard, call: Call) -> None:
    app = guarded_app(guard, public_paths={("GET", "/refused")})

    assert (await call(app, "GET", "/refused")).headers["www-authenticate"] == "Bearer"
    refused = await call(app, "GET", "/refused", "nonsense")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")


async def test_public_paths_are_exact(guard: CognitoGuard, call: Call) -> None:
    app = guarded_app(guard, public_paths={("GET", "/orders")})

    assert (await call(app, "GET", "/orders")).status_code == 200
    assert (await call(app, "HEAD", "/orders")).status_code == 401
    assert (await call(app, "GET", "/orders/")).status_code == 401


@pytest.mark.parametrize(
    "entry",
    [
        "/health", ("GET",), ("get", "/health"), ("GET", "health"), ("GET", "/docs*"), ("GET", "/a/{b}"),
        ("GET", "/a?b"), ("GET", "/a#b"), ("GET", None), (None, "/a"), ("GET", "/a\n"), ("GET", "/a", "x"),
    ],
)  # fmt: skip
def test_public_paths_are_pairs_without_wildcards(guard: CognitoGuard, entry: Any) -> None:
    with pytest.raises(ConfigurationError, match="public_paths"):
        guard.install(Starlette(), public_paths={entry})
    with pytest.raises(ConfigurationError, match="public_paths"):
        CognitoGuardMiddleware(raw_app, guard=guard, public_paths=[entry])


# --- CORS ----------------------------------------------------------------------------------------------------------

PREFLIGHT = {"origin": "https://shop.example", "access-control-request-method": "GET"}


@pytest.mark.parametrize("order", ["cors-first", "guard-first", "wrapped"])
async def test_preflights_pass_and_refusals_can_be_read(guard: CognitoGuard, call: Call, order: str) -> None:
    starlette = Starlette(routes=[Route("/orders", reached)])
    app: ASGIApp = starlette
    if order == "guard-first":
        guard.install(starlette)
    starlette.add_middleware(CORSMiddleware, allow_origins=["*"])
    if order == "cors-first":
        guard.install(starlette)
    if order == "wrapped":
        app = CognitoGuardMiddleware(starlette, guard=guard)

    preflight = await call(app, "OPTIONS", "/orders", headers=PREFLIGHT)
    assert preflight.status_code == 200
    refused = await call(app, "GET", "/orders", headers={"origin": "https://shop.example"})
    assert refused.status_code == 401
    assert ("access-control-allow-origin" in refused.headers) is (order != "wrapped")


@pytest.mark.parametrize("missing", ["origin", "access-control-request-method"])
async def test_half_a_preflight_is_none(guard: CognitoGuard, call: Call, missing: str) -> None:
    app = CognitoGuardMiddleware(Starlette(routes=[Route("/orders", reached)]), guard=guard)
    headers = {name: value for name, value in PREFLIGHT.items() if name != missing}

    assert (await call(app, "OPTIONS", "/orders", headers=headers)).status_code == 401


@pytest.mark.parametrize("path", ["/options", "/raw/", "/any", "/guarded"])
async def test_a_preflight_does_not_reach_a_handler(guard: CognitoGuard, call: Call, path: str) -> None:
    """What takes OPTIONS, or any method, is a route like another: the shape of a preflight opens nothing."""
    app = Starlette(
        routes=[
            Route("/options", reached, methods=["OPTIONS"]),
            Mount("/raw", app=raw_app),
            Route("/any", raw_app_class()),
            Route("/guarded", guard.require(WRITE)(functools.partial(reached)), methods=["OPTIONS"]),
        ]
    )
    guard.install(app)

    assert (await call(app, "OPTIONS", path, headers=PREFLIGHT)).status_code == 401
    assert (
        await call(CognitoGuardMiddleware(raw_app, guard=guard), "OPTIONS", "/", headers=PREFLIGHT)
    ).status_code == 401


# --- one answer, wherever the refusal comes from -------------------------------------------------------------------

BODY = {
    "error": "insufficient_scope",
    "error_description": "The access token lacks a scope that this resource requires.",
}


def apps_that_refuse(guard: CognitoGuard) -> dict[str, tuple[ASGIApp, str]]:
    """Apps whose route refuses, below all that could put it into other words."""

    @guard.require(WRITE)
    async def handler(request: Request) -> Response:
        raise AssertionError

    class Around(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: Any) -> Response:
            response: Response = await call_next(request)
            return response

    plain, with_base, parent, fast, sub = Starlette(), Starlette(), Starlette(), FastAPI(), FastAPI()
    sub_with_base = FastAPI()
    for app in (plain, with_base, fast, sub, sub_with_base):
        app.router.routes.append(Route("/refused", handler))
    with_base.add_middleware(Around)
    sub_with_base.add_middleware(Around)
    parent.router.routes += [Mount("/sub", app=sub), Mount("/base", app=sub_with_base)]
    for app in (plain, with_base, fast, parent):
        guard.install(app)
    outside = Starlette(routes=[Route("/refused", handler)])
    return {
        "plain": (plain, "/refused"),
        "base": (with_base, "/refused"),
        "fastapi": (fast, "/refused"),
        "sub-app": (parent, "/sub/refused"),
        "sub-app-base": (parent, "/base/refused"),
        "wrapped": (CognitoGuardMiddleware(outside, guard=guard), "/refused"),
        "wrapped-fastapi": (CognitoGuardMiddleware(sub, guard=guard), "/refused"),
    }


NAMES = ["plain", "base", "fastapi", "sub-app", "sub-app-base", "wrapped", "wrapped-fastapi"]


@pytest.mark.parametrize("name", NAMES)
async def test_a_refusal_is_said_in_one_way(guard: CognitoGuard, call: Call, token: str, name: str) -> None:
    app, path = apps_that_refuse(guard)[name]

    answer = await call(app, "GET", path, token)

    assert (answer.status_code, answer.json()) == (403, BODY)
    assert answer.headers["www-authenticate"] == (
        f'Bearer error="insufficient_scope", error_description="{BODY["error_description"]}", scope="{WRITE}"'
    )


@pytest.mark.parametrize("key", [HTTPException, FastAPIHTTPException, BearerError, RefusalError, "status"])
@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_an_apps_own_handler_says_it_its_own_way(
    guard: CognitoGuard, call: Call, token: str, key: Any, kind: str, framework: Any
) -> None:
    calls = []

    def shape(request: Request, error: HTTPException) -> Response:
        calls.append(request.url.path)
        return JSONResponse({"problem": error.detail}, error.status_code, error.headers)

    async def shape_async(request: Request, error: HTTPException) -> Response:
        return shape(request, error)

    handler = shape if kind == "sync" else shape_async
    app = framework()
    app.router.routes += [Route("/refused", guard.require(WRITE)(functools.partial(reached)))]
    for each in (401, 403) if key == "status" else (key,):
        app.add_exception_handler(each, handler)
    guard.install(app)

    by_middleware, by_route = await call(app, "GET", "/refused"), await call(app, "GET", "/refused", token)

    assert by_middleware.json() == {"problem": "A bearer access token is required."}
    assert by_middleware.headers["www-authenticate"] == "Bearer"
    assert by_route.json() == {"problem": BODY["error_description"]}
    assert by_route.headers["www-authenticate"].startswith('Bearer error="insufficient_scope"')
    assert calls == ["/refused", "/refused"]


async def test_a_handler_for_something_else_is_left_alone(guard: CognitoGuard, call: Call, token: str) -> None:
    def never(request: Request, error: Exception) -> Response:
        raise AssertionError

    app = Starlette(
        routes=[Route("/refused", guard.require(WRITE)(functools.partial(reached)))],
        exception_handlers={404: never, ValueError: never, Exception: never, 500: never},
    )
    guard.install(app)

    assert (await call(app, "GET", "/refused")).status_code == 401
    assert (await call(app, "GET", "/refused", token)).json() == BODY


async def test_a_parents_handler_shapes_what_a_sub_app_refuses(guard: CognitoGuard, call: Call, token: str) -> None:
    async def shape(request: Request, error: HTTPException) -> Response:
        return JSONResponse({"problem": error.detail}, error.status_code, error.headers)

    sub = FastAPI()
    sub.router.routes.append(Route("/refused", guard.require(WRITE)(functools.partial(reached))))
    app = Starlette(routes=[Mount("/sub", app=sub)])
    app.add_exception_handler(HTTPException, shape)  # type: ignore[arg-type]
    guard.install(app)

    assert (await call(app, "GET", "/sub/refused")).json() == {"problem": "A bearer access token is required."}
    assert (await call(app, "GET", "/sub/refused", token)).json() == {"problem": BODY["error_description"]}


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.parametrize("name", NAMES)
async def test_on_error_shapes_every_refusal(
    make_guard: MakeGuard, call: Call, token: str, kind: str, name: str
) -> None:
    def shape(conn: Any, error: RefusalError) -> Response:
        return PlainTextResponse(f"{conn.url.path} {error.reason}", error.status, error.headers)

    async def shape_async(conn: Any, error: RefusalError) -> Response:
        return shape(conn, error)

    guard = make_guard(on_error=shape if kind == "sync" else shape_async)
    app, path = apps_that_refuse(guard)[name]

    assert (await call(app, "GET", path)).text == f"{path} missing_token"
    refused = await call(app, "GET", path, token)
    assert (refused.status_code, refused.text) == (403, f"{path} scope")
    assert refused.headers["www-authenticate"].endswith(f'scope="{WRITE}"')


async def test_on_error_comes_before_a_handler_of_the_app(make_guard: MakeGuard, call: Call, token: str) -> None:
    async def shape(request: Request, error: Exception) -> Response:
        return PlainTextResponse("the app's")

    guard = make_guard(on_error=lambda conn, error: PlainTextResponse("mine", error.status))
    app = Starlette(
        routes=[Route("/refused", guard.require(WRITE)(functools.partial(reached)))],
        exception_handlers={HTTPException: shape},
    )
    guard.install(app)

    assert (await call(app, "GET", "/refused")).text == "mine"
    assert (await call(app, "GET", "/refused", token)).text == "mine"


async def test_the_realm_stands_in_every_challenge(make_guard: MakeGuard, call: Call, token: str) -> None:
    app = guarded_app(make_guard(realm="Orders"))

    assert (await call(app, "GET", "/orders")).headers["www-authenticate"] == 'Bearer realm="Orders"'
    refused = await call(app, "GET", "/refused", token)
    assert refused.headers["www-authenticate"].startswith('Bearer realm="Orders", error="insufficient_scope"')


async def test_an_error_of_the_app_stays_the_apps(guard: CognitoGuard, call: Call, token: str) -> None:
    async def broken(request: Request) -> Response:
        raise LookupError("broken")

    app = Starlette(routes=[Route("/broken", broken)])
    guard.install(app)

    assert (await call(app, "GET", "/broken", token, crash=False)).status_code == 500
    with pytest.raises(LookupError):
        await call(app, "GET", "/broken", token)


async def test_a_cleanup_that_fails_after_a_refusal_is_not_hidden(guard: CognitoGuard, token: str) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        try:
            await guard.require(WRITE)(conn=request)
        finally:
            raise LookupError("cleanup")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer " + token.encode())]
    with pytest.raises(LookupError):
        await CognitoGuardMiddleware(broken, guard=guard)(
            {"type": "http", "method": "GET", "path": "/", "headers": headers}, no_body, send
        )
    assert sent[0]["status"] == 403


async def test_a_refusal_after_the_response_has_begun_is_the_apps_error(
    guard: CognitoGuard, call: Call, token: str
) -> None:
    async def late(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await guard.require(WRITE)(conn=Request(scope, receive, send))

    with pytest.raises(RefusalError):
        await call(CognitoGuardMiddleware(late, guard=guard), "GET", "/", token)


async def test_an_app_that_handles_nothing_is_answered_for(guard: CognitoGuard, call: Call, token: str) -> None:
    async def bare(scope: Scope, receive: Receive, send: Send) -> None:
        await guard.require(WRITE)(conn=Request(scope, receive, send))

    assert (await call(CognitoGuardMiddleware(bare, guard=guard), "GET", "/", token)).json() == BODY


async def test_a_refusal_is_final(guard: CognitoGuard, call: Call, token: str) -> None:
    async def swallows(request: Request) -> Response:
        with suppress(RefusalError):
            await guard.require(WRITE)(conn=request)
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", swallows)])
    guard.install(app)

    assert (await call(app, "GET", "/", token)).json() == BODY


# --- what is streamed, sent in the background, nested --------------------------------------------------------------


async def test_streams_and_background_tasks_are_untouched(guard: CognitoGuard, call: Call, token: str) -> None:
    done: list[str] = []

    async def stream(request: Request) -> Response:
        async def chunks() -> AsyncIterator[str]:
            for chunk in "abc":
                await anyio.lowlevel.checkpoint()
                yield chunk

        return StreamingResponse(chunks(), background=BackgroundTask(done.append, "done"))

    app = Starlette(routes=[Route("/", stream)])
    guard.install(app)

    assert (await call(app, "GET", "/", token)).text == "abc"
    assert done == ["done"]


async def test_a_sub_app_may_have_a_guard_of_its_own(
    make_guard: MakeGuard, call: Call, token: str, pool: LocalPool
) -> None:
    writer = pool.add_client(scopes=[WRITE])
    outer = make_guard(UserPool(pool.pool_id, client_ids={writer.client_id, guard_client(token)}))
    inner = make_guard(UserPool(pool.pool_id, client_ids={writer.client_id}))
    sub = Starlette(
        routes=[
            Route("/both", outer.require(WRITE)(inner.require(WRITE)(functools.partial(reached)))),
            Route("/any", reached),
        ]
    )
    inner.install(sub)
    app = Starlette(routes=[Mount("/sub", app=sub), Route("/", reached)])
    outer.install(app)

    may_write = pool.mint(client_id=writer.client_id)
    assert (await call(app, "GET", "/", token)).status_code == 200
    assert (await call(app, "GET", "/sub/any", token)).status_code == 401
    assert (await call(app, "GET", "/sub/any", may_write)).status_code == 200
    assert (await call(app, "GET", "/sub/both", may_write)).status_code == 200


async def test_a_guard_that_is_met_twice_judges_once(make_guard: MakeGuard, call: Call, token: str) -> None:
    verified: list[Any] = []
    guard = make_guard(on_event=lambda event: verified.append(type(event).__name__))
    sub = guarded_app(guard)
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app)

    assert (await call(app, "GET", "/sub/orders", token)).status_code == 200
    assert (await call(app, "GET", "/sub/health")).status_code == 200
    assert (await call(app, "GET", "/sub/orders")).status_code == 401
    assert verified.count("Verified") == 1


async def test_a_guard_that_is_met_twice_lets_a_stranger_in_once(guard: CognitoGuard, call: Call) -> None:
    """What the outer one knows to be open, the inner one may not."""
    inner = CognitoGuardMiddleware(raw_app, guard=guard)
    app = CognitoGuardMiddleware(inner, guard=guard, public_paths={("GET", "/docs")})

    assert (await call(app, "GET", "/docs")).status_code == 200
    assert (await call(app, "GET", "/orders")).status_code == 401


# --- websockets ----------------------------------------------------------------------------------------------------


async def websocket_messages(app: ASGIApp, path: str, token: str | None = None, *, denial: bool = False) -> list[Any]:
    sent: list[Any] = []
    incoming = iter([{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}])

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {"type": "websocket", "path": path, "headers": [], "query_string": b"", "root_path": ""}
    if token is not None:
        scope["headers"] = [(b"authorization", b"Bearer " + token.encode())]
    if denial:
        scope["extensions"] = {"websocket.http.response": {}}
    await app(scope, receive, send)
    return sent


def websocket_app(guard: CognitoGuard, framework: Any) -> Any:
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    app = framework()
    app.router.routes += [
        WebSocketRoute("/feed", feed),
        WebSocketRoute("/refused", guard.require(WRITE)(feed)),
        WebSocketRoute("/public", guard.public(functools.partial(feed))),
        WebSocketRoute("/path", feed),
    ]
    guard.install(app, public_paths={("WEBSOCKET", "/path")})
    return app


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_a_websocket_is_denied_with_a_real_status(guard: CognitoGuard, token: str, framework: Any) -> None:
    app = websocket_app(guard, framework)

    start, body = await websocket_messages(app, "/feed", denial=True)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert (b"www-authenticate", b"Bearer") in start["headers"]
    assert b"missing_token" in body["body"]

    start, _ = await websocket_messages(app, "/refused", token, denial=True)
    assert start["status"] == 403
    assert WRITE.encode() in dict(start["headers"])[b"www-authenticate"]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_a_websocket_is_closed_where_denials_are_not_offered(
    make_guard: MakeGuard, fetch: Any, token: str, framework: Any
) -> None:
    """Starlette itself would send the denial all the same."""
    app = websocket_app(make_guard(), framework)
    close = {"type": "websocket.close"}

    assert await websocket_messages(app, "/feed") == [close | {"code": 3000, "reason": "missing_token"}]
    assert await websocket_messages(app, "/feed", "x") == [close | {"code": 3000, "reason": "malformed"}]
    assert await websocket_messages(app, "/refused", token) == [close | {"code": 3003, "reason": "scope"}]

    fetch.fail(OSError())
    app = websocket_app(make_guard(), framework)
    assert await websocket_messages(app, "/feed", token) == [close | {"code": 1013, "reason": "keys_unavailable"}]


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_a_websocket_is_let_in(guard: CognitoGuard, token: str, framework: Any) -> None:
    app = websocket_app(guard, framework)

    for path, sent in (("/feed", token), ("/public", None), ("/path", None), ("/public", "bad")):
        assert (await websocket_messages(app, path, sent))[0]["type"] == "websocket.accept"


@pytest.mark.parametrize("denial", [True, False])
async def test_a_handler_of_the_app_shapes_the_denial_of_a_websocket(
    guard: CognitoGuard, token: str, denial: bool
) -> None:
    async def shape(conn: Any, error: HTTPException) -> Response:
        return PlainTextResponse("shaped", error.status_code, error.headers)

    app = websocket_app(guard, Starlette)
    app.add_exception_handler(HTTPException, shape)

    sent = await websocket_messages(app, "/refused", token, denial=denial)
    if denial:
        assert (sent[0]["status"], sent[1]["body"]) == (403, b"shaped")
    else:
        assert sent == [{"type": "websocket.close", "code": 3003, "reason": "scope"}]


# --- lifespan ------------------------------------------------------------------------------------------------------


async def test_a_start_that_fails_is_passed_on(guard: CognitoGuard, fetch: Any) -> None:
    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        raise LookupError("no database")
        yield  # pragma: no cover - what makes it a generator

    app = Starlette(lifespan=lifespan)
    guard.install(app)

    with pytest.raises(LookupError):
        await run_lifespan(app)
    assert fetch.calls == 0


async def run_lifespan(app: ASGIApp) -> list[str]:
    sent: list[str] = []
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(incoming)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "state": {}}, receive, send)
    return sent


@pytest.mark.parametrize("wrapped", [True, False])
async def test_the_lifespan_fetches_keys_ahead(guard: CognitoGuard, pool: LocalPool, fetch: Any, wrapped: bool) -> None:
    events = []

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        events.append("start")
        yield
        events.append("stop")

    starlette = Starlette(lifespan=lifespan)
    app: ASGIApp = CognitoGuardMiddleware(starlette, guard=guard)
    if not wrapped:
        guard.install(starlette)
        app = starlette

    assert await run_lifespan(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert events == ["start", "stop"]
    assert fetch.calls == 1
    assert guard.status()[pool.pool_id]["ready"]


async def test_an_app_starts_without_keys(
    make_guard: MakeGuard, fetch: Any, pool: LocalPool, caplog: pytest.LogCaptureFixture
) -> None:
    fetch.fail(OSError())
    guard = make_guard()
    app = guarded_app(guard)

    assert await run_lifespan(app) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert guard.status()[pool.pool_id] == {
        "ready": False,
        "keys": 0,
        "age": None,
        "last_error": "the fetch raised OSError",
    }
    assert "starting without keys" in caplog.text


# --- what is left behind -------------------------------------------------------------------------------------------


class Exchange:
    """A request as servers keep it: the scope beside the means to answer."""

    def __init__(self, path: str, token: str | None) -> None:
        headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
        self.scope: Any = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b""}
        self.status = 0

    async def send(self, message: Any) -> None:
        self.status = message.get("status", self.status)


@pytest.mark.parametrize(
    ("path", "authorized", "status"),
    [("/orders", True, 200), ("/orders", False, 401), ("/refused", True, 403), ("/health", False, 200)],
)
async def test_a_request_leaves_nothing_to_the_garbage_collector(
    guard: CognitoGuard, token: str, path: str, authorized: bool, status: int
) -> None:
    app = guarded_app(guard)

    async def serve() -> weakref.ref[Exchange]:
        exchange = Exchange(path, token if authorized else None)
        await app(exchange.scope, no_body, exchange.send)
        assert exchange.status == status
        return weakref.ref(exchange)

    await serve()
    gc.disable()
    try:
        assert (await serve())() is None
    finally:
        gc.enable()
