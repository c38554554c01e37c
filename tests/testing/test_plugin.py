"""`cognito_guard.testing` as a plugin: how it is named, how long its fixtures live, and the hint of a failed test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import ClassVar

import pytest

from cognito_guard import testing

pytest_plugins = ["pytester"]

SHOP = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from cognito_guard import CognitoGuard, UserPool

async def orders(request):
    return PlainTextResponse("[]")

def make_app(pool_id):
    guard = CognitoGuard(UserPool(pool_id, client_ids={"7lhlkkfbfb4q5kpp90urffao"}))
    app = Starlette(routes=[Route("/orders", guard.require("orders/order.read")(orders))])
    guard.install(app)
    return guard, app

guard, app = make_app("eu-central-1_AbCdEf123")
"""

CONFTEST = """
import pytest, shop
from starlette.testclient import TestClient

pytest_plugins = ["cognito_guard.testing"]

@pytest.fixture(scope="{scope}")
def guard():
    return shop.guard

@pytest.fixture(scope="{scope}")
def client():
    return TestClient(shop.app)

@pytest.fixture(scope="{scope}")
def reader(auth_headers):
    return TestClient(shop.app, headers=auth_headers("orders/order.read"))
"""

READS = """
def test_reads(client, auth_headers):
    assert client.get("/orders", headers=auth_headers("orders/order.read")).status_code == 200
"""


class KeepsImports:
    """Remembers what an inner run imported. pytester forgets it, while libraries hold on to the classes in there."""

    modules: ClassVar[dict[str, ModuleType]] = {}

    def pytest_unconfigure(self) -> None:
        self.modules.update(sys.modules)


Run = Callable[..., pytest.RunResult]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs pytest, without the plugins of others, in a folder with the files given and `shop.py`."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(*args: str, files: dict[str, str]) -> pytest.RunResult:
        for name, text in {"shop.py": SHOP, **files}.items():
            path = pytester.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        pytester.syspathinsert()
        options = ("-W", "error", "-p", "no:cacheprovider", *args)
        result = pytester.runpytest_inprocess(*options, plugins=[KeepsImports()])
        for name, module in KeepsImports.modules.items():
            if not str(getattr(module, "__file__", "")).startswith(str(pytester.path)):
                sys.modules.setdefault(name, module)
        return result

    return run


# Names


def test_the_listed_names_are_exactly_those_that_exist() -> None:
    assert all(getattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'KeyChain'"):
        testing.KeyChain  # noqa: B018


@pytest.mark.slow
def test_the_plugin_imports_nothing_heavy_and_makes_no_keys() -> None:
    unwanted = ["cognito_guard.local", "fastapi", "httpx", "httpx2", "uvicorn", "starlette.testclient"]
    script = f"""
import sys, cognito_guard, pytest
import cognito_guard.testing, cognito_guard.testing._fixtures
print([name for name in {unwanted} if name in sys.modules])
"""
    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert printed.stdout.strip() == "[]"


# How the plugin is named


GUARD_ALONE = """
import pytest, shop
from starlette.testclient import TestClient

@pytest.fixture
def guard():
    return shop.guard

@pytest.fixture
def client():
    return TestClient(shop.app)
"""
STAR_IMPORT = "from cognito_guard.testing import *\n" + GUARD_ALONE


def test_a_suite_without_a_guard_gets_one_to_build_an_app_with(run: Run) -> None:
    result = run(
        files={
            "conftest.py": 'pytest_plugins = ["cognito_guard.testing"]',
            "test_it.py": """
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

@pytest.fixture
def client(guard):
    app = Starlette()
    guard.install(app)
    return TestClient(app)

def test_fixtures(client, auth_headers, clock, as_, local_cognito, hostile_tokens, key_drills):
    headers = auth_headers()
    assert client.get("/", headers=headers).status_code == 404
    clock.advance(3600)
    assert client.get("/", headers=headers).status_code == 401
""",
        }
    )

    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("option", [["-p", "cognito_guard.testing"], ["-pcognito_guard.testing"]])
def test_the_plugin_may_be_named_on_the_command_line(run: Run, option: list[str]) -> None:
    run(*option, files={"conftest.py": GUARD_ALONE, "test_it.py": READS}).assert_outcomes(passed=1)


def test_the_plugin_may_be_named_in_the_configuration(run: Run) -> None:
    files = {
        "pytest.ini": "[pytest]\naddopts = -p cognito_guard.testing\ncognito_guard_fixture_scope = module",
        "tests/api/conftest.py": GUARD_ALONE.replace("@pytest.fixture", '@pytest.fixture(scope="module")'),
        "tests/api/test_it.py": READS,
    }

    run("--strict-config", files=files).assert_outcomes(passed=1)


def test_a_nested_conftest_may_import_the_fixtures(run: Run) -> None:
    files = {
        "conftest.py": "",
        "tests/other/test_other.py": "def test_there_is_none(request):\n    assert 'clock' not in request.fixturenames",
        "tests/api/conftest.py": STAR_IMPORT,
        "tests/api/test_it.py": READS,
    }

    run(files=files).assert_outcomes(passed=2)
    run("tests/api", files=files).assert_outcomes(passed=1)


def test_a_nested_conftest_may_import_the_fixtures_of_a_named_plugin(run: Run) -> None:
    files = {
        "conftest.py": 'pytest_plugins = ["cognito_guard.testing"]',
        "tests/api/conftest.py": STAR_IMPORT,
        "tests/api/test_it.py": READS,
    }

    run(files=files).assert_outcomes(passed=1)


def test_folders_of_tests_may_have_guards_of_their_own(run: Run) -> None:
    conftest = GUARD_ALONE + "\nguard_and_app = shop.make_app('{pool_id}')\n"
    conftest = conftest.replace("shop.guard", "guard_and_app[0]").replace("shop.app", "guard_and_app[1]")
    test = READS + "\n\ndef test_issuer(local_cognito):\n    assert local_cognito.pool.pool_id == '{pool_id}'"
    files = {"conftest.py": 'pytest_plugins = ["cognito_guard.testing"]'}
    for name, pool_id in {"one": "eu-central-1_GhIjKl456", "two": "eu-central-1_MnOpQr789"}.items():
        files |= {
            f"{name}/conftest.py": conftest.format(pool_id=pool_id),
            f"{name}/test_{name}.py": test.format(pool_id=pool_id),
        }

    run(files=files).assert_outcomes(passed=4)


# How long fixtures live


TWO_TESTS = """
stand_ins = set()

def test_one(reader, cognito_stand_in):
    assert reader.get("/orders").status_code == 200
    stand_ins.add(cognito_stand_in)

def test_two(reader, cognito_stand_in):
    assert reader.get("/orders").status_code == 200
    stand_ins.add(cognito_stand_in)

def test_stand_ins():
    assert len(stand_ins) == {expected}
"""


@pytest.mark.parametrize(("scope", "expected"), [("function", 2), ("module", 1), ("session", 1)])
def test_fixtures_live_as_long_as_the_option_says(run: Run, scope: str, expected: int) -> None:
    result = run(
        "--strict-config",
        files={
            "pytest.ini": f"[pytest]\ncognito_guard_fixture_scope = {scope}",
            "conftest.py": CONFTEST.format(scope=scope),
            "test_it.py": TWO_TESTS.format(expected=expected),
        },
    )

    result.assert_outcomes(passed=3)


@pytest.mark.parametrize(("scope", "expected"), [("module", 2), ("session", 1)])
def test_modules_share_a_stand_in_only_at_session_scope(run: Run, scope: str, expected: int) -> None:
    test = """
import shop
stand_ins = vars(shop).setdefault("stand_ins", set())

def test_it(reader, cognito_stand_in):
    assert reader.get("/orders").status_code == 200
    stand_ins.add(cognito_stand_in)
"""
    result = run(
        files={
            "pytest.ini": f"[pytest]\ncognito_guard_fixture_scope = {scope}",
            "conftest.py": CONFTEST.format(scope=scope),
            "test_a.py": test,
            "test_b.py": f"{test}\ndef test_stand_ins():\n    assert len(stand_ins) == {expected}",
        }
    )

    result.assert_outcomes(passed=3)


def test_without_the_option_fixtures_live_for_one_test(run: Run) -> None:
    result = run(files={"conftest.py": CONFTEST.format(scope="function"), "test_it.py": TWO_TESTS.format(expected=2)})

    result.assert_outcomes(passed=3)


def test_another_scope_is_refused_before_any_test_runs(run: Run) -> None:
    result = run(
        files={
            "pytest.ini": "[pytest]\ncognito_guard_fixture_scope = forever",
            "conftest.py": CONFTEST.format(scope="session"),
            "test_it.py": READS,
        }
    )

    assert result.ret is pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        "ERROR: cognito_guard_fixture_scope must be one of function, module, session; got 'forever'"
    )


def test_pytest_reports_a_guard_of_a_narrower_scope(run: Run) -> None:
    result = run(
        files={
            "pytest.ini": "[pytest]\ncognito_guard_fixture_scope = session",
            "conftest.py": CONFTEST.format(scope="session").replace("scope=", "scope='function' or ", 1),
            "test_it.py": READS,
        }
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("ScopeMismatch*function scoped fixture guard*session scoped*")


# What is put back between tests


DISTURB = """
from cognito_guard.local import Fault

def test_disturb(reader, clock, local_cognito, key_drills):
    clock.advance(50_000)
    key_drills.withdraw()
    local_cognito.faults.jwks = Fault(status=503)
    local_cognito.faults.token = Fault(status=500)
    assert reader.get("/orders").status_code == 401

def test_undisturbed(reader, clock, local_cognito, auth_headers):
    assert local_cognito.faults.jwks is local_cognito.faults.token is None
    assert reader.get("/orders").status_code == 200
    assert reader.get("/orders", headers=auth_headers("orders/order.read")).status_code == 200
    clock.advance(3599)
    assert reader.get("/orders").status_code == 200
    clock.advance(1)
    assert reader.get("/orders").status_code == 401
"""


@pytest.mark.parametrize("scope", ["function", "module", "session"])
def test_each_test_starts_with_the_clock_and_without_the_faults_of_others(run: Run, scope: str) -> None:
    result = run(
        files={
            "pytest.ini": f"[pytest]\ncognito_guard_fixture_scope = {scope}",
            "conftest.py": CONFTEST.format(scope=scope),
            "test_it.py": DISTURB,
            "test_last.py": "def test_after_all_others():\n    pass",
        }
    )

    result.assert_outcomes(passed=3)


def test_a_stand_in_of_the_session_made_by_hand_is_shared_with_fixtures_of_one_test(run: Run) -> None:
    result = run(
        files={
            "conftest.py": CONFTEST.format(scope="function")
            + """
from cognito_guard.testing import stand_in

@pytest.fixture(scope="session")
def cognito():
    with stand_in(shop.guard) as cognito:
        yield cognito

@pytest.fixture(scope="session")
def reader(cognito):
    return TestClient(shop.app, headers=cognito.headers("orders/order.read"))
""",
            "test_it.py": DISTURB,
        }
    )

    result.assert_outcomes(passed=2)


# What a failed test is told


FAILS = """
import pytest, shop
from starlette.testclient import TestClient

def test_reads(auth_headers):
    headers = auth_headers("orders/order.read")
    assert TestClient(shop.app).get("/orders", headers=headers).status_code == {status}
"""


def test_a_forgotten_guard_explains_itself(run: Run) -> None:
    result = run(
        files={
            "conftest.py": 'pytest_plugins = ["cognito_guard.testing"]',
            "test_it.py": FAILS.format(status=200),
        }
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*cognito_guard*", "No token of this test reached the guard*", "*overrides the*"])
    result.stdout.fnmatch_lines(["    def guard():"])


def test_a_fixture_that_fails_without_the_guard_gets_the_hint(run: Run) -> None:
    result = run(
        files={
            "conftest.py": 'pytest_plugins = ["cognito_guard.testing"]',
            "test_it.py": FAILS.format(status=200).replace("def test_reads", "@pytest.fixture\ndef reads")
            + "\n\ndef test_it(reads):\n    pass",
        }
    )

    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["No token of this test reached the guard*"])


def test_a_passing_test_gets_no_hint(run: Run) -> None:
    result = run(
        "-rA",
        files={
            "conftest.py": 'pytest_plugins = ["cognito_guard.testing"]',
            "test_it.py": FAILS.format(status=401),
        },
    )

    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*No token of this test*")


def test_a_guard_of_another_app_is_named(run: Run) -> None:
    result = run(
        files={
            "conftest.py": CONFTEST.format(scope="function").replace(
                "return shop.guard", "return shop.make_app('eu-central-1_GhIjKl456')[0]"
            ),
            "test_it.py": FAILS.format(status=200),
        }
    )

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["No token of this test*(user pool eu-central-1_GhIjKl456).", "Is it the guard of*"])


@pytest.mark.parametrize("token", ["good", "expired", "without the scope"])
def test_a_failure_after_the_guard_saw_a_token_gets_no_hint(run: Run, token: str) -> None:
    call = {"good": '"orders/order.read"', "expired": '"orders/order.read", lifetime=-1', "without the scope": ""}
    result = run(
        files={
            "conftest.py": CONFTEST.format(scope="function"),
            "test_it.py": f"""
def test_it(client, auth_headers):
    assert client.get("/orders", headers=auth_headers({call[token]})).status_code == 204
""",
        }
    )

    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*No token of this test*")


def test_a_failure_without_tokens_gets_no_hint(run: Run) -> None:
    result = run(
        files={
            "conftest.py": CONFTEST.format(scope="function"),
            "test_it.py": "def test_it(client, clock):\n    assert client.get('/orders').status_code == 204",
        }
    )

    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*No token of this test*")


def test_a_client_of_the_whole_session_with_the_wrong_guard_gets_the_hint_in_every_test(run: Run) -> None:
    test = "def test_it(reader):\n    assert reader.get('/orders').status_code == 200"
    result = run(
        files={
            "pytest.ini": "[pytest]\ncognito_guard_fixture_scope = session",
            "conftest.py": CONFTEST.format(scope="session").replace("def guard", "def guard_of_some_app"),
            "test_a.py": test,
            "test_b.py": test,
        }
    )

    result.assert_outcomes(failed=2)
    assert result.stdout.str().count("No token of this test") == 2


def test_a_second_guard_of_a_session_gets_the_hint(run: Run) -> None:
    own_guard = """
import pytest, shop
from starlette.testclient import TestClient

mine, app = shop.make_app("eu-central-1_GhIjKl456")

@pytest.fixture(scope="session")
def guard():
    return mine

def test_it(auth_headers):
    assert TestClient(app).get("/orders", headers=auth_headers("orders/order.read")).status_code == 200
"""
    result = run(
        files={
            "pytest.ini": "[pytest]\ncognito_guard_fixture_scope = session",
            "conftest.py": CONFTEST.format(scope="session"),
            "test_a.py": READS,
            "test_b.py": own_guard,
        }
    )

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines("No token of this test*(user pool eu-central-1_AbCdEf123).")
