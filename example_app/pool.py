"""The user pool that the example brings along: three app clients, whose ids and secrets never change."""

from __future__ import annotations

from typing import Final

from cognito_guard.local import LocalPool

POOL_ID: Final = "eu-central-1_Example01"

# No secrets: they open nothing but this example, and stand in its README.
READER_ID: Final = "example0reader000000000000"
READER_SECRET: Final = "example_secret_of_the_reader"
WRITER_ID: Final = "example0writer000000000000"
WRITER_SECRET: Final = "example_secret_of_the_writer"
WORKER_ID: Final = "example0worker000000000000"
WORKER_SECRET: Final = "example_secret_of_the_worker"


def make_pool() -> LocalPool:
    """Return the pool, set up as one would a real one: resource server with scopes, then clients that may ask them."""
    pool = LocalPool(POOL_ID)
    pool.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
    pool.add_client(name="reader", client_id=READER_ID, secrets=[READER_SECRET], scopes=["orders/order.read"])
    pool.add_client(
        name="writer",
        client_id=WRITER_ID,
        secrets=[WRITER_SECRET],
        scopes=["orders/order.read", "orders/order.write"],
    )
    pool.add_client(name="worker", client_id=WORKER_ID, secrets=[WORKER_SECRET], scopes=["orders/order.write"])
    return pool
