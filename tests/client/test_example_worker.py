"""The example's worker in process: it places orders at the example's API with tokens of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cognito_guard import CognitoGuard
from cognito_guard.client import ClientCredentials
from cognito_guard.local import LocalClient
from example_app import api
from example_app.worker import make_worker

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
Make = Callable[..., ClientCredentials]

API = "https://orders.example"


@pytest.fixture
def auth(make_client: Make, writer: LocalClient) -> ClientCredentials:
    return make_client(client_id=writer.client_id, client_secret=writer.secret)


@pytest.fixture
def worker(auth: ClientCredentials, guard: CognitoGuard) -> Starlette:
    return make_worker(API, auth, httpx.ASGITransport(api.make_api(guard)))


async def test_it_places_orders_with_one_token(worker: Starlette, call: Call, writer: LocalClient) -> None:
    for _ in range(3):
        placed = await call(worker, "POST", "/reorder")
        assert placed.status_code == 201
        assert placed.json() == {"item": "tea", "quantity": 10, "placed_by": writer.client_id}

    status = (await call(worker, "GET", "/tokens")).json()
    assert (status["bought"], status["reused"]) == (1, 2)


async def test_it_passes_on_what_the_api_says(
    make_client: Make, guard: CognitoGuard, call: Call, reader: LocalClient
) -> None:
    """A client that may only read orders."""
    worker = make_worker(API, make_client(), httpx.ASGITransport(api.make_api(guard)))
    refused = await call(worker, "POST", "/reorder")

    assert (refused.status_code, refused.json()["error"]) == (403, "insufficient_scope")


async def test_it_says_why_it_gets_no_token(make_client: Make, call: Call) -> None:
    failed = await call(make_worker(API, make_client(client_secret="wrong")), "POST", "/reorder")

    assert failed.status_code == 502
    assert failed.json()["error"].startswith("no access token: invalid_client (HTTP status 400). Compare client_id")


async def test_it_says_that_the_api_is_away(auth: ClientCredentials, call: Call) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    failed = await call(make_worker(API, auth, httpx.MockTransport(fail)), "POST", "/reorder")

    assert (failed.status_code, failed.json()) == (502, {"error": "the orders API cannot be reached: ConnectError"})


def test_its_client_is_closed_with_it(auth: ClientCredentials) -> None:
    class Transport(httpx.AsyncBaseTransport):
        closed = False

        async def aclose(self) -> None:
            self.closed = True

    transport: Any = Transport()
    with TestClient(make_worker(API, auth, transport)):
        assert not transport.closed

    assert transport.closed
