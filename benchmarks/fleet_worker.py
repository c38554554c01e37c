"""One process of the fleet: callers of one `ClientCredentials`, from a first line on standard input to its end."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import httpx

from cognito_guard.client import ClientCredentials, RedisStore

CALLERS: Final = 100
EVERY: Final = 15.0
"""Seconds between two calls of one caller, on average."""


class Calls:
    """What callers saw: for each second calls, failures and the longest call."""

    def __init__(self) -> None:
        self.calls: Final = Counter[int]()
        self.failures: Final[list[tuple[float, str]]] = []
        self.longest: Final[dict[int, float]] = {}

    def note(self, began: float, failure: str | None) -> None:
        """Note one call, by the second it began in."""
        second = int(began)
        self.calls[second] += 1
        self.longest[second] = max(self.longest.get(second, 0.0), time.time() - began)
        if failure is not None:
            self.failures.append((began, failure))


async def call_again_and_again(http: httpx.AsyncClient, calls: Calls, over: asyncio.Event) -> None:
    """Call until it is *over*."""
    while not over.is_set():
        pause = random.uniform(0, 2 * EVERY)  # noqa: S311 - no secret
        try:
            await asyncio.wait_for(over.wait(), pause)
        except TimeoutError:
            began = time.time()
            failure = None
            try:
                response = await http.get("/orders")
                if not response.is_success:
                    failure = f"status {response.status_code}"
            except Exception as error:  # noqa: BLE001 - what a caller sees is the result
                failure = str(error)
            calls.note(began, failure)


async def main(api: str, client_id: str, secrets: str, redis: str) -> None:
    """Run the callers, and print what they saw as JSON."""
    logging.disable()
    auth = ClientCredentials(
        f"{api}/oauth2/token",
        client_id=client_id,
        client_secret=lambda: list(json.loads(Path(secrets).read_text(encoding="utf-8"))),
        store=RedisStore(redis) if redis else None,
    )
    calls, over = Calls(), asyncio.Event()
    print("ready", flush=True)
    sys.stdin.readline()
    # By default, httpx keeps idle connections as long as uvicorn does, and sometimes uses one that is being closed.
    limits = httpx.Limits(keepalive_expiry=1)
    async with (
        httpx.AsyncClient(base_url=api, auth=auth, timeout=30, limits=limits) as http,
        asyncio.TaskGroup() as callers,
    ):
        for _ in range(CALLERS):
            callers.create_task(call_again_and_again(http, calls, over))
        await asyncio.to_thread(sys.stdin.read)
        over.set()
    status = auth.status()
    print(
        json.dumps(
            {
                "calls": calls.calls,
                "longest": calls.longest,
                "failures": calls.failures,
                "bought": status.bought,
                "shared": status.shared,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
