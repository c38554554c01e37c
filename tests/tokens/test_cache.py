"""Tokens that were seen before are verified faster, but not less strictly."""

import json
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from cognito_guard import CognitoGuard, KeyPolicy, UserPool
from cognito_guard._requests.internals import internals_of
from cognito_guard._tokens.cache import TokenCache
from cognito_guard.errors import (
    ConfigurationError,
    ExpiredTokenError,
    InvalidTokenError,
    KeysUnavailableError,
    SignatureError,
)
from cognito_guard.local import LocalClient, LocalPool, PoolKeys

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]
OwnPool = tuple[LocalPool, CognitoGuard]


@pytest.fixture
def own_pool(make_guard: MakeGuard, clock: Any, new_keys: Callable[[], PoolKeys]) -> OwnPool:
    """A pool whose keys may be rotated and withdrawn, and its guard: the keys of others are shared by all tests."""
    pool = LocalPool("eu-central-1_AbCdEf123", keys=new_keys(), clock=clock)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    pool.add_client(scopes=["orders/order.read"])
    guard = make_guard(
        UserPool(pool.pool_id, client_ids={pool.clients[0].client_id}),
        fetch=lambda url, timeout: json.dumps(pool.jwks()).encode(),
    )
    return pool, guard


async def test_a_token_that_was_seen_gives_the_same_principal(guard: CognitoGuard, pool: LocalPool) -> None:
    token, other = pool.mint(), pool.mint()

    first = await guard.verify(token)

    assert await guard.verify(token) is first
    assert await guard.verify(other) is not first


async def test_without_a_cache_every_token_is_verified_again(make_guard: MakeGuard, pool: LocalPool) -> None:
    guard = make_guard(token_cache=0)
    token = pool.mint()

    assert await guard.verify(token) is not await guard.verify(token)


async def refreshed(guard: CognitoGuard) -> None:
    """Start a refresh if one is due, and wait for the end of it."""
    await guard.prefetch()
    await internals_of(guard).verifier.issuers.settle()


async def test_a_token_that_was_seen_expires_to_the_second(make_guard: MakeGuard, pool: LocalPool, clock: Any) -> None:
    guard = make_guard(leeway=5)
    token = pool.mint(lifetime=60)
    first = await guard.verify(token)

    clock.advance(64.999)
    assert await guard.verify(token) is first
    clock.advance(0.001)
    with pytest.raises(ExpiredTokenError):
        await guard.verify(token)


async def test_a_long_token_is_remembered_in_the_room_of_several(make_guard: MakeGuard, pool: LocalPool) -> None:
    guard = make_guard(token_cache=3)
    short, long = pool.mint(), pool.mint(filler="x" * 2048)
    assert 3 * 1024 <= len(long) < 4 * 1024
    first = await guard.verify(short)
    assert await guard.verify(short) is first

    await guard.verify(long)

    assert await guard.verify(short) is not first


async def test_a_tampered_copy_of_a_seen_token_is_another_token(guard: CognitoGuard, pool: LocalPool) -> None:
    token = pool.mint()
    await guard.verify(token)

    header, payload, signature = token.split(".")
    for copy in (
        token[:-5] + "AAAAA",
        f"{header}.{payload[:-8]}{payload[-8:].swapcase()}.{signature}",
        f"{header}.{payload}.{signature}=",
        f"{token} ",
        f"{token}\n",
    ):
        with pytest.raises(InvalidTokenError):
            await guard.verify(copy)


@pytest.mark.parametrize("change", ["withdrawn", "replaced"])
async def test_seen_tokens_of_a_dropped_key_are_refused(own_pool: OwnPool, timer: Any, change: str) -> None:
    pool, guard = own_pool
    token = pool.mint()
    await guard.verify(token)

    if change == "withdrawn":
        pool.withdraw(pool.keys.access.kid)
    else:
        pool.replace(pool.keys.access.kid)
    timer.advance(3599.999)
    await refreshed(guard)
    await guard.verify(token)
    timer.advance(0.001)
    await refreshed(guard)

    with pytest.raises(SignatureError):
        await guard.verify(token)


async def test_a_result_that_comes_after_its_key_was_dropped_is_not_used(own_pool: OwnPool, timer: Any) -> None:
    """A request may be verified with the old key while it is being replaced, and be remembered afterwards."""
    pool, guard = own_pool
    token = pool.mint()
    await guard.verify(token)
    cache = internals_of(guard).verifier._cache  # noqa: SLF001 - no caller can time such a race
    digest = sha256(b"Bearer " + token.encode()).digest()
    late = cache.get(digest)
    assert late is not None

    pool.replace(pool.keys.access.kid)
    timer.advance(3600)
    await refreshed(guard)
    cache.put(digest, late, len(token))

    with pytest.raises(SignatureError):
        await guard.verify(token)


async def test_tokens_of_a_withdrawn_key_are_not_kept(own_pool: OwnPool, timer: Any) -> None:
    """Tokens of other keys are dropped too: that is simple and safe, and they are verified again quickly."""
    pool, guard = own_pool
    token = pool.mint()
    first = await guard.verify(token)

    pool.withdraw(pool.keys.identity.kid)
    timer.advance(3600)
    await refreshed(guard)

    again = await guard.verify(token)
    assert again == first
    assert again is not first


async def test_a_rotation_does_not_affect_tokens_of_the_old_key(
    own_pool: OwnPool, timer: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    pool, guard = own_pool
    token = pool.mint()
    first = await guard.verify(token)

    pool.rotate(new_keys())
    timer.advance(3600)
    await refreshed(guard)

    assert await guard.verify(token) is first


async def test_keys_that_are_too_old_verify_no_seen_tokens(
    make_guard: MakeGuard, pool: LocalPool, fetch: Any, timer: Any, clock: Any
) -> None:
    guard = make_guard(key_policy=KeyPolicy(max_age=10, stale_for=100))
    token = pool.mint(lifetime=86400)
    first = await guard.verify(token)
    fetch.fail(OSError())

    timer.advance(99.999)
    assert await guard.verify(token) is first
    await internals_of(guard).verifier.issuers.settle()
    timer.advance(20)
    with pytest.raises(KeysUnavailableError):
        await guard.verify(token)


def test_only_one_header_that_is_not_too_long_is_looked_up(make_guard: MakeGuard) -> None:
    verifier = internals_of(make_guard(max_token_length=1024)).verifier
    longest = b"Bearer " + b"a" * 1024

    assert verifier.recall([longest]) == (sha256(longest).digest(), None)
    assert verifier.recall([longest + b"a"]) == (None, None)
    assert verifier.recall([longest, longest]) == (None, None)
    assert verifier.recall([]) == (None, None)


async def test_a_token_that_was_seen_is_refused_beside_another_header(
    guard: CognitoGuard, pool: LocalPool, call: Call
) -> None:
    async def reached(request: Request) -> Response:
        return PlainTextResponse("reached")

    app = Starlette(routes=[Route("/", reached)])
    guard.install(app)
    token = pool.mint()
    assert (await call(app, "GET", "/", token)).status_code == 200

    for first, second in ((token, "abc"), ("abc", token), (token, token)):
        headers = [("authorization", f"Bearer {first}"), ("authorization", f"Bearer {second}")]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.example") as client:
            assert (await client.get("/", headers=headers)).status_code == 400


async def test_scopes_are_judged_for_each_route(
    guard: CognitoGuard, call: Call, pool: LocalPool, reader: LocalClient
) -> None:
    async def reached(request: Request) -> Response:
        return PlainTextResponse("reached")

    async def never(request: Request) -> Response:
        raise AssertionError

    app = Starlette(
        routes=[
            Route("/read", guard.require("orders/order.read")(reached)),
            Route("/write", guard.require("orders/order.write")(never)),
        ]
    )
    guard.install(app)
    token = pool.mint(client_id=reader.client_id)

    for _ in range(2):
        assert (await call(app, "GET", "/read", token)).status_code == 200
        assert (await call(app, "GET", "/write", token)).status_code == 403


async def test_a_token_has_one_entry_for_every_spelling_of_the_scheme(
    make_guard: MakeGuard, pool: LocalPool, call: Call
) -> None:
    guard, callers = make_guard(token_cache=1), []

    async def note(request: Request) -> Response:
        callers.append(guard.principal(request))
        return PlainTextResponse()

    app = Starlette(routes=[Route("/", note)])
    guard.install(app)
    token = pool.mint()

    for scheme in ("Bearer ", "bearer ", "BEARER ", "Bearer  ", "Bearer "):
        await call(app, "GET", "/", headers={"authorization": scheme + token})

    assert [caller is callers[0] for caller in callers] == [True] * 5


async def test_a_change_of_scopes_by_a_handler_ends_with_the_request(
    guard: CognitoGuard, call: Call, pool: LocalPool, reader: LocalClient
) -> None:
    async def greedy(request: Request) -> Response:
        before = list(request.auth.scopes)
        request.auth.scopes.append("orders/order.write")
        return PlainTextResponse(" ".join(before))

    app = Starlette(routes=[Route("/", greedy)])
    guard.install(app)
    token = pool.mint(client_id=reader.client_id)

    for _ in range(2):
        assert (await call(app, "GET", "/", token)).text == "orders/order.read"


async def test_bad_tokens_leave_nothing_behind(make_guard: MakeGuard, pool: LocalPool) -> None:
    guard = make_guard(token_cache=2)
    good = pool.mint()
    first = await guard.verify(good)

    for lifetime in range(-50, 0):
        with pytest.raises(ExpiredTokenError):
            await guard.verify(pool.mint(lifetime=lifetime))
    for _ in range(5):
        with pytest.raises(SignatureError):
            await guard.verify(pool.mint()[:-8] + "AAAAAAAA")

    assert await guard.verify(good) is first


@pytest.mark.parametrize("capacity", [-1, 1.5, True, "10", None])
def test_a_capacity_is_a_number_of_tokens(make_guard: MakeGuard, capacity: Any) -> None:
    with pytest.raises(ConfigurationError, match="token_cache must"):
        make_guard(token_cache=capacity)


def verdict() -> Any:
    return (object(), "kid", object())


def test_the_oldest_goes_when_there_are_too_many() -> None:
    cache = TokenCache(3)
    kept = [verdict() for _ in range(4)]
    for number, each in enumerate(kept):
        cache.put(bytes([number]), each, 900)

    assert [cache.get(bytes([number])) for number in range(4)] == [None, *kept[1:]]


def test_long_tokens_take_the_room_of_several() -> None:
    cache = TokenCache(4)
    first, second = verdict(), verdict()
    cache.put(b"1", first, 2 * 1024 - 1)
    cache.put(b"2", second, 3 * 1024)
    assert cache.get(b"1") is first

    cache.put(b"3", verdict(), 2 * 1024)
    assert [cache.get(each) for each in (b"1", b"2")] == [None, None]
    assert cache.get(b"3") is not None

    cache.put(b"4", verdict(), 8 * 1024)
    assert [cache.get(each) for each in (b"3", b"4")] == [None, None]


def test_a_verdict_is_replaced_by_a_later_one_on_the_same_token() -> None:
    cache = TokenCache(2)
    later = verdict()
    cache.put(b"1", verdict(), 900)
    cache.put(b"1", later, 900)

    assert cache.get(b"1") is later


def test_a_cache_of_size_0_remembers_nothing() -> None:
    cache = TokenCache(0)
    cache.put(b"1", verdict(), 1)

    assert cache.get(b"1") is None


def test_all_is_forgotten_together() -> None:
    cache = TokenCache(2)
    cache.put(b"1", verdict(), 2048)
    cache.clear()
    cache.put(b"2", verdict(), 2048)

    assert cache.get(b"1") is None
    assert cache.get(b"2") is not None


def test_forgotten_tokens_take_no_room() -> None:
    cache = TokenCache(3)
    for number in range(3):
        cache.put(bytes([number]), verdict(), 900)
    cache.clear()
    for number in range(3):
        cache.put(bytes([number, 1]), verdict(), 900)

    assert all(cache.get(bytes([number, 1])) for number in range(3))


def test_threads_may_share_it() -> None:
    cache = TokenCache(50)

    def work(seed: int) -> None:
        for number in range(2000):
            cache.put(bytes([seed, number % 97]), verdict(), 900)
            cache.get(bytes([(seed + 1) % 4, number % 89]))
            if number % 500 == 0:
                cache.clear()

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, range(4)))

    assert sum(cache.get(bytes([seed, number])) is not None for seed in range(4) for number in range(97)) <= 50
