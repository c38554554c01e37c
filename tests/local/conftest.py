"""A local Cognito with one pool and one client."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys


@pytest.fixture
def local(pool_keys: PoolKeys) -> LocalCognito:
    pool = LocalPool("eu-central-1_AbCdEf123", keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    pool.add_client(name="reader", client_id="reader", scopes=["orders/order.read"], secrets=["reader_" * 4])
    return LocalCognito(pool)


@pytest.fixture
async def http(local: LocalCognito) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url="http://127.0.0.1:9229") as client:
        yield client
