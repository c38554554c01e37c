"""What reaches the app and what does not."""

import functools
import gc
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware, UserPool
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalPool
from tests.requests.apps import WRITE, guard_client, guarded_app, no_body, raw_app, reached

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]


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


async def test_outer_middleware_knows_the_user_too(guard: CognitoGuard, call: Call, token: str) -> None:
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


async def test_a_stranger_that_one_pass_lets_in_is_judged_again_by_the_next(guard: CognitoGuard, call: Call) -> None:
    inner = CognitoGuardMiddleware(raw_app, guard=guard)
    outer = CognitoGuardMiddleware(inner, guard=guard, public_paths={("GET", "/docs")})
    both = CognitoGuardMiddleware(
        CognitoGuardMiddleware(raw_app, guard=guard, public_paths={("GET", "/docs")}),
        guard=guard,
        public_paths={("GET", "/docs")},
    )

    assert (await call(outer, "GET", "/docs")).status_code == 401
    assert (await call(both, "GET", "/docs")).status_code == 200
    assert (await call(both, "GET", "/orders")).status_code == 401


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
    [
        ("/orders", True, 200), ("/orders", False, 401), ("/refused", True, 403), ("/health", False, 200),
        ("wrapped", True, 403),
    ],
)  # fmt: skip
async def test_a_request_leaves_nothing_to_the_garbage_collector(
    guard: CognitoGuard, token: str, path: str, authorized: bool, status: int
) -> None:
    wrapped = CognitoGuardMiddleware(guard.require(WRITE).wrap(raw_app), guard=guard)
    app = wrapped if path == "wrapped" else guarded_app(guard)

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


async def test_an_app_is_checked_and_announced_once_where_there_is_no_lifespan(
    guard: CognitoGuard, call: Call, token: str
) -> None:
    calls: list[str] = []
    app = CognitoGuardMiddleware(
        raw_app, guard=guard, check=lambda: calls.append("check"), announce=lambda: calls.append("announce")
    )

    for _ in range(3):
        assert (await call(app, "GET", "/", token)).status_code == 200
    assert calls == ["check", "announce"]


async def test_an_app_with_a_mistake_serves_nobody_where_there_is_no_lifespan(guard: CognitoGuard, token: str) -> None:
    mistaken = FastAPI(dependencies=[Depends(guard.require)])
    mistaken.get("/orders")(no_body)
    app = CognitoGuardMiddleware(mistaken, guard=guard)

    async def send(message: Any) -> None:
        raise AssertionError

    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"guard\.require"):
            await app(Exchange("/orders", token).scope, no_body, send)
