"""A store that is away, or hangs, costs no call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from cognito_guard.client import (
    ClientCredentials,
    MemoryStore,
    StoredToken,
    TokenStore,
)
from cognito_guard.client._bounded_store import BoundedStore
from cognito_guard.client._seams import Seams
from tests.client.stores import Flaky

Make = Callable[..., ClientCredentials]
Settle = Callable[[], None]


class Broken:
    """A store whose methods raise, or hang until the test is over."""

    def __init__(self, how: str) -> None:
        self.how = how
        self.calls = 0
        self.over = threading.Event()

    def _fail(self, *_: Any) -> Any:
        self.calls += 1
        if self.how == "hangs":
            self.over.wait(30)
        raise ConnectionError("password in the message")

    get = put = claim = release = _fail


def as_store(store: Any) -> TokenStore:
    """Its signatures are of no account."""
    stand_in: TokenStore = store
    return stand_in


@pytest.fixture(params=["raises", "hangs"])
def broken(request: pytest.FixtureRequest) -> Iterator[Broken]:
    store = Broken(request.param)
    yield store
    store.over.set()


def test_a_store_that_is_away_costs_no_call(
    make_client: Make, endpoint: Any, broken: Broken, api: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client = make_client(store=broken, store_timeout=0.01)

    assert api.client(client).get("/orders").status_code == 200
    assert endpoint.calls == 1
    assert client.status().store_away
    # Once is enough to know.
    assert broken.calls == 1
    assert caplog.text.count("the token store is away") == 1
    assert "password" not in caplog.text


def test_a_store_that_is_back_is_used_again(
    make_client: Make, key: str, endpoint: Any, memory: MemoryStore, timer: Any, clock: Any, settle: Settle, caplog: Any
) -> None:
    caplog.set_level("INFO", "cognito_guard.client")
    flaky = Flaky(memory)
    one, other = make_client(store=flaky), make_client(store=flaky)
    one.token_sync()
    assert memory.get(key) is None

    flaky.away = False
    timer.advance(1.51)
    clock.advance(0.76 * 3600)
    one.token_sync()
    settle()
    assert not one.status().store_away
    assert "the token store is back" in caplog.text
    assert other.token_sync() == one.token_sync()
    assert endpoint.calls == 2


@pytest.mark.parametrize("entry", ["text", StoredToken("text", 1), StoredToken(b"sealed", "one")], ids=str)  # type: ignore[arg-type]
def test_a_store_with_invalid_answers_counts_as_unavailable(
    make_client: Make, endpoint: Any, timer: Any, entry: Any
) -> None:
    class Odd(MemoryStore):
        def get(self, key: str) -> StoredToken | None:
            answer: StoredToken = entry
            return answer

    client = make_client(store=Odd(timer=timer))

    assert client.token_sync()
    assert client.status().store_away


def test_a_store_is_not_asked_while_a_call_hangs(seams: Seams, timer: Any) -> None:
    broken = Broken("hangs")
    store = BoundedStore(as_store(broken), timeout=0.0, seams=seams)
    for _ in range(10):
        assert store.get("key") is None
        timer.advance(60)
    assert broken.calls == 1

    broken.over.set()
    for thread in threading.enumerate():
        if thread.name == "cognito-guard token store":
            thread.join(30)
    assert not store.away
    assert store.claim("key", "one", 10)
    assert store.away


def test_without_threads_a_store_is_a_miss(seams: Seams, memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    store = BoundedStore(memory, timeout=1, seams=seams)
    memory.put("key", StoredToken(b"sealed", 1), 60)
    monkeypatch.setattr(threading.Thread, "start", start)

    assert store.get("key") is None
    assert store.claim("key", "one", 10)
