"""Which keys are held: withdrawn ones, saved ones, those of several pools and URLs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cognito_guard import ANY_CLIENT, CognitoGuard, KeyPolicy, UserPool
from cognito_guard._keys.fetch import FetchError
from cognito_guard._keys.key_set import KeySet
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import (
    ConfigurationError,
    KeysUnavailableError,
    SignatureError,
)
from cognito_guard.events import Event, KeysFetched
from cognito_guard.local import LocalClient, LocalPool, PoolKeys

POOL_ID = "eu-central-1_AbCdEf123"
ORIGINAL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/.well-known/jwks.json"
UPDATED = "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/.well-known/jwks.json"
POLICY = KeyPolicy(max_age=100.0, stale_for=1_000.0, cooldown=10.0, timeout=3.0)


# -- withdrawal


def test_a_key_that_left_the_set_is_gone_at_the_next_refresh(
    loaded: KeySet, pool: LocalPool, kid: str, timer: Any, events: list[Event], settle: Any, at_once: Any
) -> None:
    pool.withdraw(kid)
    timer.advance(100)
    assert loaded.get(kid), "the refresh has only begun"
    settle(loaded)

    assert loaded.get(kid) is None
    with pytest.raises(SignatureError):
        at_once(loaded.find(kid))
    assert events[-1] == KeysFetched(
        POOL_ID, kids=frozenset({pool.keys.identity.kid}), added=frozenset(), removed=frozenset({kid})
    )


def test_a_key_replaced_under_its_name_counts_from_the_next_refresh_on(
    loaded: KeySet, pool: LocalPool, kid: str, timer: Any, events: list[Event], settle: Any
) -> None:
    old = loaded.get(kid)
    new = pool.replace(kid)
    timer.advance(100)
    loaded.get(kid)
    settle(loaded)

    key = loaded.get(kid)
    assert key is not None
    assert key is not old
    assert key.signed(b"message", new.sign(b"message"))
    assert events[-1] == KeysFetched(
        POOL_ID, kids=frozenset({kid, pool.keys.identity.kid}), added=frozenset({kid}), removed=frozenset()
    )


def test_tokens_of_a_withdrawn_key_are_refused(
    make_guard: Callable[..., CognitoGuard], pool: LocalPool, reader: LocalClient, kid: str, timer: Any, refresh: Any
) -> None:
    guard = make_guard(key_policy=POLICY)
    token = pool.mint(client_id=reader.client_id, lifetime=3_600)
    assert asyncio.run(guard.verify(token))

    pool.replace(kid)
    timer.advance(100)
    refresh(guard)
    with pytest.raises(SignatureError) as caught:
        asyncio.run(guard.verify(token))
    assert caught.value.reason == "signature"

    pool.withdraw(kid)
    timer.advance(100)
    refresh(guard)
    with pytest.raises(SignatureError) as caught:
        asyncio.run(guard.verify(token))
    assert caught.value.reason == "unknown_key"
    asyncio.run(internals_of(guard).verifier.issuers.settle())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(lambda pool, kid: None, 0, id="nothing"),
        pytest.param(lambda pool, kid: pool.rotate(), 0, id="a-key-more"),
        pytest.param(lambda pool, kid: pool.withdraw(kid), 1, id="a-key-less"),
        pytest.param(lambda pool, kid: pool.replace(kid), 1, id="another-key-under-its-name"),
    ],
)
def test_a_withdrawal_is_told_once(
    make_keys: Callable[..., KeySet],
    pool: LocalPool,
    kid: str,
    timer: Any,
    settle: Any,
    change: Callable[[LocalPool, str], object],
    told: int,
) -> None:
    """So that verdicts reached with the key are forgotten."""
    calls: list[str] = []
    keys = make_keys(on_withdrawal=lambda: calls.append(kid))
    asyncio.run(keys.load())
    settle(keys)
    change(pool, kid)

    for _ in range(2):
        timer.advance(100)
        keys.refresh_if_due()
        settle(keys)

    assert calls == [kid] * told


def test_a_key_that_did_not_change_stays_the_same_object(
    loaded: KeySet, fetch: Any, kid: str, timer: Any, settle: Any
) -> None:
    """So verdicts that were reached with it can be recognised as still good."""
    key = loaded.get(kid)
    for _ in range(3):
        timer.advance(1_000)
        asyncio.run(loaded.load())
        settle(loaded)

    assert fetch.calls == 4
    assert loaded.get(kid) is key


# -- a saved key set


@pytest.fixture(params=["mapping", "path"])
def seed(request: pytest.FixtureRequest, pool: LocalPool, tmp_path: Path) -> Any:
    if request.param == "mapping":
        return pool.jwks()
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps(pool.jwks()))
    return path


def test_a_saved_set_is_used_at_once_and_replaced_when_the_network_works(
    make_keys: Callable[..., KeySet],
    pool: LocalPool,
    seed: Any,
    fetch: Any,
    kid: str,
    events: list[Event],
    settle: Any,
    at_once: Any,
    new_keys: Callable[[], PoolKeys],
) -> None:
    saved = kid
    keys = make_keys(UserPool(POOL_ID, client_ids=ANY_CLIENT, jwks=seed))
    pool.rotate(new_keys())
    pool.withdraw(saved)
    assert keys.status() == {"ready": True, "keys": 2, "age": 0.0, "last_error": None, "next_attempt": None}
    assert fetch.calls == 0

    assert at_once(keys.find(saved))
    settle(keys)

    assert fetch.calls == 1
    assert keys.get(saved) is None
    assert keys.get(pool.keys.access.kid)
    assert events == [
        KeysFetched(
            POOL_ID,
            kids=frozenset(key["kid"] for key in pool.jwks()["keys"]),
            added=frozenset({pool.keys.access.kid, pool.keys.identity.kid}),
            removed=frozenset({saved}),
        )
    ]


def test_a_saved_set_serves_offline_until_stale_for(
    make_keys: Callable[..., KeySet], seed: Any, fetch: Any, kid: str, timer: Any, settle: Any, at_once: Any
) -> None:
    keys = make_keys(UserPool(POOL_ID, client_ids=ANY_CLIENT, jwks=seed))
    fetch.fail(FetchError("no"))
    asyncio.run(keys.load())

    timer.advance(999)
    assert at_once(keys.find(kid))
    settle(keys)
    timer.advance(1)
    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.find(kid))
    settle(keys)


@pytest.mark.parametrize("jwks", [{}, {"keys": []}, {"keys": [{"kty": "EC"}]}])
def test_a_saved_set_without_usable_keys_is_refused_at_construction(
    make_guard: Callable[..., CognitoGuard], jwks: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"^jwks: the key set holds no usable key$"):
        make_guard(UserPool(POOL_ID, client_ids=ANY_CLIENT, jwks=jwks))


# -- several pools, several URLs


@pytest.mark.anyio
async def test_each_pool_has_its_own_keys_even_under_the_same_kid(
    make_guard: Callable[..., CognitoGuard], pool_keys: PoolKeys, clock: Any
) -> None:
    first = LocalPool("eu-central-1_First", keys=pool_keys, clock=clock)
    second = LocalPool(
        "eu-west-1_Second", keys=PoolKeys(access=pool_keys.identity, identity=pool_keys.access), clock=clock
    )
    documents = {}
    for local in (first, second):
        local.add_client(scopes=["openid"], client_id="client", allowed_flows=["code"])
        # Both publish their key under one name.
        documents[local.pool_id] = json.dumps({"keys": [local.keys.access.jwk() | {"kid": "same"}]}).encode()

    def fetch(url: str, _: float) -> bytes:
        return documents[url.split("/")[3]]

    guard = make_guard(*(UserPool(local.pool_id, client_ids={"client"}) for local in (first, second)), fetch=fetch)
    headers = {"kid": "same"}

    for local, other in ((first, second), (second, first)):
        principal = await guard.verify(local.mint(headers=headers))
        assert principal.issuer == local.issuer
        with pytest.raises(SignatureError):
            await guard.verify(local.mint(headers=headers, iss=other.issuer))
    assert set(guard.status()) == {"eu-central-1_First", "eu-west-1_Second"}
    await internals_of(guard).verifier.issuers.settle()


@pytest.mark.anyio
async def test_an_outage_of_one_pool_does_not_affect_the_other(
    make_guard: Callable[..., CognitoGuard],
    pool: LocalPool,
    pool_keys: PoolKeys,
    reader: LocalClient,
    user_pool: UserPool,
    fetch: Any,
    clock: Any,
) -> None:
    down = LocalPool("eu-west-1_Down", keys=pool_keys, clock=clock)

    def fetch_one(url: str, timeout: float) -> bytes:
        if POOL_ID not in url:
            raise FetchError("no")
        body: bytes = fetch(url, timeout)
        return body

    guard = make_guard(UserPool(down.pool_id, client_ids=ANY_CLIENT), user_pool, fetch=fetch_one)

    with pytest.raises(KeysUnavailableError):
        await guard.verify(down.mint(client_id=reader.client_id))
    assert await guard.verify(pool.mint(client_id=reader.client_id))
    assert [status["ready"] for status in guard.status().values()] == [False, True]
    await internals_of(guard).verifier.issuers.settle()


@pytest.mark.anyio
async def test_both_forms_of_issuer_share_one_key_set(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, user_pool: UserPool, fetch: Any
) -> None:
    for issuer in user_pool.issuers:
        assert await guard.verify(pool.mint(client_id=reader.client_id, iss=issuer))

    assert fetch.urls == [ORIGINAL]
    await internals_of(guard).verifier.issuers.settle()


@pytest.mark.anyio
async def test_replica_regions_share_the_key_set_and_are_tried_in_turn(
    make_guard: Callable[..., CognitoGuard], pool: LocalPool, reader: LocalClient
) -> None:
    urls = []

    def fetch(url: str, _: float) -> bytes:
        urls.append(url)
        if "us-east-1" not in url:
            raise FetchError("no")
        return json.dumps(pool.jwks()).encode()

    user_pool = UserPool(POOL_ID, client_ids={reader.client_id}, replica_regions=["us-east-1"])
    guard = make_guard(user_pool, fetch=fetch)
    replica = f"https://cognito-idp.us-east-1.amazonaws.com/{POOL_ID}"

    assert await guard.verify(pool.mint(client_id=reader.client_id, iss=replica))
    assert urls == [ORIGINAL, UPDATED, f"{replica}/.well-known/jwks.json"]
    await internals_of(guard).verifier.issuers.settle()


def only(working: str, fetch: Any, *, after: Callable[[], None] = lambda: None) -> Callable[[str, float], bytes]:
    """A network in which one URL works, and the others fail *after* something."""

    def fetch_only(url: str, timeout: float) -> bytes:
        body: bytes = fetch(url, timeout)
        if url == working:
            return body
        after()
        raise FetchError(f"status {500 + len(fetch.urls)} instead of 200")

    return fetch_only


def test_the_next_url_is_asked_in_the_same_attempt_and_remembered(
    make_keys: Callable[..., KeySet], user_pool: UserPool, fetch: Any, timer: Any, events: list[Event], settle: Any
) -> None:
    keys = make_keys(user_pool, fetch=only(UPDATED, fetch))

    asyncio.run(keys.load())
    timer.advance(100)
    asyncio.run(keys.load())
    settle(keys)

    assert fetch.urls == [ORIGINAL, UPDATED, UPDATED]
    assert [type(event) for event in events] == [KeysFetched, KeysFetched]


def test_an_attempt_that_hung_at_one_url_lets_the_next_one_begin_with_the_other(
    make_keys: Callable[..., KeySet], user_pool: UserPool, fetch: Any, kid: str, timer: Any, settle: Any
) -> None:
    keys = make_keys(user_pool, fetch=only(UPDATED, fetch, after=lambda: timer.advance(3.0)))

    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.find(kid))
    assert fetch.urls == [ORIGINAL]

    timer.advance(1)
    assert asyncio.run(keys.find(kid))
    assert fetch.urls == [ORIGINAL, UPDATED]
    settle(keys)


def test_the_urls_of_an_attempt_share_its_time(
    make_keys: Callable[..., KeySet], user_pool: UserPool, timer: Any, settle: Any
) -> None:
    timeouts = []

    def fetch(_: str, timeout: float) -> bytes:
        timeouts.append(timeout)
        timer.advance(1.5)
        raise FetchError("no")

    keys = make_keys(user_pool, fetch=fetch)
    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.load())
    settle(keys)

    assert timeouts == [3.0, 1.5]


def test_if_all_urls_fail_each_is_named_with_each_reason_once(
    make_keys: Callable[..., KeySet], user_pool: UserPool, fetch: Any, timer: Any, settle: Any
) -> None:
    keys = make_keys(user_pool, fetch=only("none", fetch))
    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.load())
    assert keys.status()["last_error"] == (
        f"{ORIGINAL}: status 501 instead of 200; {UPDATED}: status 502 instead of 200"
    )

    keys = make_keys(user_pool)
    fetch.fail(FetchError("no"))
    with pytest.raises(KeysUnavailableError):
        asyncio.run(keys.load())
    assert keys.status()["last_error"] == f"{ORIGINAL} and {UPDATED}: no"
    assert fetch.urls == [ORIGINAL, UPDATED] * 2
    settle(keys)


# -- prefetch and status


@pytest.mark.anyio
async def test_prefetch_fetches_what_is_not_fresh_and_nothing_else(
    make_guard: Callable[..., CognitoGuard], fetch: Any, timer: Any
) -> None:
    guard = make_guard(key_policy=POLICY)
    for age, calls in ((0, 1), (99.9, 1), (0.1, 2), (0, 2)):
        timer.advance(age)
        await guard.prefetch()
        assert fetch.calls == calls
    await internals_of(guard).verifier.issuers.settle()


@pytest.mark.anyio
async def test_prefetch_refreshes_old_keys_in_the_background(
    loaded: KeySet, pool: LocalPool, timer: Any, at_once: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    new = pool.rotate(new_keys()).access.kid
    timer.advance(100)

    at_once(loaded.load())
    assert loaded.get(new) is None
    await loaded.settle()

    assert loaded.get(new)


@pytest.mark.anyio
async def test_prefetch_fails_only_if_there_are_no_keys_at_all(loaded: KeySet, fetch: Any, timer: Any) -> None:
    fetch.fail(FetchError("no"))
    timer.advance(999)
    await loaded.load()
    await loaded.load()
    assert fetch.calls == 2

    timer.advance(1)
    with pytest.raises(KeysUnavailableError):
        await loaded.load()
    await loaded.settle()


def test_the_status_of_keys_never_loaded_is_ready_for_json(keys: KeySet) -> None:
    status = keys.status()

    assert status == {"ready": False, "keys": 0, "age": None, "last_error": None, "next_attempt": None}
    assert json.loads(json.dumps(status)) == status
