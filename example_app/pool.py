"""The user pool of the example: three app clients with fixed ids and secrets."""

from __future__ import annotations

from typing import Final

from cognito_guard.local import LocalPool

POOL_ID: Final = "eu-central-1_Example01"

# These are not secret: they open only this example, and are published with it.
READER_ID: Final = "example0reader000000000000"
READER_SECRET: Final = "example_secret_of_the_reader"
WRITER_ID: Final = "example0writer000000000000"
WRITER_SECRET: Final = "example_secret_of_the_writer"
WORKER_ID: Final = "example0worker000000000000"
WORKER_SECRET: Final = "example_secret_of_the_worker"


def make_pool() -> LocalPool:
    """Return the pool, set up like a real one: a resource server with scopes, then clients that may ask for them."""
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
