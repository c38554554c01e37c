"""A user pool in memory, clocks that are moved by hand, and a guard between them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.local import LocalClient, LocalPool, PoolKeys

POOL_ID = "eu-central-1_AbCdEf123"
NOW = 1_800_000_000.0


class ManualClock:
    """Shows the time it was set to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class CountingFetch:
    """Hands out the key set of a pool, or fails as told, and counts how often it was asked."""

    def __init__(self, pool: LocalPool) -> None:
        self.document: Callable[[], bytes] = lambda: json.dumps(pool.jwks()).encode()
        self.urls: list[str] = []

    def __call__(self, url: str, timeout: float) -> bytes:
        self.urls.append(url)
        return self.document()

    def fail(self, error: Exception) -> None:
        def document() -> bytes:
            raise error

        self.document = document

    @property
    def calls(self) -> int:
        return len(self.urls)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture(scope="session")
def pool_keys() -> PoolKeys:
    """RSA keys are slow to make: one pair for all tests that do not rotate them."""
    return PoolKeys()


@pytest.fixture
def clock() -> ManualClock:
    """What tokens are timed with."""
    return ManualClock(NOW)


@pytest.fixture
def timer() -> ManualClock:
    """What the age of keys is measured with."""
    return ManualClock(1000.0)


@pytest.fixture
def pool(pool_keys: PoolKeys, clock: ManualClock) -> LocalPool:
    local = LocalPool(POOL_ID, keys=pool_keys, clock=clock)
    local.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
    return local


@pytest.fixture
def reader(pool: LocalPool) -> LocalClient:
    return pool.add_client(name="reader", scopes=["orders/order.read"])


@pytest.fixture
def writer(pool: LocalPool) -> LocalClient:
    return pool.add_client(name="writer", scopes=["orders/order.read", "orders/order.write"])


@pytest.fixture
def fetch(pool: LocalPool) -> CountingFetch:
    return CountingFetch(pool)


@pytest.fixture
def user_pool(reader: LocalClient, writer: LocalClient) -> UserPool:
    return UserPool(POOL_ID, client_ids={reader.client_id, writer.client_id})


@pytest.fixture
def make_guard(
    user_pool: UserPool, clock: ManualClock, timer: ManualClock, fetch: CountingFetch
) -> Callable[..., CognitoGuard]:
    """Make guards of the pool, on the manual clocks, with options to taste."""

    def make(*pools: UserPool, **options: Any) -> CognitoGuard:
        seams: dict[str, Any] = {"clock": clock, "timer": timer, "fetch": fetch} | options
        return CognitoGuard(*(pools or (user_pool,)), **seams)

    return make


@pytest.fixture
def guard(make_guard: Callable[..., CognitoGuard]) -> CognitoGuard:
    return make_guard()


Call = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def call() -> Call:
    """Makes one request in process, such as `await call(app, "GET", "/orders", token)`."""

    async def call(
        app: ASGIApp, method: str, path: str, token: str | None = None, *, crash: bool = True, **options: Any
    ) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(app, raise_app_exceptions=crash)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.request(method, path, headers=headers, **options)

    return call
