"""A token's life: bought once, renewed in the background, used until it expires."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from cognito_guard.client import ClientCredentials, MemoryStore, Seams, StoredToken, TokenRequestError
from cognito_guard.client._options import cache_key
from cognito_guard.client._token import Token, renewal_fraction
from cognito_guard.local import LocalClient

pytestmark = pytest.mark.anyio

Make = Callable[..., ClientCredentials]
Settle = Callable[[], None]


async def leave(client: ClientCredentials, endpoint: Any) -> None:
    """Call, and go away when the token request is under way."""
    async with anyio.create_task_group() as caller:
        caller.start_soon(client.token)
        await anyio.to_thread.run_sync(endpoint.asked.wait)
        caller.cancel_scope.cancel()


# Single flight


async def test_a_thousand_calls_at_once_buy_one_token(client: ClientCredentials, api: Any, endpoint: Any) -> None:
    async with api.async_client(client) as http, anyio.create_task_group() as calls:
        for _ in range(1000):
            calls.start_soon(http.get, "/orders")

    assert endpoint.calls == 1
    assert len(api.tokens) == 1000
    assert len(set(api.tokens)) == 1
    assert (client.status().bought, client.status().reused) == (1, 999)


def test_threads_and_event_loops_of_both_kinds_share_one_purchase(client: ClientCredentials, endpoint: Any) -> None:
    endpoint.open.clear()
    tokens: list[str] = []

    def in_loop(backend: str) -> None:
        tokens.append(anyio.run(client.token, backend=backend))

    def in_thread() -> None:
        tokens.append(client.token_sync())

    works: list[Callable[[], None]] = [partial(in_loop, "asyncio"), partial(in_loop, "trio"), in_thread] * 3
    endpoint.answer_all(works)

    assert endpoint.calls == 1
    assert tokens == [client.token_sync()] * 9


async def test_a_cancelled_waiter_does_not_disturb_others(client: ClientCredentials, endpoint: Any) -> None:
    endpoint.open.clear()
    tokens: list[str] = []

    async def call() -> None:
        tokens.append(await client.token())

    async with anyio.create_task_group() as calls:
        calls.start_soon(call)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as doomed:
                doomed.start_soon(client.token)
                await anyio.to_thread.run_sync(endpoint.asked.wait)
                scope.cancel()
        endpoint.open.set()

    assert tokens == [await client.token()]
    assert endpoint.calls == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_loop_of_a_waiter_may_be_closed_before_the_token_comes(
    client: ClientCredentials, endpoint: Any, backend: str
) -> None:
    endpoint.open.clear()
    anyio.run(leave, client, endpoint, backend=backend)
    endpoint.open.set()

    assert client.token_sync()
    assert endpoint.calls == 1


def test_a_token_that_came_after_the_look_is_used(client: ClientCredentials, endpoint: Any) -> None:
    wait = client._holder.wait()  # noqa: SLF001 - the moment between look and wait
    token = client.token_sync()

    assert list(wait) == []
    assert isinstance(wait.outcome, Token)
    assert wait.outcome.value == token
    assert endpoint.calls == 1


def test_a_token_that_came_between_look_and_lock_is_used(
    make_client: Make, seams: Seams, endpoint: Any, clock: Any
) -> None:
    """The clock is read after the token at hand, and another thread gets the next token in this moment."""
    meanwhile: list[threading.Thread] = []

    def slow_clock() -> float:
        if meanwhile:
            thread = meanwhile.pop()
            thread.start()
            thread.join()
        return seams.clock()

    client = make_client(seams=Seams(slow_clock, seams.timer, seams.sleep, seams.random))
    client.token_sync()
    clock.advance(3600)
    meanwhile.append(threading.Thread(target=client.token_sync))

    wait = client._holder.wait()  # noqa: SLF001 - what a caller does who found no token

    assert list(wait) == []
    assert wait.outcome == Token(client.token_sync(), 0, 1, 0.75)
    assert endpoint.calls == 2


# Renewal


def test_a_token_is_renewed_in_the_background_while_the_old_one_serves(
    client: ClientCredentials, endpoint: Any, clock: Any, settle: Settle
) -> None:
    old = client.token_sync()
    endpoint.open.clear()

    clock.advance(0.75 * 3600)
    assert [client.token_sync() for _ in range(100)] == [old] * 100
    assert endpoint.asked.wait(30)
    endpoint.open.set()
    settle()

    assert client.token_sync() != old
    assert endpoint.calls == 2


def test_a_token_is_not_renewed_before_its_time(
    client: ClientCredentials, endpoint: Any, clock: Any, settle: Settle
) -> None:
    client.token_sync()
    clock.advance(0.75 * 3600 - 0.001)
    client.token_sync()
    settle()

    assert endpoint.calls == 1


async def test_async_callers_do_not_wait_for_a_renewal(client: ClientCredentials, endpoint: Any, clock: Any) -> None:
    old = await client.token()
    endpoint.open.clear()
    clock.advance(0.9 * 3600)

    assert await client.token() == old


def test_a_token_serves_until_five_seconds_before_it_expires(
    client: ClientCredentials, endpoint: Any, clock: Any, timer: Any, settle: Settle
) -> None:
    old = client.token_sync()
    endpoint.say(500)
    clock.advance(3600 - 5.001)
    assert client.token_sync() == old
    settle()

    endpoint.recover()
    timer.advance(60)
    clock.advance(0.001)
    assert client.token_sync() != old


def test_processes_renew_at_different_times() -> None:
    assert renewal_fraction(0.0, bought=True) == 0.70
    assert renewal_fraction(0.5, bought=True) == pytest.approx(0.75)
    assert renewal_fraction(1.0, bought=True) == pytest.approx(0.80)
    assert renewal_fraction(0.0, bought=False) == 0.80
    assert renewal_fraction(1.0, bought=False) == pytest.approx(0.85)


@pytest.mark.parametrize("lifetime", [0.5, 1, 5, 30, 300, 3600, 86400])
def test_calls_all_through_a_life_buy_one_token_per_life(
    client: ClientCredentials, endpoint: Any, clock: Any, timer: Any, settle: Settle, lifetime: float
) -> None:
    """No fixed window before the end, in which a short token would be renewed on every call."""
    endpoint.grant(lifetime)
    for _ in range(400):
        client.token_sync()
        clock.advance(lifetime / 100)
        timer.advance(lifetime / 100)
        settle()

    # Four lives, of which three quarters are used each.
    assert 5 <= endpoint.calls <= 6


@pytest.mark.parametrize(("life", "margin"), [(3600, 5), (100, 5), (99, 4.95), (30, 1.5), (1, 0.05)])
def test_the_margin_is_a_twentieth_of_a_life_and_five_seconds_at_most(life: float, margin: float) -> None:
    token = Token("a.b.c", 1000.0, 1000.0 + life, 0.75)

    assert token.usable_until == pytest.approx(1000 + life - margin)
    assert token.renew_at == pytest.approx(1000 + life * 0.75)
    assert token.renew_at < token.usable_until


def test_an_expired_token_is_used_by_the_callers_that_waited_for_it(
    client: ClientCredentials, endpoint: Any, clock: Any, api: Any
) -> None:
    """An endpoint may take longer to answer than the token is good for."""

    def slow(_: httpx.Request) -> httpx.Response:
        clock.advance(3)
        return httpx.Response(200, json={"access_token": "a.b.c", "expires_in": 2, "token_type": "Bearer"})

    endpoint.answer = slow

    assert api.client(client).get("/orders").status_code == 200
    assert api.tokens == ["a.b.c"]
    assert endpoint.calls == 1


def test_the_life_begins_when_the_token_is_asked_for(client: ClientCredentials, endpoint: Any, clock: Any) -> None:
    began = clock()

    def slow(_: httpx.Request) -> None:
        clock.advance(4)

    endpoint.answer = slow
    client.token_sync()

    assert client.status().expires_at == began + 3600


def test_a_failed_renewal_is_tried_again_after_a_pause_and_not_on_each_call(
    client: ClientCredentials, endpoint: Any, clock: Any, timer: Any, settle: Settle
) -> None:
    old = client.token_sync()
    endpoint.say(503)
    clock.advance(0.8 * 3600)
    for _ in range(50):
        assert client.token_sync() == old
        settle()
    assert endpoint.calls == 2

    timer.advance(0.374)
    client.token_sync()
    settle()
    assert endpoint.calls == 2

    endpoint.recover()
    timer.advance(0.002)
    client.token_sync()
    settle()
    assert endpoint.calls == 3
    assert client.token_sync() != old


def outlive_a_renewal(client: ClientCredentials, endpoint: Any, clock: Any) -> None:
    """Let the old token end while its renewal waits for the endpoint."""
    endpoint.open.clear()
    endpoint.asked.clear()
    clock.advance(0.8 * 3600)
    client.token_sync()
    assert endpoint.asked.wait(30)
    clock.advance(0.2 * 3600)


def test_calls_that_come_when_the_old_token_ends_wait_for_the_renewal_under_way(
    client: ClientCredentials, endpoint: Any, clock: Any, settle: Settle
) -> None:
    old = client.token_sync()
    outlive_a_renewal(client, endpoint, clock)

    tokens: list[str] = []
    endpoint.answer_all([lambda: tokens.append(client.token_sync())])

    assert tokens != [old]
    assert endpoint.calls == 2


def test_a_renewal_that_fails_when_the_old_token_ends_is_followed_by_another(
    client: ClientCredentials, endpoint: Any, clock: Any
) -> None:
    client.token_sync()
    endpoint.say(503)
    outlive_a_renewal(client, endpoint, clock)

    tokens: list[str] = []
    endpoint.recover()
    endpoint.answer_all([lambda: tokens.append(client.token_sync())])

    assert len(tokens) == 1
    assert endpoint.calls == 3


# Time-outs


@pytest.mark.parametrize("how", ["sync", "asyncio", "trio"])
def test_a_call_waits_for_a_token_no_longer_than_its_timeout(make_client: Make, endpoint: Any, how: str) -> None:
    client = make_client(timeout=0.05)
    endpoint.open.clear()

    call = client.token_sync if how == "sync" else partial(anyio.run, client.token, backend=how)
    with pytest.raises(TokenRequestError) as caught:
        call()

    assert caught.value.error == "timeout"
    assert caught.value.retry_after == 0.0


async def test_a_job_that_hangs_is_not_joined(
    client: ClientCredentials, endpoint: Any, clock: Any, timer: Any, settle: Settle
) -> None:
    endpoint.open.clear()
    await leave(client, endpoint)

    # The first request has been sent and gets its answer last.
    stuck, endpoint.open = endpoint.open, threading.Event()
    endpoint.open.set()
    timer.advance(10)
    clock.advance(1)
    new = await client.token()
    stuck.set()
    settle()

    assert endpoint.calls == 2
    assert await client.token() == new


class Failing(MemoryStore):
    """A store that may be away."""

    away = False

    def put(self, key: str, entry: StoredToken, lifetime: float) -> bool:
        if self.away:
            raise ConnectionError
        return super().put(key, entry, lifetime)


async def test_a_late_answer_replaces_nothing_newer(
    make_client: Make, endpoint: Any, clock: Any, timer: Any, settle: Settle, reader: LocalClient
) -> None:
    """Not even if there is no store to ask: the first job waits for a claim for so long that it is not joined."""
    store = Failing(timer=timer)
    client = make_client(store=store)
    key = cache_key("https://orders.auth.example/oauth2/token", reader.client_id, (), (), None)
    store.claim(key, "another process", 1000)
    endpoint.open.clear()
    await leave(client, endpoint)

    stuck, endpoint.open = endpoint.open, threading.Event()
    endpoint.open.set()
    timer.advance(4.9)
    clock.advance(4.9)
    store.release(key, "another process")
    new = await client.token()
    store.away = True
    stuck.set()
    settle()

    assert endpoint.calls == 2
    assert client.status().bought == 2
    assert await client.token() == new


async def test_a_job_under_way_is_joined(client: ClientCredentials, endpoint: Any, timer: Any) -> None:
    endpoint.open.clear()
    await leave(client, endpoint)
    timer.advance(4.999)
    async with anyio.create_task_group() as calls:
        calls.start_soon(client.token)
        calls.start_soon(client.token)
        await anyio.wait_all_tasks_blocked()
        endpoint.open.set()

    assert endpoint.calls == 1


async def test_a_late_answer_is_used_if_there_is_nothing_newer(
    client: ClientCredentials, endpoint: Any, settle: Settle
) -> None:
    endpoint.open.clear()
    await leave(client, endpoint)
    endpoint.open.set()
    settle()

    await client.token()
    assert endpoint.calls == 1


# Threads


@pytest.fixture
def without_threads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let no thread start from now on, as when the interpreter shuts down."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    return lambda: monkeypatch.setattr(threading.Thread, "start", start)


def test_without_threads_the_token_at_hand_still_serves(
    client: ClientCredentials, clock: Any, without_threads: Callable[[], None]
) -> None:
    old = client.token_sync()
    clock.advance(0.9 * 3600)
    without_threads()

    assert client.token_sync() == old


def test_without_threads_and_token_there_is_an_error(
    client: ClientCredentials, without_threads: Callable[[], None]
) -> None:
    without_threads()

    with pytest.raises(TokenRequestError) as caught:
        client.token_sync()

    assert caught.value.error == "no_thread"


def test_without_threads_a_401_stands(client: ClientCredentials, api: Any, without_threads: Callable[[], None]) -> None:
    client.token_sync()
    api.takes = lambda _: False
    without_threads()

    assert api.client(client).get("/orders").status_code == 401


def test_an_internal_error_reaches_waiting_callers_and_shows_no_secret(
    make_client: Make, seams: Seams, caplog: pytest.LogCaptureFixture, reader: Any
) -> None:
    def random() -> float:
        raise LookupError(reader.secret)

    client = make_client(seams=Seams(seams.clock, seams.timer, seams.sleep, random))

    with pytest.raises(TokenRequestError) as caught:
        client.token_sync()

    assert caught.value.error == "unavailable"
    assert "cognito-guard token failed: LookupError" in caplog.text
    assert reader.secret not in caplog.text
