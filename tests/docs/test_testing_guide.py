"""`docs/testing.md`: its files are run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import example_app
from cognito_guard.local import LocalCognito, LocalPool, PoolKeys, serving
from cognito_guard.local._setup import read_setup
from cognito_guard.testing import HOSTILE_TOKENS

GUIDE = Path(example_app.__file__).parent.parent / "docs" / "testing.md"
BLOCKS = re.findall(r"^```(\w+)\n# ([\w./]+)\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
FILES = {name: text for _, name, text in BLOCKS}

Outcomes = dict[str, list[str]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]  # other processes of pytest are started


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of the guide."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def run(folder: Path, *args: str, **variables: str) -> str:
    """Return what a command of Python prints in *folder*, without pytest's plugins and variables of this machine."""
    # In a separate process: in this one, its imports would be removed while other tests use them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COGNITO_", "CONTRACT_"))}
    environment |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(folder)} | variables
    done = subprocess.run(
        [sys.executable, "-W", "error", *args], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def outcomes(folder: Path, *args: str, **variables: str) -> Outcomes:
    """Return how pytest says that each test came out, by file."""
    printed = run(folder, "-m", "pytest", "-rA", "-W", "error", "-p", "no:cacheprovider", *args, **variables)
    found: Outcomes = {}
    for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR|SKIPPED)(?: \[1\])? ([\w/]+\.py)", printed, re.MULTILINE):
        found.setdefault(name, []).append(outcome.lower())
    return found


@pytest.fixture(scope="module")
def found(project: Path) -> Outcomes:
    """How the tests of the guide came out, but for those that want a plugin or a configuration of their own."""
    others = {"test_orders_asyncio.py"}
    files = sorted(name for name in FILES if name.startswith("test_") and name not in others)
    return outcomes(project, "-p", "anyio.pytest_plugin", *files)


def test_the_guide_has_all_these_files() -> None:
    text = GUIDE.read_text()

    assert len(FILES) == len(BLOCKS) == text.count("```") / 2
    assert {name for language, name, _ in BLOCKS if language != "python"} == {
        "session/pytest.ini",
        "cognito.toml",
        "compose.yaml",
    }


def test_the_guide_has_these_recipes() -> None:
    recipes = GUIDE.read_text().partition("\n## Recipes\n")[2].partition("\n## ")[0]

    assert re.findall(r"^### (.*)$", recipes, re.MULTILINE) == [
        "Clients of the whole session",
        "pytest-xdist",
        "pytest-asyncio",
        "freezegun",
        "time-machine",
        "unittest",
        "Two guards",
        "dependency_overrides",
    ]


@pytest.mark.parametrize(
    ("name", "passed"),
    [
        ("test_orders.py", 3),
        ("test_orders_further.py", 5 + len(HOSTILE_TOKENS)),
        ("test_orders_over_http.py", 1),
        ("test_orders_routes.py", 1 + 2),  # one of them with asyncio and with trio
        ("test_orders_freezegun.py", 2),
        ("test_orders_time_machine.py", 1),
        ("test_orders_unittest.py", 3),
        ("test_two_guards.py", 1),
        ("test_orders_overrides.py", 1),
    ],
)
def test_its_tests_pass(found: Outcomes, name: str, passed: int) -> None:
    assert found[name] == ["passed"] * passed


def test_its_session_wide_client_passes(project: Path) -> None:
    assert outcomes(project / "session", "--strict-config", PYTHONPATH=str(project)) == {
        "test_session.py": ["passed", "passed"]
    }


def test_its_tests_pass_in_several_processes(project: Path) -> None:
    found = outcomes(project, "-p", "xdist.plugin", "-n", "2", "test_orders.py", "test_two_guards.py")

    assert found == {"test_orders.py": ["passed"] * 3, "test_two_guards.py": ["passed"]}


def test_its_tests_pass_under_pytest_asyncio(project: Path) -> None:
    plugin = ("-p", "pytest_asyncio.plugin", "-o", "asyncio_default_fixture_loop_scope=function")

    assert outcomes(project, *plugin, "test_orders_asyncio.py") == {"test_orders_asyncio.py": ["passed"]}


def test_its_tests_pass_under_unittest_without_pytest(project: Path) -> None:
    script = "import sys, unittest; sys.modules['pytest'] = None; unittest.main('test_orders_unittest')"

    printed = run(project, "-c", script)

    assert "Ran 3 tests" in printed
    assert printed.rstrip().endswith("OK")


def test_its_contract_is_skipped_where_there_is_no_pool(found: Outcomes) -> None:
    assert found["test_contract.py"] == ["skipped"]


def test_its_setup_for_compose_has_the_pool_and_the_client_that_the_api_accepts(project: Path) -> None:
    (pool,) = (each.make() for each in read_setup(project / "cognito.toml").pools)
    environment = dict(re.findall(r"(COGNITO_\w+): (\S+)", FILES["compose.yaml"]))

    assert environment["COGNITO_USER_POOL_ID"] == pool.pool_id
    assert environment["COGNITO_CLIENT_IDS"] == ",".join(client.client_id for client in pool.clients)
    assert environment["COGNITO_JWKS_URL"] == f"http://cognito:9229/{pool.pool_id}/.well-known/jwks.json"


def test_fewer_than_ten_lines_test_200_401_and_403() -> None:
    text = FILES["test_orders.py"]

    assert len([line for line in text.splitlines() if line]) < 10
    assert all(status in text for status in ("200", "401", "403"))


def test_its_contract_holds_for_a_pool_over_http(project: Path, pool_keys: PoolKeys) -> None:
    pool = LocalPool("eu-west-1_AbCdEf123", keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    client = pool.add_client(scopes=["orders/order.read"])
    with serving(LocalCognito(pool)) as url:
        variables = {
            "COGNITO_USER_POOL_ID": pool.pool_id,
            "COGNITO_CLIENT_IDS": client.client_id,
            "COGNITO_JWKS_URL": f"{url}/{pool.pool_id}/.well-known/jwks.json",
            "COGNITO_TOKEN_URL": f"{url}/oauth2/token",
            "CONTRACT_CLIENT_ID": client.client_id,
            "CONTRACT_CLIENT_SECRET": client.secret,
        }
        assert outcomes(project, "test_contract.py", **variables) == {"test_contract.py": ["passed"]}
