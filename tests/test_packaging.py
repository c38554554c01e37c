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

# Lowest first: a file or folder may import what stands on a line above its own, and a folder's files each other.
LEVELS = [
    {"errors", "_telemetry"},
    {"_fastapi", "_grammar", "_regions", "_urls"},
    {"_pool", "_principal"},
    {"events"},
    {"_report"},
    {"_keys"},
    {"_tokens"},
    {"_requests"},
    {"_routes"},
    {"audit"},
    {"_installation"},
    {"_guard"},
    {"_cli"},
    {"__main__"},
]
LEVEL = {name: number for number, names in enumerate(LEVELS) for name in names}


def files_of(name: str) -> list[Path]:
    """The files of a module or folder of the package."""
    return sorted((PACKAGE / name).glob("*.py")) or [PACKAGE / f"{name}.py"]


def imports_of(path: Path) -> set[str]:
    """The modules of ours that a file imports, by their first name below the package."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cognito_guard":
            _, _, rest = (node.module or "").partition(".")
            found |= {rest.split(".")[0]} if rest else {alias.name for alias in node.names}
    return found


@pytest.mark.parametrize("name", sorted(LEVEL))
def test_folders_import_downwards_only(name: str) -> None:
    imported = {module for path in files_of(name) for module in imports_of(path)} - {name}

    assert {module for module in imported if LEVEL[module] >= LEVEL[name]} == set()


def test_every_file_and_folder_of_the_request_path_has_its_level() -> None:
    here = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}

    assert here - {"__init__", "local", "testing"} == set(LEVEL)


def test_the_stand_in_knows_configuration_and_errors_alone() -> None:
    for path in (PACKAGE / "local").glob("*.py"):
        # The console judges tokens as a guard does, through the front door, imported when it is asked.
        front_door = {"ANY_CLIENT", "CognitoGuard"} if path.stem == "_judge" else set()
        assert imports_of(path) <= {"_grammar", "_pool", "_urls", "errors", "local"} | front_door


@pytest.mark.parametrize("name", sorted(LEVEL.keys() - {"_cli"}))
def test_nothing_that_runs_in_production_can_mint_tokens(name: str) -> None:
    for path in files_of(name):
        text = path.read_text()

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
