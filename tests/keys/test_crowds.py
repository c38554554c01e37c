"""Requests that wait: how many, and what they hold meanwhile."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cognito_guard import ANY_CLIENT, CognitoGuard, KeyPolicy, UserPool
from cognito_guard._keys.attempt import Attempt
from cognito_guard._keys.key_set import KeySet
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import ExpiredTokenError, KeysUnavailableError, RefusalError, SignatureError
from cognito_guard.local import LocalClient, LocalPool
from tests.keys.gate import IN_TIME, Gate


async def crowd(keys: KeySet, kid: str, size: int, gate: Any) -> list[RefusalError | None]:
    """Ask for *kid* at once as often as *size*, let the fetch go, and return what became of each request."""
    results: list[RefusalError | None] = []

    async def find() -> None:
        try:
            await keys.find(kid)
        except RefusalError as error:
            results.append(error)
        else:
            results.append(None)

    early = 0
    async with anyio.create_task_group() as group:
        for _ in range(size):
            group.start_soon(find)
        await anyio.to_thread.run_sync(gate.reached.wait, IN_TIME)
        await anyio.wait_all_tasks_blocked()
        early = len(results)
        gate.open.set()
    # Those that find no room are told at once.
    assert all(isinstance(result, KeysUnavailableError) for result in results[:early])
    assert not any(isinstance(result, KeysUnavailableError) for result in results[early:])
    return results


def test_at_a_cold_start_ten_thousand_requests_may_wait(
    make_keys: Callable[..., KeySet], gate: Gate, kid: str, settle: Any
) -> None:
    keys = make_keys(fetch=gate, policy=KeyPolicy(timeout=IN_TIME))

    results = asyncio.run(crowd(keys, kid, 10_001, gate))

    [refused] = filter(None, results)
    assert isinstance(refused, KeysUnavailableError)
    assert refused.retry_after == 1
    assert results.count(None) == 10_000
    settle(keys)


@pytest.mark.anyio
async def test_while_keys_are_held_a_thousand_tokens_with_an_unknown_kid_may_wait(
    warm_keys: KeySet, gate: Gate, timer: Any, kid: str
) -> None:
    timer.advance(10)

    results = await crowd(warm_keys, "made-up", 1_001, gate)

    assert sum(isinstance(result, KeysUnavailableError) for result in results) == 1
    assert sum(isinstance(result, SignatureError) for result in results) == 1_000
    assert warm_keys.get(kid)
    await warm_keys.settle()


@pytest.mark.anyio
async def test_who_goes_away_makes_room() -> None:
    gate = threading.Event()
    attempt = Attempt(gate.wait, name="cognito-guard work")

    for _ in range(3):
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(attempt.wait, IN_TIME)
            await anyio.wait_all_tasks_blocked()
            assert attempt.waiting == 5
            group.cancel_scope.cancel()
        assert attempt.waiting == 0
    await attempt.wait(0.001)
    assert attempt.waiting == 0

    gate.set()
    await attempt.end(IN_TIME)


def test_strangers_who_wait_hold_their_token_and_not_its_claims(
    make_guard: Callable[..., CognitoGuard],
    gate: Gate,
    pool: LocalPool,
    reader: LocalClient,
    timer: Any,
) -> None:
    gate.open.set()
    guard = make_guard(fetch=gate, key_policy=KeyPolicy(cooldown=10))
    # Lists cost much more as objects than as text.
    token = pool.mint(client_id=reader.client_id, headers={"kid": "made-up"}, filler=[[] for _ in range(490)])
    waiting = 500

    async def main() -> int:
        await guard.prefetch()
        gate.open.clear()
        timer.advance(10)
        tracemalloc.start()
        tasks = [asyncio.create_task(guard.verify(token)) for _ in range(waiting)]
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gate.open.set()
        for task in tasks:
            with suppress(SignatureError):
                await task
        await internals_of(guard).verifier.issuers.settle()
        return held

    # The parsed claims alone are 30 KiB each.
    assert asyncio.run(main()) < waiting * 16 * 1024


@pytest.mark.anyio
async def test_a_token_that_expires_while_it_waits_is_refused(
    make_guard: Callable[..., CognitoGuard],
    gate: Gate,
    pool: LocalPool,
    reader: LocalClient,
    clock: Any,
) -> None:
    guard = make_guard(fetch=gate)
    token = pool.mint(client_id=reader.client_id, lifetime=60)

    async def expire() -> None:
        await anyio.to_thread.run_sync(gate.reached.wait, IN_TIME)
        await anyio.wait_all_tasks_blocked()
        clock.advance(60)
        gate.open.set()

    async with anyio.create_task_group() as group:
        group.start_soon(expire)
        with pytest.raises(ExpiredTokenError):
            await guard.verify(token)
    await internals_of(guard).verifier.issuers.settle()


@pytest.mark.anyio
async def test_prefetch_asks_all_pools_at_once(make_guard: Callable[..., CognitoGuard], pool: LocalPool) -> None:
    """Each fetch ends only once the others have begun."""
    together = threading.Barrier(3)

    def fetch(url: str, timeout: float) -> bytes:
        together.wait(IN_TIME)
        return json.dumps(pool.jwks()).encode()

    pools = [UserPool(f"eu-central-1_{name}", client_ids=ANY_CLIENT) for name in ("One", "Two", "Three")]
    guard = make_guard(*pools, fetch=fetch)

    await guard.prefetch()

    assert all(status["ready"] for status in guard.status().values())
    await internals_of(guard).verifier.issuers.settle()
