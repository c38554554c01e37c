"""Preflights, and refusals that a browser may read."""

import functools
from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from tests.requests.apps import WRITE, raw_app, raw_app_class, reached

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
