"""Clients of several processes with one store: one buys, all use, and a store that is away costs no call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest

from cognito_guard.client import (
    ClientCredentials,
    FileStore,
    MemoryStore,
    RedisStore,
    StoredToken,
    TokenBought,
    TokenEvent,
    TokenRequestError,
    TokenShared,
    TokenStore,
)
from cognito_guard.client._seal import Seal
from cognito_guard.client._seams import Seams
from cognito_guard.client._token import Token
from cognito_guard.local import LocalClient
from tests.client.stores import Flaky

Make = Callable[..., ClientCredentials]
Settle = Callable[[], None]


@pytest.fixture(params=["memory", "file", "fakeredis"])
def store(request: pytest.FixtureRequest, clock: Any, timer: Any, tmp_path: Path) -> Iterator[TokenStore]:
    if request.param == "memory":
        yield MemoryStore(timer=timer)
    elif request.param == "file":
        yield FileStore(tmp_path / "tokens", clock=clock)
    else:
        with fakeredis.FakeRedis() as client:
            yield RedisStore(client)


# One buys, all use


def test_one_buys_and_all_use(make_client: Make, endpoint: Any, store: TokenStore) -> None:
    events: list[TokenEvent] = []
    one, *others = [make_client(store=store, on_event=events.append) for _ in range(8)]

    token = one.token_sync()
    assert [other.token_sync() for other in others] == [token] * 7

    assert endpoint.calls == 1
    assert [type(event) for event in events] == [TokenBought] + [TokenShared] * 7
    assert (one.status().bought, one.status().shared) == (1, 0)
    assert (others[0].status().bought, others[0].status().shared) == (0, 1)
    assert others[0].status().expires_at == one.status().expires_at


def test_all_that_start_at_once_buy_one_token(
    make_client: Make, endpoint: Any, store: TokenStore, seams: Seams
) -> None:
    endpoint.open.clear()
    tokens: list[str] = []
    # The time stands still: nobody loses patience with the process that buys.
    still = Seams(seams.clock, seams.timer, sleep=endpoint.open.wait)
    clients = [make_client(store=store, seams=still) for _ in range(8)]
    endpoint.answer_all([lambda each=each: tokens.append(each.token_sync()) for each in clients])

    assert endpoint.calls == 1
    assert len(set(tokens)) == 1


def test_one_renews_and_all_use(
    make_client: Make, endpoint: Any, store: TokenStore, clock: Any, timer: Any, settle: Settle
) -> None:
    clients = [make_client(store=store) for _ in range(8)]
    old = {client.token_sync() for client in clients}
    clock.advance(0.83 * 3600)
    timer.advance(0.83 * 3600)

    for client in clients:
        client.token_sync()
        settle()
    new = {client.token_sync() for client in clients}

    assert endpoint.calls == 2
    assert len(new) == 1
    assert new.isdisjoint(old)


def test_the_process_that_bought_a_token_renews_it_and_others_only_later(
    make_client: Make, endpoint: Any, memory: MemoryStore, clock: Any, timer: Any, settle: Settle
) -> None:
    bought, shared = make_client(store=memory), make_client(store=memory)
    bought.token_sync()
    shared.token_sync()
    clock.advance(0.82 * 3600)
    timer.advance(0.82 * 3600)
    shared.token_sync()
    settle()
    assert endpoint.calls == 1

    bought.token_sync()
    settle()
    assert endpoint.calls == 2


def test_a_token_is_renewed_although_the_process_that_bought_it_is_gone(
    make_client: Make, endpoint: Any, memory: MemoryStore, clock: Any, timer: Any, settle: Settle
) -> None:
    make_client(store=memory).token_sync()
    shared = make_client(store=memory)
    shared.token_sync()
    clock.advance(0.826 * 3600)
    timer.advance(0.826 * 3600)
    shared.token_sync()
    settle()

    assert endpoint.calls == 2


def test_a_renewal_by_another_process_is_left_to_it(
    make_client: Make, endpoint: Any, memory: MemoryStore, clock: Any, timer: Any, settle: Settle
) -> None:
    one, other = make_client(store=memory), make_client(store=memory)
    old = one.token_sync()
    assert other.token_sync() == old
    clock.advance(0.83 * 3600)
    timer.advance(0.83 * 3600)
    endpoint.open.clear()
    endpoint.asked.clear()
    one.token_sync()
    assert endpoint.asked.wait(30)

    looker = [thread for thread in threading.enumerate() if thread.name == "cognito-guard token"]
    for _ in range(20):
        assert other.token_sync() == old
        for thread in threading.enumerate():
            if thread.name == "cognito-guard token" and thread not in looker:
                thread.join(30)
    assert endpoint.calls == 2

    # It looks again after a pause, and finds what the other one bought.
    endpoint.open.set()
    settle()
    assert other.token_sync() == old
    timer.advance(5)
    other.token_sync()
    settle()
    assert other.token_sync() == one.token_sync() != old
    assert endpoint.calls == 2


class Counting(MemoryStore):
    """Counts how often it is asked."""

    looks = 0

    def get(self, key: str) -> StoredToken | None:
        self.looks += 1
        return super().get(key)


def test_a_renewal_by_another_process_is_looked_for_once_per_pause(
    make_client: Make, key: str, clock: Any, timer: Any, settle: Settle
) -> None:
    store = Counting(timer=timer)
    client = make_client(store=store)
    client.token_sync()
    store.claim(key, "another process", 1e6)
    clock.advance(0.8 * 3600)
    for pause in range(1, 4):
        before = store.looks
        for _ in range(100):
            client.token_sync()
            settle()
        assert (pause, store.looks - before) == (pause, 1)
        timer.advance(3.75)


def test_a_renewal_that_fails_is_tried_once_per_pause(
    make_client: Make, endpoint: Any, clock: Any, timer: Any, settle: Settle
) -> None:
    store = Counting(timer=timer)
    client = make_client(store=store)
    client.token_sync()
    endpoint.say(500)
    clock.advance(0.8 * 3600)
    before = store.looks
    for _ in range(100):
        client.token_sync()
        settle()

    # Before the claim, after it, and after the failure.
    assert store.looks - before == 3


@pytest.mark.parametrize("content", [{"error": "invalid_scope"}, {"error": "temporarily_unavailable"}])
def test_calls_that_can_only_fail_look_once_a_second(
    make_client: Make, endpoint: Any, timer: Any, content: dict[str, str]
) -> None:
    store = Counting(timer=timer)
    client = make_client(store=store)
    endpoint.say(400, content, retry_after="60")
    with pytest.raises(TokenRequestError):
        client.token_sync()
    for _ in range(3):
        before = store.looks
        for _ in range(100):
            with pytest.raises(TokenRequestError):
                client.token_sync()
        assert store.looks == before
        timer.advance(1)
        with pytest.raises(TokenRequestError):
            client.token_sync()
        assert store.looks == before + 1

    assert endpoint.calls == 1


def test_a_stored_token_that_is_due_itself_is_not_taken(
    make_client: Make, endpoint: Any, memory: MemoryStore, clock: Any, timer: Any, settle: Settle
) -> None:
    """Both are past three quarters of their life; adopting the other one would put the purchase off by a moment."""
    flaky = Flaky(memory)
    one = make_client(store=flaky)
    one.token_sync()
    flaky.away = False
    clock.advance(1)
    make_client(store=memory).token_sync()
    clock.advance(0.83 * 3600)
    timer.advance(0.83 * 3600)

    one.token_sync()
    settle()
    assert endpoint.calls == 3


def test_a_new_process_uses_a_token_that_is_due(
    make_client: Make, endpoint: Any, memory: MemoryStore, clock: Any, timer: Any
) -> None:
    old = make_client(store=memory).token_sync()
    clock.advance(0.9 * 3600)
    timer.advance(0.9 * 3600)

    assert make_client(store=memory).token_sync() == old


def test_a_new_process_does_not_take_a_token_at_its_end(
    make_client: Make, endpoint: Any, memory: MemoryStore, clock: Any, timer: Any
) -> None:
    old = make_client(store=memory).token_sync()
    clock.advance(3600 - 5)
    timer.advance(3600 - 5)

    assert make_client(store=memory).token_sync() != old
    assert endpoint.calls == 2


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": ["orders/order.read"]},
        {"resource": "orders"},
        {"aws_client_metadata": {"tenant": "tea"}},
        {"token_url": "https://other.auth.example/oauth2/token"},
        {"client_id": "another0client"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_clients_with_different_options_do_not_share(
    make_client: Make, endpoint: Any, memory: MemoryStore, change: dict[str, Any]
) -> None:
    endpoint.grant(3600)
    make_client(store=memory).token_sync()
    make_client(store=memory, **change).token_sync()

    assert endpoint.calls == 2


def test_the_order_of_scopes_and_metadata_makes_no_difference(
    make_client: Make, endpoint: Any, memory: MemoryStore
) -> None:
    endpoint.grant(3600)
    make_client(store=memory, scopes=["a/b", "c/d"], aws_client_metadata={"a": "1", "b": "2"}).token_sync()
    make_client(store=memory, scopes=["c/d", "a/b"], aws_client_metadata={"b": "2", "a": "1"}).token_sync()

    assert endpoint.calls == 1


def test_a_client_with_a_wrong_secret_gets_no_token_of_others(
    make_client: Make, endpoint: Any, memory: MemoryStore
) -> None:
    make_client(store=memory).token_sync()

    with pytest.raises(TokenRequestError, match="invalid_client"):
        make_client(store=memory, client_secret="wrong").token_sync()


def test_processes_in_the_middle_of_a_rotation_share(
    make_client: Make, endpoint: Any, memory: MemoryStore, reader: LocalClient
) -> None:
    """One was started with the old secret, the other knows both."""
    token = make_client(store=memory).token_sync()
    both = [reader.add_secret().value, reader.secrets[0].value]

    assert make_client(store=memory, client_secret=both).token_sync() == token
    assert endpoint.calls == 1


def test_a_process_that_cannot_open_the_stored_token_replaces_it(
    make_client: Make, endpoint: Any, memory: MemoryStore, reader: LocalClient, clock: Any
) -> None:
    make_client(store=memory).token_sync()
    reader.add_secret()
    new = make_client(store=memory, client_secret=reader.secret).token_sync()

    assert make_client(store=memory, client_secret=reader.secret).token_sync() == new
    assert endpoint.calls == 2


# Generations


class Watched(MemoryStore):
    """Lets a test act right before something is put."""

    before_put: Callable[[], None] = staticmethod(lambda: None)

    def put(self, key: str, entry: StoredToken, lifetime: float) -> bool:
        before, self.before_put = self.before_put, lambda: None
        before()
        return super().put(key, entry, lifetime)


def test_a_late_answer_does_not_replace_a_newer_token(make_client: Make, endpoint: Any, clock: Any, timer: Any) -> None:
    """The claim of a slow process ended, and another one bought meanwhile."""
    store = Watched(timer=timer)
    # Its call may begin to wait only after those 30 seconds.
    slow, quick = make_client(store=store, timeout=60), make_client(store=store)
    tokens = []

    def overtake() -> None:
        clock.advance(30)
        timer.advance(30)
        tokens.append(quick.token_sync())

    store.before_put = overtake
    tokens.append(slow.token_sync())

    assert endpoint.calls == 2
    assert tokens[0] == tokens[1] == make_client(store=store).token_sync()


def test_a_late_answer_is_used_if_the_newer_one_cannot_be_opened(
    make_client: Make, key: str, endpoint: Any, timer: Any, reader: LocalClient
) -> None:
    store = Watched(timer=timer)
    slow = make_client(store=store)

    def overtake() -> None:
        store.put(key, StoredToken(b"of another", 9), 60)

    store.before_put = overtake

    assert slow.token_sync()
    assert store.get(key) == StoredToken(b"of another", 9)


def test_each_token_has_a_higher_generation(
    make_client: Make, key: str, memory: MemoryStore, clock: Any, timer: Any, settle: Settle
) -> None:
    client = make_client(store=memory)
    generations = []
    for _ in range(3):
        client.token_sync()
        settle()
        entry = memory.get(key)
        assert entry is not None
        generations.append(entry.generation)
        clock.advance(0.76 * 3600)
        timer.advance(0.76 * 3600)

    assert generations == [1, 2, 3]


# A refused token


def test_a_token_that_the_api_refuses_is_replaced_once_for_all(
    make_client: Make, endpoint: Any, store: TokenStore, api: Any, clock: Any
) -> None:
    clients = [make_client(store=store) for _ in range(4)]
    (old,) = {client.token_sync() for client in clients}
    api.takes = lambda token: token != old
    clock.advance(1)

    assert [api.client(client).get("/orders").status_code for client in clients] == [200] * 4
    assert endpoint.calls == 2


def test_an_older_token_in_the_store_does_not_replace_a_refused_one(
    make_client: Make, endpoint: Any, memory: MemoryStore, clock: Any, api: Any, settle: Settle, timer: Any
) -> None:
    older = make_client(store=memory).token_sync()
    clock.advance(10)
    flaky = Flaky(memory)
    alone = make_client(store=flaky)
    refused = alone.token_sync()
    flaky.away = False
    timer.advance(2)
    api.takes = lambda token: token not in {refused, older}
    clock.advance(1)

    assert api.client(alone).get("/orders").status_code == 200
    assert api.tokens[0] == refused
    assert api.tokens[1] not in {refused, older}


# Failures, and claims of others


def test_a_claim_of_a_process_that_is_stuck_is_waited_for_half_of_the_timeout(
    make_client: Make, key: str, endpoint: Any, memory: MemoryStore, naps: list[float]
) -> None:
    client = make_client(store=memory)
    memory.claim(key, "stuck", 1000)

    assert client.token_sync()
    assert sum(naps) == pytest.approx(5, abs=0.6)
    assert max(naps) <= 0.4
    assert endpoint.calls == 1


def test_a_token_that_comes_while_waiting_is_used(
    make_client: Make, key: str, endpoint: Any, memory: MemoryStore, seams: Seams, reader: LocalClient
) -> None:
    memory.claim(key, "another process", 1000)

    def sleep(seconds: float) -> None:
        token = Token("from.another.process", seams.clock(), seams.clock() + 3600, 0.75)
        memory.put(key, StoredToken(Seal([reader.secret], key, 0.75).close(token), 1), 3600)

    client = make_client(store=memory, seams=Seams(seams.clock, seams.timer, sleep, seams.random))

    assert client.token_sync() == "from.another.process"
    assert endpoint.calls == 0


def test_a_token_that_was_put_before_the_claim_was_given_is_used(
    make_client: Make, key: str, endpoint: Any, timer: Any, seams: Seams, reader: LocalClient
) -> None:
    class Busy(MemoryStore):
        def claim(self, key: str, owner: str, seconds: float) -> bool:
            token = Token("from.another.process", seams.clock(), seams.clock() + 3600, 0.75)
            self.put(key, StoredToken(Seal([reader.secret], key, 0.75).close(token), 1), 3600)
            return super().claim(key, owner, seconds)

    store = Busy(timer=timer)
    client = make_client(store=store)

    assert client.token_sync() == "from.another.process"
    assert endpoint.calls == 0
    assert client.status().shared == 1
    assert MemoryStore.claim(store, key, "anyone", 10)


def test_a_fleet_does_not_ask_an_endpoint_that_is_over_quota(
    make_client: Make, endpoint: Any, memory: MemoryStore, clock: Any, timer: Any, settle: Settle
) -> None:
    clients = [make_client(store=memory) for _ in range(8)]
    for client in clients:
        client.token_sync()
    endpoint.say(429, {}, retry_after="20")
    clock.advance(0.83 * 3600)
    timer.advance(0.83 * 3600)
    for _ in range(20):
        for client in clients:
            client.token_sync()
            settle()
        timer.advance(0.9)

    assert endpoint.calls == 2


def test_a_process_whose_secret_is_wrong_does_not_keep_the_others_away(
    make_client: Make, endpoint: Any, memory: MemoryStore, naps: list[float]
) -> None:
    with pytest.raises(TokenRequestError):
        make_client(store=memory, client_secret="wrong").token_sync()

    assert make_client(store=memory).token_sync()
    assert naps == []
