"""What made-up key ids cost, and how soon a rotated key is known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from cognito_guard import CognitoGuard, KeyPolicy
from cognito_guard._keys.fetch import FetchError
from cognito_guard._keys.key_set import KeySet
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import (
    ClaimError,
    ExpiredTokenError,
    MalformedTokenError,
    RefusalError,
    SignatureError,
)
from cognito_guard.local import LocalClient, LocalPool, PoolKeys
from tests.keys.gate import Gate

POLICY = KeyPolicy(max_age=100.0, stale_for=1_000.0, cooldown=10.0, timeout=3.0)


@pytest.mark.anyio
async def test_a_flood_of_made_up_kids_costs_one_attempt_per_cooldown(
    loaded: KeySet, fetch: Any, kid: str, timer: Any, at_once: Any
) -> None:
    timer.advance(10)
    for cooldown in range(1, 6):
        for number in range(200):
            with pytest.raises(SignatureError) as caught:
                await loaded.find(f"made-up-{cooldown}-{number}")
            assert caught.value.reason == "unknown_key"
        assert fetch.calls == 1 + cooldown
        timer.advance(9.9)
        with pytest.raises(SignatureError):
            at_once(loaded.find("made-up"))
        assert fetch.calls == 1 + cooldown
        timer.advance(0.1)
        assert at_once(loaded.find(kid))
    await loaded.settle()


@pytest.mark.anyio
async def test_failed_attempts_count_too(loaded: KeySet, fetch: Any, timer: Any) -> None:
    fetch.fail(FetchError("no"))
    timer.advance(10)

    for _ in range(50):
        with pytest.raises(SignatureError):
            await loaded.find("made-up")

    assert fetch.calls == 2
    await loaded.settle()


def test_the_cooldown_begins_with_the_attempt(
    make_keys: Callable[..., KeySet], fetch: Any, timer: Any, settle: Any, at_once: Any
) -> None:
    def slow(url: str, timeout: float) -> bytes:
        timer.advance(2)
        body: bytes = fetch(url, timeout)
        return body

    keys = make_keys(fetch=slow)
    asyncio.run(keys.load())
    settle(keys)

    timer.advance(7.9)
    with pytest.raises(SignatureError):
        at_once(keys.find("made-up"))
    assert fetch.calls == 1
    timer.advance(0.1)
    with pytest.raises(SignatureError):
        asyncio.run(keys.find("made-up"))
    assert fetch.calls == 2
    settle(keys)


@pytest.mark.anyio
async def test_a_rotated_key_is_usable_within_one_cooldown_while_junk_keeps_coming(
    loaded: KeySet, fetch: Any, pool: LocalPool, kid: str, timer: Any, at_once: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    timer.advance(10)
    with pytest.raises(SignatureError):
        await loaded.find("made-up")
    new = pool.rotate(new_keys()).access.kid

    waited = 0
    while loaded.get(new) is None:
        timer.advance(1)
        waited += 1
        with pytest.raises(SignatureError):
            await loaded.find("made-up")
        assert at_once(loaded.find(kid))

    assert waited == 10
    assert fetch.calls == 3
    await loaded.settle()


@pytest.mark.anyio
async def test_the_first_token_with_a_rotated_key_is_accepted_at_once(
    loaded: KeySet, fetch: Any, pool: LocalPool, timer: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    timer.advance(10)
    new = pool.rotate(new_keys()).access.kid

    assert await loaded.find(new)
    assert fetch.calls == 2
    await loaded.settle()


@pytest.mark.anyio
async def test_junk_that_waits_delays_no_good_token(
    warm_keys: KeySet, kid: str, timer: Any, at_once: Any, gate: Gate
) -> None:
    timer.advance(10)
    refused = 0

    async def junk(number: int) -> None:
        nonlocal refused
        with pytest.raises(SignatureError):
            await warm_keys.find(f"made-up-{number}")
        refused += 1

    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(junk, number)
        await anyio.wait_all_tasks_blocked()
        assert at_once(warm_keys.find(kid))
        assert refused == 0
        gate.open.set()

    assert (refused, gate.calls) == (100, 2)
    await warm_keys.settle()


@pytest.mark.anyio
@pytest.mark.parametrize("warm", [False, True], ids=["cold", "warm"])
@pytest.mark.parametrize(
    ("make", "error"),
    [
        pytest.param(
            lambda pool, client: pool.mint(client_id=client, iss="https://elsewhere"), ClaimError, id="issuer"
        ),
        pytest.param(lambda pool, _: pool.mint(client_id="stranger"), ClaimError, id="client"),
        pytest.param(lambda pool, client: pool.mint(client_id=client, lifetime=0), ExpiredTokenError, id="expired"),
        pytest.param(
            lambda pool, client: pool.mint(client_id=client, lifetime=-9_999), ExpiredTokenError, id="long-ago"
        ),
        pytest.param(lambda pool, client: pool.mint(client_id=client, exp=None), ClaimError, id="no-expiry"),
        pytest.param(lambda pool, client: pool.mint(client_id=client, nbf=9e9), ClaimError, id="not-yet"),
        pytest.param(lambda pool, client: pool.mint_id("ann", client_id=client), ClaimError, id="id-token"),
        pytest.param(
            lambda pool, client: pool.mint(client_id=client, headers={"alg": "none"}),
            MalformedTokenError,
            id="no-algorithm",
        ),
        pytest.param(
            lambda pool, client: pool.mint(client_id=client, headers={"kid": None}), MalformedTokenError, id="no-kid"
        ),
        pytest.param(lambda pool, client: pool.mint(client_id=client)[:-3] + "?!.", MalformedTokenError, id="shape"),
        pytest.param(lambda _, __: "a.b.c", MalformedTokenError, id="no-json"),
        pytest.param(lambda _, __: "e" * 9_000, MalformedTokenError, id="too-long"),
    ],
)
async def test_a_token_that_could_not_be_good_anyway_causes_no_fetch(
    make_guard: Callable[..., CognitoGuard],
    pool: LocalPool,
    reader: LocalClient,
    fetch: Any,
    timer: Any,
    make: Callable[[LocalPool, str], str],
    error: type[RefusalError],
    warm: bool,
    new_keys: Callable[[], PoolKeys],
) -> None:
    guard = make_guard(key_policy=POLICY)
    if warm:
        await guard.prefetch()
        pool.rotate(new_keys())
        timer.advance(100)
    calls = fetch.calls

    with pytest.raises(error):
        await guard.verify(make(pool, reader.client_id))

    assert fetch.calls == calls
    await internals_of(guard).verifier.issuers.settle()
