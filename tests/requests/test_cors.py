"""Preflights, and refusals that a browser may read."""

import functools
from collections.abc import Awaitable, Callable

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Host, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from tests.requests.apps import WRITE, Own, raw_app, raw_app_class, reached
from tests.requests.recording import ask

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]

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
async def test_an_incomplete_preflight_is_not_a_preflight(guard: CognitoGuard, call: Call, missing: str) -> None:
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


class Elsewhere(Own):
    """Leads all requests to one path."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.inner({**scope, "path": "/a/private"}, receive, send)


def cors() -> Middleware:
    return Middleware(CORSMiddleware, allow_origins=["*"])


def orders(*middleware: Middleware) -> Starlette:
    return Starlette(routes=[Route("/orders", reached)], middleware=middleware)


@pytest.mark.parametrize(
    ("route", "host", "path"),
    [
        pytest.param(lambda: Mount("/in", app=orders(cors())), "api.example", "/in/orders", id="of-the-app"),
        pytest.param(
            lambda: Mount("/in", app=orders(cors(), Middleware(Own))), "api.example", "/in/orders", id="first"
        ),
        pytest.param(lambda: Mount("/in", app=orders(Middleware(Own), cors())), "api.example", "/in/orders", id="last"),
        pytest.param(
            lambda: Mount("/in", app=CORSMiddleware(orders(), allow_origins=["*"])),
            "api.example",
            "/in/orders",
            id="around",
        ),
        pytest.param(
            lambda: Mount("/in", app=orders(), middleware=[cors()]), "api.example", "/in/orders", id="of-the-mount"
        ),
        pytest.param(
            lambda: Mount("/in", routes=[Mount("/deeper", app=orders(cors()))]),
            "api.example",
            "/in/deeper/orders",
            id="deeper",
        ),
        pytest.param(lambda: Host("shop.example", app=orders(cors())), "shop.example", "/orders", id="of-a-host"),
        pytest.param(
            lambda: Host("shop.example", app=Starlette(routes=[Mount("/in", app=orders(cors()))])),
            "shop.example",
            "/in/orders",
            id="below-a-host",
        ),
    ],
)
async def test_a_mounted_app_answers_the_preflights_for_it(
    guard: CognitoGuard, call: Call, route: Callable[[], BaseRoute], host: str, path: str
) -> None:
    app = Starlette(routes=[route(), Route("/options", reached, methods=["OPTIONS"]), Mount("/other", app=orders())])
    guard.install(app)
    here = {"host": host}

    assert (await call(app, "OPTIONS", path, headers=PREFLIGHT | here)).status_code == 200
    assert (await call(app, "OPTIONS", path, headers=here)).status_code == 401
    assert (await call(app, "GET", path, headers=here)).status_code == 401
    for elsewhere in ("/options", "/other/orders", "/nowhere"):
        answer = await call(app, "OPTIONS", elsewhere, headers=PREFLIGHT | {"host": "api.example"})
        assert answer.status_code == 401


async def test_a_preflight_is_looked_up_below_the_root_path_of_the_app(guard: CognitoGuard, call: Call) -> None:
    app = FastAPI(routes=[Mount("/in", app=orders(cors()))])
    app.root_path = "/api"  # as an argument it is deprecated
    guard.install(app)

    for path in ("/api/in/orders", "/in/orders"):
        assert (await call(app, "OPTIONS", path, headers=PREFLIGHT)).status_code == 200
    assert (await call(app, "OPTIONS", "/apiin/orders", headers=PREFLIGHT)).status_code == 401


async def test_a_preflight_is_looked_up_below_the_root_path_of_the_server(guard: CognitoGuard) -> None:
    app = Starlette(routes=[Mount("/in", app=orders(cors()))])
    guard.install(app)
    preflight = {"origin": "https://shop.example", "access_control_request_method": "GET"}

    for path, status in (("/api/in/orders", 200), ("/api/orders", 401)):
        assert (await ask(app, "OPTIONS", path, root_path="/api", **preflight)).status == status


async def test_a_preflight_passes_what_is_between_two_guards(
    make_guard: Callable[[], CognitoGuard], call: Call
) -> None:
    """Middleware of the app's own hides the routes, but Starlette knows what is ahead of each guard."""
    outer, inner = make_guard(), make_guard()
    app = Starlette(routes=[Route("/orders", reached)])
    app.add_middleware(Own)
    inner.install(app)
    app.add_middleware(Own)
    app.add_middleware(CORSMiddleware, allow_origins=["*"])
    outer.install(app)

    assert (await call(app, "OPTIONS", "/orders", headers=PREFLIGHT)).status_code == 200
    assert (await call(app, "GET", "/orders")).status_code == 401


async def test_a_preflight_that_is_led_elsewhere_on_its_way_opens_nothing(guard: CognitoGuard, call: Call) -> None:
    inner = [Mount("/b", app=orders(cors())), Route("/private", reached, methods=["OPTIONS"])]
    app = Starlette(routes=[Mount("/a", app=Starlette(routes=inner, middleware=[Middleware(Elsewhere)]))])
    guard.install(app)

    assert (await call(app, "OPTIONS", "/a/b/orders", headers=PREFLIGHT)).status_code == 401


@pytest.mark.parametrize(
    ("method", "header", "status"),
    [
        ("OPTIONS", "access-control-allow-origin", 200),
        ("OPTIONS", "access-control-max-age", 401),
        ("GET", "access-control-allow-origin", 401),
    ],
)
async def test_before_a_route_is_chosen_a_stranger_is_told_what_a_preflight_allows_and_nothing_else(
    guard: CognitoGuard, call: Call, method: str, header: str, status: int
) -> None:
    async def early(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("early", headers={header: "5"})(scope, receive, send)

    route = Route("/open", guard.public(reached), methods=["GET", "OPTIONS"])
    app = Starlette(routes=[route], middleware=[Middleware(lambda _: early)])

    answer = await call(CognitoGuardMiddleware(app, guard=guard), method, "/open", headers=PREFLIGHT)
    assert (answer.status_code, header in answer.headers) == (status, status == 200)


async def test_a_preflight_that_is_answered_is_no_refusal(make_guard: Callable[..., CognitoGuard], call: Call) -> None:
    events: list[object] = []
    guard = make_guard(on_event=events.append)
    app = Starlette(routes=[Route("/orders", reached)], middleware=[cors()])

    answer = await call(CognitoGuardMiddleware(app, guard=guard), "OPTIONS", "/orders", headers=PREFLIGHT)
    assert (answer.status_code, answer.text, events) == (200, "OK", [])


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_a_preflight_is_answered_wherever_the_middleware_stands(
    guard: CognitoGuard, call: Call, place: int
) -> None:
    middleware = [Middleware(Own), Middleware(Own)]
    middleware.insert(place, cors())
    app = CognitoGuardMiddleware(Starlette(routes=[Route("/orders", reached)], middleware=middleware), guard=guard)

    assert (await call(app, "OPTIONS", "/orders", headers=PREFLIGHT)).status_code == 200
    assert (await call(app, "GET", "/orders", headers=PREFLIGHT)).status_code == 401


@pytest.mark.parametrize("missing", [None, "origin", "access-control-request-method"])
async def test_middleware_behind_the_guard_sees_preflights_and_no_other_request_of_a_stranger(
    guard: CognitoGuard, call: Call, missing: str | None
) -> None:
    seen: list[str] = []

    class Watching(Own):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope["method"])
            await super().__call__(scope, receive, send)

    routes = [Route("/orders", reached), Route("/open", guard.public(functools.partial(reached)))]
    app = Starlette(routes=routes, middleware=[Middleware(Watching), cors()])
    guarded = CognitoGuardMiddleware(app, guard=guard)
    headers = {name: value for name, value in PREFLIGHT.items() if name != missing}

    for method in ("OPTIONS", "GET"):
        status = (await call(guarded, method, "/orders", headers=headers)).status_code
        assert status == (200 if method == "OPTIONS" and missing is None else 401)
    assert seen == ([] if missing else ["OPTIONS"])


@pytest.mark.parametrize("before", [[], [Middleware(Own)]])
@pytest.mark.parametrize("between", [[], [Middleware(Own)]])
async def test_a_preflight_is_answered_right_behind_the_guard(
    guard: CognitoGuard, call: Call, before: list[Middleware], between: list[Middleware]
) -> None:
    middleware = [*before, Middleware(CognitoGuardMiddleware, guard=guard), *between, cors(), Middleware(Own)]
    app = Starlette(routes=[Route("/orders", reached)], middleware=middleware)

    assert (await call(app, "OPTIONS", "/orders", headers=PREFLIGHT)).status_code == 200
    assert (await call(app, "GET", "/orders")).status_code == 401
