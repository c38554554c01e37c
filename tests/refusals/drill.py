"""Twelve requests that are refused, each for a reason of its own, by an app whose log is read afterwards."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.local import LocalPool, PoolKeys

POOL_ID, OTHER_POOL_ID = "eu-central-1_AbCdEf123", "eu-central-1_Staging01"
READER, WRITER = "7lhlkkfbfb4q5kpp90urffao", "4g1kq7h5m2v8d0s3c6n9b7x1za"
STRANGER = "3n4b5urk1ft4fl3mg5e62d9ado"
NOW = 1_800_000_000.0


class Drill:
    """
    The app, and whoever calls it.

    Attributes:
        app: Guarded, for the reader and the writer.
        now: What the clock shows.
        is_reachable: Whether keys can be fetched.

    """

    def __init__(self, keys: PoolKeys, other_keys: PoolKeys) -> None:
        self.now = NOW
        self.is_reachable = True
        self.pool = self._pool(POOL_ID, keys)
        self.other_pool = self._pool(OTHER_POOL_ID, other_keys)
        # A pool with the same id, but other keys.
        self.rotated = self._pool(POOL_ID, other_keys)
        self.app = self._app()

    def clock(self) -> float:
        return self.now

    def fetch(self, url: str, timeout: float) -> bytes:
        if not self.is_reachable:
            raise ConnectionRefusedError
        return json.dumps(self.pool.jwks()).encode()

    def guard(self) -> CognitoGuard:
        pool = UserPool(POOL_ID, client_ids={READER, WRITER}, resource_servers={"orders"})
        return CognitoGuard(pool, clock=self.clock, timer=lambda: 0.0, fetch=self.fetch)

    def _app(self) -> Starlette:
        guard = self.guard()

        @guard.require("order.write")
        async def change(request: Request) -> Response:
            raise AssertionError

        async def reached(request: Request) -> Response:
            raise AssertionError

        app = Starlette(
            routes=[
                Route("/orders/{number}", guard.require("order.read")(reached)),
                Route("/orders/{number}", change, methods=["PUT"]),
            ]
        )
        guard.install(app)
        return app

    def _pool(self, pool_id: str, keys: PoolKeys) -> LocalPool:
        pool = LocalPool(pool_id, keys=keys, clock=self.clock)
        pool.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Change orders"})
        pool.add_resource_server("billing", {"order.write": "Bill orders"})
        for client_id in (READER, WRITER, STRANGER):
            pool.add_client(client_id=client_id, scopes=["orders/order.read"])
        return pool

    def requests(self) -> Iterator[tuple[str, str, str, list[str], int]]:
        """Yield the name of each case, method, path, what the Authorization headers hold, and the status."""
        mint: Callable[..., str] = self.pool.mint
        read, put = ("GET", "/orders/17"), ("PUT", "/orders/17")
        good = mint(client_id=READER)
        yield "wrong client", *read, [mint(client_id=STRANGER)], 401
        yield "wrong pool", *read, [self.other_pool.mint(client_id=READER)], 401
        yield "ID token", *read, [self.pool.mint_id("ada", client_id=READER)], 401
        yield "expired by 3 s", *read, [mint(client_id=READER, lifetime=-3)], 401
        yield "clock behind", *read, [mint(client_id=READER, nbf=int(NOW) + 40)], 401
        yield "unknown key", *read, [self.rotated.mint(client_id=READER)], 401
        yield "missing scope", *put, [good], 403
        yield "wrong resource server", *put, [mint("orders/order.read", "billing/order.write", client_id=WRITER)], 403
        yield "two headers", *read, [good, good], 400
        yield "junk", *read, ["junk"], 401
        yield "no token", "GET", "/orders/17?expand=lines", [], 401
        # As after a restart: nothing is remembered.
        self.app, self.is_reachable = self._app(), False
        yield "keys unreachable", *read, [good], 503


@contextmanager
def log_lines() -> Iterator[list[str]]:
    """Give a list that each line of the guard's log is added to, with its level."""
    lines: list[str] = []

    class Listening(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.levelname} {record.getMessage()}")

    logger, handler = logging.getLogger("cognito_guard"), Listening()
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
