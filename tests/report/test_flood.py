"""Of many refusals, the first are written in full and the others are counted. None is lost."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from cognito_guard import CognitoGuard
from cognito_guard._report.flood import IN_FULL, WINDOW, Flood, Kind
from cognito_guard.local import LocalPool
from tests.refusals.drill import log_lines

EXPIRED, JUNK = Kind(20, 401, "expired"), Kind(20, 401, "malformed")


class Counted:
    """A flood whose summaries are kept."""

    def __init__(self, timer: Callable[[], float]) -> None:
        self.told: list[tuple[str, int]] = []
        self.flood = Flood(timer, lambda kind, count: self.told.append((kind.reason, count)))

    def send(self, kind: Kind, number: int) -> int:
        """Return how many of *number* are to be written in full."""
        return sum(self.flood.admits(kind) for _ in range(number))


def test_the_first_of_each_reason_are_written_in_full(timer: Any) -> None:
    counted = Counted(timer)

    assert counted.send(EXPIRED, IN_FULL) == IN_FULL
    assert not counted.flood.is_pending
    assert counted.send(EXPIRED, 990) == 0
    assert counted.flood.is_pending
    assert counted.send(JUNK, 3) == 3
    assert counted.told == []


def test_the_count_is_logged_with_the_first_refusal_after_ten_seconds(timer: Any) -> None:
    counted = Counted(timer)
    counted.send(EXPIRED, IN_FULL + 990)
    counted.send(JUNK, IN_FULL + 1)
    timer.advance(WINDOW - 0.001)
    assert counted.send(EXPIRED, 1) == 0
    assert counted.told == []
    timer.advance(0.001)

    assert counted.send(JUNK, 1) == 1
    assert counted.told == [("expired", 991), ("malformed", 1)]
    timer.advance(WINDOW)
    counted.flood.settle()
    assert len(counted.told) == 2


def test_the_rest_of_the_count_is_logged_when_the_guard_is_dropped(timer: Any) -> None:
    told: list[int] = []
    flood = Flood(timer, lambda kind, count: told.append(count))
    for _ in range(IN_FULL + 5):
        flood.admits(EXPIRED)

    del flood
    gc.collect()

    assert told == [5]


def test_a_window_is_logged_once_even_by_two_threads(timer: Any) -> None:
    """Two threads may find that the ten seconds are over."""
    told: list[int] = []

    def summarise(kind: Kind, count: int) -> None:
        told.append(count)
        # The other thread has found the same window.
        flood._windows[0] = old  # noqa: SLF001
        flood.close()

    flood = Flood(timer, summarise)
    for _ in range(IN_FULL + 5):
        flood.admits(EXPIRED)
    old = flood._windows[0]  # noqa: SLF001
    flood.close()

    assert told == [5]


@pytest.fixture
def app(guard: CognitoGuard) -> Starlette:
    app = Starlette()
    guard.install(app)
    return app


def refusals(lines: list[str]) -> list[str]:
    return [line for line in lines if "refused" in line]


MORE = "INFO refused 30 more with 401 missing_token within 10 s, not shown one by one"


def test_an_accepted_token_writes_the_count(app: Starlette, timer: Any, pool: LocalPool, reader: Any) -> None:
    token = pool.mint(client_id=reader.client_id)
    client = TestClient(app)

    with log_lines() as lines:
        for _ in range(40):
            assert client.get("/").status_code == 401
        timer.advance(WINDOW)
        assert client.get("/", headers={"Authorization": f"Bearer {token}"}).status_code == 404

    assert len(refusals(lines)) == 11
    assert refusals(lines)[-1] == MORE


def test_the_shutdown_writes_the_count(app: Starlette) -> None:
    with log_lines() as lines, TestClient(app) as client:
        for _ in range(40):
            client.get("/")
        assert len(refusals(lines)) == 10

    assert refusals(lines)[-1] == MORE


def test_a_count_of_lines_that_would_not_be_shown_is_not_shown(
    app: Starlette, caplog: pytest.LogCaptureFixture
) -> None:
    client = TestClient(app)
    caplog.set_level("INFO", "cognito_guard")
    for _ in range(40):
        client.get("/")
    before = len(caplog.records)
    caplog.set_level("ERROR", "cognito_guard")

    with TestClient(app):
        pass

    assert not [record for record in caplog.records[before:] if "refused" in record.message]


@pytest.mark.anyio
async def test_events_are_not_summarised(make_guard: Callable[..., CognitoGuard], call: Callable[..., Any]) -> None:
    events: list[Any] = []
    app = Starlette()
    make_guard(on_event=events.append).install(app)

    for _ in range(40):
        answer: httpx.Response = await call(app, "GET", "/orders/17?expand=1")
        assert answer.status_code == 401

    assert [(event.method, event.route, event.reason) for event in events] == [
        ("GET", "/orders/17", "missing_token")
    ] * 40
