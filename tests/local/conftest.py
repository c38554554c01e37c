"""A local Cognito with one pool and one client."""

from __future__ import annotations

import pytest

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys


@pytest.fixture
def local(pool_keys: PoolKeys) -> LocalCognito:
    pool = LocalPool("eu-central-1_AbCdEf123", keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    pool.add_client(name="reader", client_id="reader", scopes=["orders/order.read"], secrets=["reader_" * 4])
    return LocalCognito(pool)
