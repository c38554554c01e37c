"""The orders API in process, on FastAPI and on Starlette: what each route answers to whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.testclient import TestClient, WebSocketDenialResponse

from cognito_guard import CognitoGuard
from cognito_guard.local import LocalClient, LocalPool
from example_app import api, starlette_api

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]

TEA = {"item": "tea", "quantity": 2}

EXPIRED = 'Bearer error="invalid_token", error_description="The access token has expired."'
MALFORMED = (
    'Bearer error="invalid_request", error_description="The Authorization header is not of the form: Bearer token."'
)


def lacks(scope: str) -> str:
    description = "The access token lacks a scope that this resource requires."
    return f'Bearer error="insufficient_scope", error_description="{description}", scope="{scope}"'


@pytest.fixture(params=[api.make_api, starlette_api.make_api], ids=["fastapi", "starlette"])
def app(request: pytest.FixtureRequest, guard: CognitoGuard) -> Starlette:
    make_api: Callable[[CognitoGuard], Starlette] = request.param
    return make_api(guard)


@pytest.fixture
def may_only_write(pool: LocalPool, writer: LocalClient) -> str:
    return pool.mint("orders/order.write", client_id=writer.client_id)


# Open to all, and to every caller


async def test_health_is_open(app: Starlette, call: Call) -> None:
    response = await call(app, "GET", "/health")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_any_token_tells_me_who_i_am(app: Starlette, call: Call, reader: LocalClient, may_read: str) -> None:
    response = await call(app, "GET", "/me", may_read)

    assert response.status_code == 200
    assert response.json() == {"client_id": reader.client_id, "scopes": ["orders/order.read"]}


# Orders


async def test_a_placed_order_is_listed(app: Starlette, call: Call, writer: LocalClient, may_write: str) -> None:
    placed = await call(app, "POST", "/orders", may_write, json=TEA)
    listed = await call(app, "GET", "/orders", may_write)

    order = TEA | {"placed_by": writer.client_id}
    assert (placed.status_code, placed.json()) == (201, order)
    assert (listed.status_code, listed.json()) == (200, [order])


@pytest.mark.parametrize("make_api", [api.make_api, starlette_api.make_api], ids=["fastapi", "starlette"])
async def test_two_apps_know_nothing_of_each_others_orders(
    make_api: Callable[[CognitoGuard], Starlette], guard: CognitoGuard, call: Call, may_write: str
) -> None:
    one, other = make_api(guard), make_api(guard)
    await call(one, "POST", "/orders", may_write, json=TEA)

    assert (await call(other, "GET", "/orders", may_write)).json() == []


@pytest.mark.parametrize(
    "content", [b"", b"tea", b'{"item": ""}', b'{"item": "tea", "quantity": 0}'], ids=["nothing", "text", "blank", "0"]
)
async def test_an_invalid_order_is_unprocessable(app: Starlette, call: Call, may_write: str, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = await call(app, "POST", "/orders", may_write, content=content, headers=headers)

    assert response.status_code == 422
    assert response.headers["content-type"] == "application/json"
    assert (await call(app, "GET", "/orders", may_write)).json() == []


# Refusals


@pytest.mark.parametrize(("method", "path"), [("GET", "/orders"), ("POST", "/orders"), ("GET", "/me"), ("GET", "/no")])
async def test_strangers_are_asked_for_a_token(app: Starlette, call: Call, method: str, path: str) -> None:
    response = await call(app, method, path)

    assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
    assert response.json() == {"error": "missing_token", "error_description": "A bearer access token is required."}


async def test_an_expired_token_is_refused(app: Starlette, call: Call, pool: LocalPool, reader: LocalClient) -> None:
    response = await call(app, "GET", "/me", pool.mint(client_id=reader.client_id, lifetime=-1))

    assert (response.status_code, response.headers["www-authenticate"]) == (401, EXPIRED)


async def test_a_malformed_header_is_a_bad_request(app: Starlette, call: Call) -> None:
    response = await call(app, "GET", "/orders", headers={"authorization": "Bearer two words"})

    assert (response.status_code, response.headers["www-authenticate"]) == (400, MALFORMED)


async def test_reading_needs_the_scope_to_read(app: Starlette, call: Call, may_only_write: str) -> None:
    response = await call(app, "GET", "/orders", may_only_write)

    assert (response.status_code, response.headers["www-authenticate"]) == (403, lacks("orders/order.read"))


@pytest.mark.parametrize("content", [b'{"item": "tea"}', b"no order"])
async def test_writing_needs_the_scope_to_write_even_with_an_invalid_body(
    app: Starlette, call: Call, may_read: str, content: bytes
) -> None:
    """403 beats 422: a caller who may not place orders learns nothing about how they look."""
    headers = {"content-type": "application/json"}
    response = await call(app, "POST", "/orders", may_read, content=content, headers=headers)

    assert (response.status_code, response.headers["www-authenticate"]) == (403, lacks("orders/order.write"))


# The feed


@pytest.fixture
def client(app: Starlette, anyio_backend: str) -> Iterator[TestClient]:
    # Literal types are asked for; anyio names its backends by any string.
    with TestClient(app, backend="trio" if anyio_backend == "trio" else "asyncio") as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_the_feed_sends_the_orders(client: TestClient, writer: LocalClient, may_write: str) -> None:
    client.post("/orders", json=TEA, headers=bearer(may_write))

    with client.websocket_connect("/feed", headers=bearer(may_write)) as feed:
        assert feed.receive_json() == TEA | {"placed_by": writer.client_id}
        assert feed.receive()["type"] == "websocket.close"


def test_the_feed_asks_strangers_for_a_token(client: TestClient) -> None:
    with ExitStack() as connections, pytest.raises(WebSocketDenialResponse) as denial:
        connections.enter_context(client.websocket_connect("/feed"))

    assert (denial.value.status_code, denial.value.headers["www-authenticate"]) == (401, "Bearer")


def test_the_feed_needs_the_scope_to_read(client: TestClient, may_only_write: str) -> None:
    with ExitStack() as connections, pytest.raises(WebSocketDenialResponse) as denial:
        connections.enter_context(client.websocket_connect("/feed", headers=bearer(may_only_write)))

    assert (denial.value.status_code, denial.value.headers["www-authenticate"]) == (403, lacks("orders/order.read"))


# FastAPI's documentation


async def test_guarding_a_route_adds_nothing_to_what_it_takes(guard: CognitoGuard, call: Call) -> None:
    document = (await call(api.make_api(guard), "GET", "/openapi.json")).json()

    for path in ("/health", "/orders", "/me"):
        operation = document["paths"][path]["get"]
        assert operation.keys().isdisjoint({"parameters", "requestBody"})
        assert "422" not in operation["responses"]
    assert "parameters" not in document["paths"]["/orders"]["post"]


# For an ASGI server's command line


@pytest.mark.parametrize("create_app", [api.create_app, starlette_api.create_app], ids=["fastapi", "starlette"])
async def test_an_app_is_made_of_environment_variables(
    create_app: Callable[[], FastAPI | Starlette], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COGNITO_USER_POOL_ID", "eu-central-1_AbCdEf123")
    monkeypatch.setenv("COGNITO_CLIENT_IDS", "one,another")
    app = create_app()

    assert (await call(app, "GET", "/health")).status_code == 200
    assert (await call(app, "GET", "/orders")).status_code == 401
