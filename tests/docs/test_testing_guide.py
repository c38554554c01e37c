"""`docs/testing.md`: its files are run as a reader would run them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import example_app
from cognito_guard.local import LocalCognito, LocalPool, PoolKeys, serving

pytestmark = pytest.mark.slow

pytest_plugins = ["pytester"]

GUIDE = Path(example_app.__file__).parent.parent / "docs" / "testing.md"
FILES = dict(re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture(autouse=True)
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the files of the guide, and no variables of this machine."""
    monkeypatch.setenv("COGNITO_USER_POOL_ID", "eu-central-1_AbCdEf123")
    monkeypatch.setenv("COGNITO_CLIENT_IDS", "7lhlkkfbfb4q5kpp90urffao,6example0client00000000000")
    monkeypatch.syspath_prepend(pytester.path)
    for name, text in FILES.items():
        pytester.path.joinpath(f"{name}.py").write_text(text)


def outcomes(pytester: pytest.Pytester, *names: str) -> dict[str, int]:
    files = [f"{name}.py" for name in names]
    # In a process of its own: within this one, what it imports would be dropped again under the feet of others.
    return pytester.runpytest_subprocess("-W", "error", "-p", "no:cacheprovider", *files).parseoutcomes()


def test_the_guide_has_all_these_files() -> None:
    blocks = GUIDE.read_text().count("```python")

    assert len(FILES) == blocks == 7


def test_its_tests_pass(pytester: pytest.Pytester) -> None:
    assert outcomes(pytester, "test_orders") == {"passed": 3}


def test_its_further_tests_pass(pytester: pytest.Pytester) -> None:
    found = outcomes(pytester, "test_orders_further")

    assert set(found) == {"passed"}


def test_its_tests_of_all_routes_pass(pytester: pytest.Pytester) -> None:
    found = outcomes(pytester, "test_orders_routes")

    assert set(found) == {"passed"}


def test_fewer_than_ten_lines_test_200_401_and_403() -> None:
    text = FILES["test_orders"]

    assert len([line for line in text.splitlines() if line]) < 10
    assert all(status in text for status in ("200", "401", "403"))


def test_its_test_over_http_passes(pytester: pytest.Pytester) -> None:
    assert outcomes(pytester, "test_orders_over_http") == {"passed": 1}


def test_its_contract_is_skipped_where_there_is_no_pool(pytester: pytest.Pytester) -> None:
    assert outcomes(pytester, "test_contract") == {"skipped": 1}


def test_its_contract_holds_for_a_pool_over_http(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, pool_keys: PoolKeys
) -> None:
    pool = LocalPool("eu-west-1_AbCdEf123", keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    client = pool.add_client(scopes=["orders/order.read"])
    with serving(LocalCognito(pool)) as url:
        for name, value in {
            "COGNITO_USER_POOL_ID": pool.pool_id,
            "COGNITO_CLIENT_IDS": client.client_id,
            "COGNITO_JWKS_URL": f"{url}/{pool.pool_id}/.well-known/jwks.json",
            "COGNITO_TOKEN_URL": f"{url}/oauth2/token",
            "CONTRACT_CLIENT_ID": client.client_id,
            "CONTRACT_CLIENT_SECRET": client.secret,
        }.items():
            monkeypatch.setenv(name, value)
        assert outcomes(pytester, "test_contract") == {"passed": 1}
