"""What a trace says about a caller."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import httpx
import pytest
from opentelemetry import context, trace
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cognito_guard import CognitoGuard
from cognito_guard.local import LocalClient, LocalPool


class RecordedSpan(trace.NonRecordingSpan):
    """A span that keeps its attributes."""

    def __init__(self, *, recording: bool) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.attributes: dict[str, Any] = {}
        self._recording = recording

    def is_recording(self) -> bool:
        return self._recording

    def set_attribute(self, key: str, value: Any) -> None:
        self.attributes[key] = value


@contextmanager
def current_span(*, recording: bool = True) -> Iterator[RecordedSpan]:
    span = RecordedSpan(recording=recording)
    token = context.attach(trace.set_span_in_context(span))
    yield span
    context.detach(token)


@pytest.mark.anyio
async def test_a_recorded_span_has_the_client_and_the_outcome(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, call: Callable[..., Awaitable[httpx.Response]]
) -> None:
    async def reached(request: Request) -> Response:
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", reached), Route("/write", guard.require("orders/order.write")(reached))])
    guard.install(app)
    token = pool.mint(client_id=reader.client_id)

    with current_span() as verified:
        await call(app, "GET", "/", token)
    with current_span() as missing:
        await call(app, "GET", "/")
    with current_span() as refused:
        await call(app, "GET", "/write", token)
    with current_span(recording=False) as unrecorded:
        await call(app, "GET", "/", token)

    who = {"cognito_guard.client_id": reader.client_id}
    assert verified.attributes == who | {"cognito_guard.outcome": "verified"}
    assert missing.attributes == {"cognito_guard.outcome": "missing_token"}
    assert refused.attributes == who | {"cognito_guard.outcome": "scope"}
    assert unrecorded.attributes == {}


@pytest.mark.anyio
async def test_where_no_trace_is_written_a_caller_is_let_in_all_the_same(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.trace")

    with current_span() as span:
        assert (await guard.verify(pool.mint(client_id=reader.client_id))).client_id == reader.client_id

    assert span.attributes == {}
    assert "opentelemetry.trace" not in sys.modules


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["opentelemetry.context", "opentelemetry.trace"])
async def test_a_caller_is_let_in_while_another_thread_imports_opentelemetry(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, ModuleType(name))

    with current_span() as span:
        assert (await guard.verify(pool.mint(client_id=reader.client_id))).client_id == reader.client_id

    assert span.attributes == {}


@pytest.mark.slow
def test_opentelemetry_is_not_loaded_for_it() -> None:
    script = (
        "import sys; from cognito_guard._report.telemetry import annotate; annotate('verified', None); "
        "assert 'opentelemetry' not in sys.modules"
    )

    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
