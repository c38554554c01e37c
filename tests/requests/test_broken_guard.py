"""A guard that does not guard."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from tests.requests.apps import WRITE, inside

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]


class Broken(CognitoGuardMiddleware):
    """Lets everything through."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_requirements_refuse_behind_a_guard_that_lets_everything_through(
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
