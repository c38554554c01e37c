"""`docs/options.md`, `docs/deploying.md` and `docs/migrating.md`: each block of code does what the page says."""

from __future__ import annotations

import inspect
import pydoc
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml  # type: ignore[import-untyped]

import example_app
from cognito_guard import CognitoGuard, UserPool
from cognito_guard.errors import ConfigurationError
from cognito_guard.testing import KeyRing, stand_in

pytestmark = pytest.mark.anyio

DOCS = Path(example_app.__file__).parent.parent / "docs"
GUIDES = ("options.md", "deploying.md", "migrating.md")
TEXTS = {name: (DOCS / name).read_text() for name in GUIDES}
BLOCKS: dict[str, str] = dict(
    block
    for text in TEXTS.values()
    for block in re.findall(r"^```python\n# (\w+)\.py\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
)
# What is migrated from, and not installed here.
OF_OTHERS = {"fastapi_cognito_before", "fastapi_cloudauth_before", "powertools_before"}

Call = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture(scope="module")
def keys() -> KeyRing:
    return KeyRing()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Runs a block as a module of its own, so that annotations in it are found."""
    monkeypatch.setenv("COGNITO_USER_POOL_ID", "eu-central-1_AbCdEf123")
    monkeypatch.setenv("COGNITO_CLIENT_IDS", "7lhlkkfbfb4q5kpp90urffao")

    def run(name: str) -> ModuleType:
        module = ModuleType(name)
        exec(compile(BLOCKS[name], f"{name}.py", "exec", dont_inherit=True), vars(module))  # noqa: S102
        return module

    return run


def test_no_block_is_left_out() -> None:
    assert sum(text.count("```python") for text in TEXTS.values()) == len(BLOCKS)
    assert set(BLOCKS) == {
        *("fastapi_app", "starlette_app", "probes", "pyjwkclient_before", "pyjwkclient_after", "fastapi_cognito_after"),
        *("fastapi_cloudauth_after", "powertools_after", "api_gateway_after"),
        *OF_OTHERS,
    }


@pytest.mark.parametrize("name", sorted(OF_OTHERS))
def test_code_of_packages_that_are_not_here_is_python(name: str) -> None:
    assert compile(BLOCKS[name], f"{name}.py", "exec", dont_inherit=True)


@pytest.mark.parametrize("name", ["fastapi_app", "starlette_app"])
async def test_each_framework_is_guarded(
    run: Callable[[str], ModuleType], keys: KeyRing, call: Call, name: str
) -> None:
    page = run(name)

    with stand_in(page.guard, keys=keys) as cognito:
        assert (await call(page.app, "GET", "/health")).status_code == 200
        assert (await call(page.app, "GET", "/orders")).status_code == 401
        assert (await call(page.app, "GET", "/orders", cognito.token("order.write"))).status_code == 403
        assert (await call(page.app, "GET", "/orders", cognito.token("order.read"))).status_code == 200


async def test_a_requirement_may_be_a_dependency(run: Callable[[str], ModuleType], keys: KeyRing, call: Call) -> None:
    page = run("fastapi_app")

    with stand_in(page.guard, keys=keys) as cognito:
        assert (await call(page.app, "POST", "/orders", cognito.token("order.read"))).status_code == 403
        answer = await call(page.app, "POST", "/orders", cognito.token("order.write"))
        assert answer.json() == "7lhlkkfbfb4q5kpp90urffao"


@pytest.mark.slow
def test_the_routes_are_listed_as_shown(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(BLOCKS["fastapi_app"])
    command = [sys.executable, "-m", "cognito_guard", "routes", "main:app"]

    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    assert f"```text\n{listed.stdout}```" in TEXTS["options.md"]


@pytest.mark.parametrize(
    "name", ["pyjwkclient_after", "fastapi_cognito_after", "powertools_after", "api_gateway_after"]
)
async def test_after_a_migration_readers_get_in(
    mangum_loop: None, run: Callable[[str], ModuleType], keys: KeyRing, call: Call, name: str
) -> None:
    page = run(name)

    with stand_in(page.guard, keys=keys) as cognito:
        assert (await call(page.app, "GET", "/orders")).status_code == 401
        assert (await call(page.app, "GET", "/orders", cognito.token("order.write"))).status_code == 403
        assert (await call(page.app, "GET", "/orders", cognito.token("order.read"))).status_code == 200
        assert (await call(page.app, "GET", "/orders", cognito.token("billing/read"))).status_code == 401
        assert (await call(page.app, "GET", "/orders", cognito.hostile["id_token"].token)).status_code == 401


async def test_after_a_migration_groups_are_asked_for(
    run: Callable[[str], ModuleType], keys: KeyRing, call: Call
) -> None:
    page = run("fastapi_cloudauth_after")

    with stand_in(page.guard, keys=keys) as cognito:
        member = cognito.token(username="ada", groups=["readers"])
        assert (await call(page.app, "GET", "/orders", member)).status_code == 200
        assert (await call(page.app, "GET", "/orders", cognito.token(username="ada"))).status_code == 403


async def test_before_a_migration_a_route_asks_for_a_token(run: Callable[[str], ModuleType], call: Call) -> None:
    assert (await call(run("pyjwkclient_before").app, "GET", "/orders")).status_code == 401


async def test_a_probe_says_whether_tokens_can_be_verified(
    run: Callable[[str], ModuleType], keys: KeyRing, call: Call
) -> None:
    page = run("probes")

    with stand_in(page.guard, keys=keys) as cognito:
        with cognito.drills.outage(lasting=1):
            assert (await call(page.app, "GET", "/ready")).status_code == 503
            assert (await call(page.app, "GET", "/alive")).status_code == 204
        cognito.clock.advance(60)
        assert (await call(page.app, "GET", "/ready")).status_code == 204


def options_of(table: str) -> dict[str, str]:
    """The options in the table that begins with *table*, and the default that the page gives each."""
    rows = TEXTS["options.md"].partition(f"| `{table}...)` | default |")[2].partition("\n\n")[0].splitlines()[2:]
    found: dict[str, str] = {}
    for row in rows:
        names, default = row.split(" | ")[:2]
        found.update(dict.fromkeys(re.findall(r"`(\w+)`", names), default))
    return found


@pytest.mark.parametrize(
    ("table", "function"),
    [
        ("CognitoGuard(*pools, ", "cognito_guard.CognitoGuard"),
        ("UserPool(pool_id, ", "cognito_guard.UserPool"),
        ("KeyPolicy(", "cognito_guard.KeyPolicy"),
        ("guard.install(app, ", "cognito_guard.CognitoGuard.install"),
    ],
)
def test_the_tables_have_all_options_with_their_defaults(table: str, function: str) -> None:
    signature = inspect.signature(pydoc.locate(function))  # type: ignore[arg-type]
    keywords = {name: each for name, each in signature.parameters.items() if each.kind is each.KEYWORD_ONLY}
    shown = options_of(table)

    assert list(shown) == list(keywords)
    for name, default in shown.items():
        actual = keywords[name].default
        if isinstance(actual, bool):
            assert default == str(actual), name
        elif isinstance(actual, int | float):
            assert float(default.partition(" (")[0].replace(" ", "")) == actual, name


def test_each_variable_of_the_environment_is_named() -> None:
    read = set(re.findall(r"COGNITO_[A-Z_]+", UserPool.from_env.__doc__ or ""))

    assert read <= set(re.findall(r"`(COGNITO_[A-Z_]+)`", TEXTS["options.md"])) | {"COGNITO_ALLOW_INSECURE_HTTP"}


def test_the_yaml_can_be_read() -> None:
    for text in TEXTS.values():
        for block in re.findall(r"^```yaml\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            assert isinstance(yaml.safe_load(block), dict)


def test_the_probes_are_those_of_the_app(run: Callable[[str], ModuleType]) -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", TEXTS["deploying.md"], re.DOTALL | re.MULTILINE)
    probes: dict[str, Any] = yaml.safe_load(text)
    paths = {route.path for route in run("probes").app.routes if hasattr(route, "path")}

    assert {probe["httpGet"]["path"] for probe in probes.values()} <= paths


def test_a_scope_can_be_added_as_described(run: Callable[[str], ModuleType]) -> None:
    guard: CognitoGuard = run("fastapi_app").guard

    guard.describe_scopes({"order.cancel": "Cancel orders"})
    with pytest.raises(ConfigurationError):
        guard.require()
