"""The benchmarks of the calling side run. Their figures are not checked: that needs a quiet machine."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from benchmarks import calling
from benchmarks.fleet import Phase, table
from benchmarks.fleet_servers import LIFETIME, Servers
from benchmarks.report import plain
from benchmarks.row import Section

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
def servers() -> Servers:
    servers = Servers()
    servers.secrets.add("old")
    return servers


async def ask(call: Call, servers: Servers, known: str = "old") -> httpx.Response:
    form = {"grant_type": "client_credentials", "client_id": "shared", "client_secret": known}
    return await call(servers, "POST", "/oauth2/token", data=form)


async def test_the_drills_endpoint_gives_tokens_that_its_api_takes(servers: Servers, call: Call) -> None:
    grant = (await ask(call, servers)).json()

    assert grant["expires_in"] == LIFETIME
    assert (await call(servers, "GET", "/orders", grant["access_token"])).status_code == 200
    assert (await call(servers, "GET", "/orders", grant["access_token"] + "x")).status_code == 401


async def test_the_drills_endpoint_fails_as_told_and_counts(call: Call) -> None:
    servers = Servers()
    servers.fault = 429
    throttled = await ask(call, servers)
    servers.fault = 500
    failed = await ask(call, servers)
    servers.fault = None
    refused = await ask(call, servers, "new")

    assert (throttled.status_code, throttled.headers["retry-after"]) == (429, "2")
    assert (failed.status_code, refused.status_code) == (500, 400)
    assert servers.requests("shared", 0, 1e12) == {429: 1, 500: 1, 400: 1}
    assert servers.requests("alone", 0, 1e12) == {}
    assert servers.requests("shared", 0, 1) == {}


def test_the_drills_table_is_markdown() -> None:
    phase = Phase(name="calm", seconds=100, calls=4549, failed=0, requests=35, bought=35, longest=2.678, reasons=())

    assert table([phase]).splitlines()[2:] == ["| calm | 100 s | 4,549 | 0 | 35 | 35 | 2.68 s |"]


def test_calls_are_measured_where_the_packages_are(capsys: pytest.CaptureFixture[str]) -> None:
    """In the environment of the tests there is no other package: those have the reason in place of a figure."""
    calling.main(1)
    results: dict[str, Any] = json.loads(capsys.readouterr().out)

    for kind in calling.KINDS:
        assert results[f"cognito_guard, {kind}"]["bare"] > 0
    assert results.keys() == {f"{peer}, {kind}" for peer in calling.PEERS for kind in calling.KINDS}


RESULT = {"version": "1.0", "bare": 100e-6}


@pytest.mark.parametrize(("ours", "reached"), [(9e-6, True), (11e-6, False)])
def test_ours_is_held_against_the_cheaper_of_the_others(ours: float, reached: bool) -> None:
    seconds = {"cognito_guard": ours, "httpx_auth": 30e-6, "Authlib": 10e-6}
    shown = section({peer: RESULT | {"seconds": value} for peer, value in seconds.items()})

    assert [row.reached for row in shown.rows] == [reached, None, None] * 2
    assert "the cheaper of the other two" in plain(shown)


def test_what_is_not_installed_has_no_figure() -> None:
    shown = section(
        {
            "cognito_guard": RESULT | {"seconds": 9e-6},
            "httpx_auth": {"error": "ModuleNotFoundError"},
            "Authlib": {"error": "ModuleNotFoundError"},
        }
    )

    assert [row.value is None for row in shown.rows] == [False, True, True] * 2
    assert [row.note for row in shown.rows[1:3]] == ["not measured: no wheel", "not measured: ModuleNotFoundError"]


def section(results: dict[str, dict[str, Any]]) -> Section:
    both = {f"{peer}, {kind}": result for peer, result in results.items() for kind in calling.KINDS}
    return calling.section(both, {"httpx-auth": "no wheel"})
