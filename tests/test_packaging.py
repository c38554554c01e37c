"""What is promised of the package as a whole."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import cognito_guard

PACKAGE = Path(cognito_guard.__file__).parent

# Lowest first: a module may import what stands on a line above its own.
LEVELS = [
    {"errors", "_attempt", "_telemetry"},
    {"_pool", "_principal", "_jws", "_jwks"},
    {"_bearer", "_claims", "_fetch", "_verdicts", "events"},
    {"_reporter"},
    {"_keys", "_answers"},
    {"_verifier", "_visit"},
    {"_requirement"},
    {"_routes"},
    {"_middleware"},
    {"_census"},
    {"audit", "_openapi"},
    {"_guard", "_resource_servers"},
    {"_cli_app"},
    {"_cli_routes", "_cli_scopes"},
    {"_cli"},
    {"__main__"},
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def imports_of(path: Path) -> set[str]:
    """The modules of ours that a file imports, by their first name below the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cognito_guard":
            _, _, rest = (node.module or "").partition(".")
            found |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("name", sorted(LEVEL))
def test_modules_import_downwards_only(name: str) -> None:
    above = {imported for imported in imports_of(PACKAGE / f"{name}.py") if LEVEL[imported] >= LEVEL[name]}

    assert above == set()


def test_every_module_of_the_request_path_has_its_level() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == set(LEVEL)


def test_the_stand_in_knows_configuration_and_errors_alone() -> None:
    for path in (PACKAGE / "local").glob("*.py"):
        # The console judges tokens as a guard does, through the front door, imported when it is asked.
        front_door = {"ANY_CLIENT", "CognitoGuard"} if path.stem == "_judge" else set()
        assert imports_of(path) <= {"_pool", "errors", "local"} | front_door


@pytest.mark.parametrize("name", sorted(LEVEL.keys() - {"_cli"}))
def test_nothing_that_runs_in_production_can_mint_tokens(name: str) -> None:
    text = (PACKAGE / f"{name}.py").read_text()

    assert "cognito_guard.local" not in text
    assert "cognito_guard.testing" not in text


def test_the_front_door_lists_what_it_opens_to() -> None:
    assert sorted(cognito_guard.__all__) == cognito_guard.__all__
    assert all(hasattr(cognito_guard, name) for name in cognito_guard.__all__)


@pytest.mark.parametrize("name", ["audit", "errors", "events", "local", "testing"])
def test_public_modules_list_what_they_define(name: str) -> None:
    module = importlib.import_module(f"cognito_guard.{name}")
    public = {
        member
        for member, value in vars(module).items()
        if not member.startswith("_") and getattr(value, "__module__", "").startswith(f"cognito_guard.{name}")
    }

    assert public <= set(module.__all__)
    assert all(hasattr(module, listed) for listed in module.__all__)


def test_importing_the_package_imports_no_more_than_it_needs() -> None:
    unwanted = {"fastapi", "httpx", "httpx2", "uvicorn", "cognito_guard.local"}
    script = f"import sys, cognito_guard; print(sorted({unwanted} & sys.modules.keys()))"

    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert output.stdout.strip() == "[]"


def test_the_package_is_typed_and_versioned() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert importlib.metadata.version("cognito-guard")
