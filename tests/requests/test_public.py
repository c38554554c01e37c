"""What is open to everyone, and what only looks open."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from cognito_guard.errors import ConfigurationError
from tests.requests.apps import (
    guard_client,
    guarded_app,
    needs_included_mounts,
    no_body,
    raw_app,
    raw_app_class,
    reached,
)

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]


@pytest.mark.parametrize("authorization", [None, "Bearer", "Bearer nonsense", "Basic abc", "Bearer " + "x" * 9000])
async def test_a_public_route_ignores_bad_tokens(guard: CognitoGuard, call: Call, authorization: str | None) -> None:
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


async def test_a_public_route_works_without_keys(make_guard: MakeGuard, call: Call, fetch: Any, token: str) -> None:
    fetch.fail(OSError())
    guard = make_guard()
    app = guarded_app(guard)

    assert (await call(app, "GET", "/health", token)).status_code == 200
    unavailable = await call(app, "GET", "/orders", token)
    assert (unavailable.status_code, unavailable.headers["retry-after"]) == (503, "1")
    assert "www-authenticate" not in unavailable.headers
    assert unavailable.json()["error"] == "temporarily_unavailable"


@needs_included_mounts
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
        ("GET", "/health"),
    ):  # fmt: skip
        assert (path, (await call(app, method, path)).status_code) == (path, 401)
    assert (await call(app, "POST", "/router/health")).status_code == 405
    assert (await call(app, "GET", "/orders", headers={"host": "health.example"})).status_code == 401


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


async def test_a_public_mark_counts_for_its_own_guard_only(make_guard: MakeGuard, call: Call) -> None:
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
    app = Starlette(routes=[Route("/health", reached), Route("/orders", reached)])
    guard.install(app, public_paths={("GET", "/health")})
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
async def test_a_header_that_is_not_token68_is_a_bad_request(
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
async def test_no_header_changes_the_path(guard: CognitoGuard, call: Call, headers: dict[str, str]) -> None:
    """CVE-2026-48710: a Host header could make request.url.path another one."""
    app = guarded_app(guard, public_paths={("GET", "/docs")})

    assert (await call(app, "GET", "/orders", headers=headers)).status_code == 401


async def status_below(guard: CognitoGuard, path: str, root_path: str) -> int:
    """Return the status of a request without a token, where only /docs is public."""
    app = CognitoGuardMiddleware(raw_app, guard=guard, public_paths={("GET", "/docs")})
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": "GET", "path": path, "root_path": root_path, "headers": []}, no_body, send)
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(("path", "root_path"), [("/docs", ""), ("/api/docs", "/api"), ("/docs", "/api"), ("", "")])
async def test_public_paths_are_below_the_root_path(guard: CognitoGuard, path: str, root_path: str) -> None:
    assert await status_below(guard, path, root_path) == (200 if path else 401)


@pytest.mark.parametrize(
    ("path", "root_path"), [("/api", "/api"), ("/apidocs", "/api"), ("/api/docs", ""), ("/docs/api", "/api")]
)
async def test_other_paths_below_a_root_path_are_not_public(guard: CognitoGuard, path: str, root_path: str) -> None:
    assert await status_below(guard, path, root_path) == 401


async def test_a_public_path_does_not_open_what_has_a_requirement(guard: CognitoGuard, call: Call) -> None:
    app = guarded_app(guard, public_paths={("GET", "/refused")})

    assert (await call(app, "GET", "/refused")).headers["www-authenticate"] == "Bearer"
    refused = await call(app, "GET", "/refused", "nonsense")
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_token")


async def test_public_paths_are_exact(guard: CognitoGuard, call: Call) -> None:
    app = guarded_app(guard, public_paths={("GET", "/orders"), ("GET", "/X")})

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
