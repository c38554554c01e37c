"""`docs/calling.md`: its blocks run, its sums are right, and its tables name what there is."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import respx

import example_app
from cognito_guard.client import ClientCredentials
from cognito_guard.client._credentials import PRICE

pytestmark = pytest.mark.anyio

GUIDE = (Path(example_app.__file__).parent.parent / "docs" / "calling.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
TOKEN_URL = "https://orders.auth.eu-central-1.amazoncognito.com/oauth2/token"
GRANT = {"access_token": "a.b.c", "expires_in": 3600, "token_type": "Bearer"}


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """What the blocks define, one after another, as a reader would type them."""
    answer = {"SecretString": '{"secrets": ["new", "old"]}'}
    service = SimpleNamespace(get_secret_value=lambda SecretId: answer)  # noqa: N803 - as boto3 has it
    monkeypatch.setitem(sys.modules, "boto3", SimpleNamespace(client=lambda name: service))
    monkeypatch.setenv("COGNITO_TOKEN_URL", TOKEN_URL)
    monkeypatch.setenv("COGNITO_CLIENT_ID", "7lhlkkfbfb4q5kpp90urffao")
    monkeypatch.setenv("COGNITO_CLIENT_SECRET", "the_secret_of_this_client")
    names: dict[str, Any] = {"__name__": "calling"}
    for block in BLOCKS:
        code = block.replace("/run/orders/tokens", str(tmp_path / "tokens"))
        exec(compile(code, "calling.md", "exec", dont_inherit=True), names)  # noqa: S102
    return names


@pytest.fixture
def answers() -> Iterator[respx.MockRouter]:
    """What answers the calls of the blocks."""
    with respx.mock(assert_all_called=False) as mocked:
        mocked.post(TOKEN_URL).respond(json=GRANT)
        mocked.get("https://api.example.com/orders").respond(json=["tea"])
        yield mocked


@pytest.mark.usefixtures("answers")
async def test_its_blocks_do_what_they_say(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names["auth"] = ClientCredentials.from_env(on_event=names["count"])

    assert await names["list_orders"]() == ["tea"]
    assert await names["metadata"]() == [("authorization", "Bearer a.b.c")]
    assert await names["headers"]() == {"Authorization": "Bearer a.b.c"}
    token, expires_at = names["kafka_token"]("")
    assert (token, expires_at) == ("a.b.c", names["auth"].status().expires_at)
    assert capsys.readouterr().out == "1 tokens for 0.00225 USD; 0 calls reused one\n"


def test_its_test_passes(names: dict[str, Any]) -> None:
    names["test_orders_are_listed"]()


@pytest.mark.usefixtures("answers")
def test_its_stores_share(names: dict[str, Any]) -> None:
    names["workers_of_one_machine"].token_sync()

    assert names["workers_of_one_machine"].status().bought == 1
    assert isinstance(names["many_machines"], ClientCredentials)


@pytest.mark.usefixtures("answers")
def test_its_secrets_come_from_secrets_manager(names: dict[str, Any]) -> None:
    assert names["secrets"]() == ["new", "old"]
    assert httpx.get("https://api.example.com/orders", auth=names["auth"]).json() == ["tea"]


def test_its_sums_are_right() -> None:
    """Hours of a month, over three quarters of a life, times the price."""
    table = GUIDE.partition("<!-- sums -->\n")[2].partition("<!-- end of sums -->")[0].splitlines()
    lifetimes = [5 / 60, 1, 6, 24]
    for row in table[2:]:
        processes, *sums = [float(cell.replace(",", "")) for cell in row.strip("| ").split(" | ")]
        assert sums == [pytest.approx(processes * 720 / (0.75 * hours) * PRICE) for hours in lifetimes]

    assert len(table) == 6
    assert pytest.approx(51.84) == 24 * 720 / 0.75 * PRICE


def test_its_table_has_every_option() -> None:
    table = GUIDE.partition("| `ClientCredentials(token_url, ...)` | default | |\n")[2].partition("\n\n")[0]
    described = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)

    assert described == list(inspect.signature(ClientCredentials).parameters)[1:]
