"""Keys are fetched when the app starts, and it starts without them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.types import ASGIApp

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalPool
from tests.requests.apps import guarded_app, no_body

pytestmark = pytest.mark.anyio

MakeGuard = Callable[..., CognitoGuard]


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
    status = guard.status()[pool.pool_id]
    assert (status["ready"], status["keys"], status["age"]) == (False, 0, None)
    assert "the fetch raised OSError" in (status["last_error"] or "")
    assert "starting without keys" in caplog.text
    assert {each.name for each in caplog.records if each.name.startswith("cognito")} == {"cognito_guard"}


async def test_an_app_that_must_not_start_says_so_to_the_server(guard: CognitoGuard) -> None:
    """An exception alone is taken by servers to mean that there is no lifespan."""
    app = FastAPI(dependencies=[Depends(guard.require)])
    app.get("/x")(no_body)
    guard.install(app)
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(ConfigurationError):
        await app({"type": "lifespan"}, receive, send)

    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "Depends(guard.require)" in sent[0]["message"]
