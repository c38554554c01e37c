"""Start-up and shutdown do not wait for a refresh that hangs, but wait for one that is about to end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
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
from tests.api_gateway import event
from tests.keys.gate import IN_TIME, Gate

POLICY = KeyPolicy(max_age=100, stale_for=1_000, cooldown=10, timeout=60)


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
        (trusted,) = internals_of(guard).verifier.issuers._all  # noqa: SLF001 - nobody else knows who waits
        until = time.monotonic() + IN_TIME
        while not (trusted.keys._attempt and trusted.keys._attempt.waiting):  # noqa: SLF001
            assert time.monotonic() < until
            threading.Event().wait(0.005)
        body: bytes = fetch(url, timeout)
        return body

    guard = make_guard(fetch=ends_when_waited_for, key_policy=POLICY)
    lifespan = Lifespan(guarded(guard))

    async with anyio.create_task_group() as group:
        group.start_soon(lifespan.run)
        await lifespan.started.wait()
        await internals_of(guard).verifier.issuers.settle()
        timer.advance(100)
        await guard.prefetch()
        assert len(fetching()) == 1
        lifespan.shut_down.set()

    assert fetching() == []
    assert fetch.calls == 2


@pytest.mark.anyio
async def test_neither_start_up_nor_shutdown_waits_for_a_refresh_that_hangs(
    make_guard: Callable[..., CognitoGuard], gate: Gate, timer: Any
) -> None:
    gate.open.set()
    guard = make_guard(fetch=gate, key_policy=POLICY)
    await guard.prefetch()
    await internals_of(guard).verifier.issuers.settle()
    gate.open.clear()
    timer.advance(100)
    lifespan = Lifespan(guarded(guard))
    lifespan.shut_down.set()
    started = time.monotonic()

    await lifespan.run()

    assert time.monotonic() - started < POLICY.timeout / 2
    assert len(fetching()) == 1
    gate.open.set()
    await internals_of(guard).verifier.issuers.settle()


@pytest.fixture
def invoke(
    make_guard: Callable[..., CognitoGuard], gate: Gate, pool: LocalPool, reader: LocalClient, mangum_loop: None
) -> Callable[[], int]:
    """Call a Lambda function with a new token, and return the status. Its guard fetches keys through the gate."""
    handler = Mangum(guarded(make_guard(fetch=gate, key_policy=POLICY)))

    def invoke() -> int:
        token = pool.mint(client_id=reader.client_id)
        status: int = handler(event("/", token), None)["statusCode"]  # type: ignore[arg-type]
        return status

    return invoke


def test_no_call_of_a_function_waits_for_an_outage_while_keys_are_held(
    invoke: Callable[[], int], gate: Gate, timer: Any
) -> None:
    """Mangum starts the app up and shuts it down in each call."""
    gate.open.set()
    assert invoke() == 200
    gate.close()

    for _ in range(2):
        timer.advance(200)
        started = time.monotonic()
        assert invoke() == 200
        assert time.monotonic() - started < POLICY.timeout / 2

    gate.open.set()
    for thread in fetching():
        thread.join(IN_TIME)


def test_a_function_that_was_frozen_in_a_fetch_is_right_at_its_next_call(
    invoke: Callable[[], int], gate: Gate, timer: Any, pool: LocalPool, new_keys: Callable[[], PoolKeys]
) -> None:
    gate.open.set()
    assert invoke() == 200
    gate.close()
    timer.advance(200)
    assert invoke() == 200
    pool.rotate(new_keys())
    timer.advance(600)
    (frozen,) = fetching()
    gate.open.set()
    frozen.join(IN_TIME)

    assert invoke() == 200
