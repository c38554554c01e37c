"""Start-up and shutdown: neither waits for a refresh that hangs, and a refresh that is about to end may end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mangum import Mangum
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Message

from cognito_guard import CognitoGuard, KeyPolicy
from cognito_guard._requests.internals import internals_of
from cognito_guard.local import LocalClient, LocalPool, PoolKeys

IN_TIME = 20.0
"""Seconds that a test waits for what must come, before it fails."""

POLICY = KeyPolicy(max_age=100, stale_for=1_000, cooldown=10, timeout=15)


async def hello(request: Request) -> PlainTextResponse:
    client_id: str = request.user.client_id
    return PlainTextResponse(client_id)


def guarded(guard: CognitoGuard) -> Starlette:
    app = Starlette(routes=[Route("/", hello)])
    guard.install(app)
    return app


def fetching() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("cognito-guard")]


class Lifespan:
    """The server's side of the lifespan protocol."""

    def __init__(self, app: Starlette) -> None:
        self._app = app
        self._requests = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}]
        self.shut_down = anyio.Event()
        self.started = anyio.Event()

    async def run(self) -> None:
        async def receive() -> Message:
            if len(self._requests) == 1:
                await self.shut_down.wait()
            return self._requests.pop()

        async def send(message: Message) -> None:
            self.started.set()

        await self._app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)


@pytest.mark.anyio
async def test_shutdown_waits_for_a_fetch_that_is_about_to_end(
    make_guard: Callable[..., CognitoGuard], fetch: Any, timer: Any
) -> None:
    def ends_when_waited_for(url: str, timeout: float) -> bytes:
        (trusted,) = internals_of(guard).verifier._pools  # noqa: SLF001 - nobody else knows who waits
        for _ in range(int(IN_TIME / 0.005)):
            attempt = trusted.keys._attempt  # noqa: SLF001
            if attempt is not None and attempt.waiting:
                break
            threading.Event().wait(0.005)
        body: bytes = fetch(url, timeout)
        return body

    guard = make_guard(fetch=ends_when_waited_for, key_policy=POLICY)
    lifespan = Lifespan(guarded(guard))

    async with anyio.create_task_group() as group:
        group.start_soon(lifespan.run)
        await lifespan.started.wait()
        await internals_of(guard).verifier.settle()
        timer.advance(100)
        await guard.prefetch()
        assert len(fetching()) == 1
        lifespan.shut_down.set()

    assert fetching() == []
    assert fetch.calls == 2


@pytest.mark.anyio
async def test_neither_start_up_nor_shutdown_waits_for_a_refresh_that_hangs(
    make_guard: Callable[..., CognitoGuard], make_gate: Any, fetch: Any, timer: Any
) -> None:
    gate = make_gate(fetch)
    gate.open.set()
    guard = make_guard(fetch=gate, key_policy=POLICY)
    await guard.prefetch()
    await internals_of(guard).verifier.settle()
    gate.open.clear()
    timer.advance(100)
    lifespan = Lifespan(guarded(guard))
    lifespan.shut_down.set()
    started = time.monotonic()

    await lifespan.run()

    assert time.monotonic() - started < POLICY.timeout / 2
    assert len(fetching()) == 1
    gate.open.set()
    await internals_of(guard).verifier.settle()


def event(token: str) -> dict[str, Any]:
    """What API Gateway hands to a function (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/",
        "rawQueryString": "",
        "headers": {"authorization": f"Bearer {token}", "host": "api.example"},
        "requestContext": {
            "http": {"method": "GET", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "test"}
        },
        "isBase64Encoded": False,
    }


@pytest.fixture
def loop() -> Iterator[None]:
    """The event loop that Mangum finds and never closes."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def handler_of(loop: None) -> Callable[[CognitoGuard], Callable[[str], int]]:
    def handler_of(guard: CognitoGuard) -> Callable[[str], int]:
        handler = Mangum(guarded(guard))

        def handle(token: str) -> int:
            status: int = handler(event(token), None)["statusCode"]  # type: ignore[arg-type]
            return status

        return handle

    return handler_of


def test_no_call_of_a_function_waits_for_an_outage_while_keys_are_held(
    make_guard: Callable[..., CognitoGuard],
    make_gate: Any,
    fetch: Any,
    timer: Any,
    pool: LocalPool,
    reader: LocalClient,
    handler_of: Callable[[CognitoGuard], Callable[[str], int]],
) -> None:
    """Mangum starts the app up and shuts it down in each call."""
    gate = make_gate(fetch)
    gate.open.set()
    guard = make_guard(fetch=gate, key_policy=POLICY)
    handle = handler_of(guard)
    token = pool.mint(client_id=reader.client_id)
    assert handle(token) == 200
    gate.open.clear()

    for _ in range(2):
        timer.advance(200)
        started = time.monotonic()
        assert handle(token) == 200
        assert time.monotonic() - started < POLICY.timeout / 2

    gate.open.set()
    for thread in fetching():
        thread.join(IN_TIME)


def test_a_function_that_was_frozen_in_a_fetch_is_right_at_its_next_call(
    make_guard: Callable[..., CognitoGuard],
    make_gate: Any,
    fetch: Any,
    timer: Any,
    pool: LocalPool,
    reader: LocalClient,
    handler_of: Callable[[CognitoGuard], Callable[[str], int]],
    new_keys: Callable[[], PoolKeys],
) -> None:
    gate = make_gate(fetch)
    gate.open.set()
    guard = make_guard(fetch=gate, key_policy=POLICY)
    handle = handler_of(guard)
    assert handle(pool.mint(client_id=reader.client_id)) == 200
    gate.open.clear()
    timer.advance(200)
    assert handle(pool.mint(client_id=reader.client_id)) == 200
    pool.rotate(new_keys())
    timer.advance(600)
    (frozen,) = fetching()
    gate.open.set()
    frozen.join(IN_TIME)

    assert handle(pool.mint(client_id=reader.client_id)) == 200
    for thread in fetching():
        thread.join(IN_TIME)
