"""What the package as a whole promises."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

import cognito_guard

PACKAGE = Path(cognito_guard.__file__).parent

# The picture of the page, from the lowest level up: a folder may import what stands below it.
PAGE = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text()
LEVEL = {
    name: int(level)
    for level, names in re.findall(r"^ ?(\d+)  ((?:\w+ )+) ", PAGE, re.MULTILINE)
    for name in names.split()
}
[BESIDE] = [set(names.split()) for names in re.findall(r"^ -  ((?:\w+ )+) ", PAGE, re.MULTILINE)]


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


def test_the_page_shows_every_file_and_folder() -> None:
    here = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}

    assert here - {"__init__"} == set(LEVEL) | BESIDE


def test_the_stand_in_imports_only_configuration_and_errors() -> None:
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
        assert not imports_of(path) & BESIDE


# Imported only where somebody else has loaded or installed them.
IF_THERE = {"fastapi", "httpx2", "opentelemetry", "pydantic_core", "redis"}
# What Starlette's TestClient asks for.
FOR_OTHERS = {"httpx2"}
MODULES = {"pyjwt": "jwt"}


def declared(extra: str | None) -> set[str]:
    """The modules that the dependencies of the package, or of one extra of it, are imported by."""
    found = set()
    for line in importlib.metadata.requires("cognito-guard") or ():
        requirement, _, marker = line.partition(";")
        if marker.strip() == ("" if extra is None else f"extra == '{extra}'"):
            name = re.split(r"\W", requirement)[0]
            found.add(MODULES.get(name, name))
    return found


def imported(paths: Iterable[Path]) -> set[str]:
    """The modules of others that *paths* import, wherever in the file they do it."""
    found = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - {"cognito_guard"}


def test_every_dependency_is_imported_where_it_is_declared() -> None:
    beside = {name: set((PACKAGE / name).rglob("*.py")) for name in ("local", "testing")}
    road = set(PACKAGE.rglob("*.py")).difference(*beside.values())

    assert imported(road) - IF_THERE == declared(None)
    for name, paths in beside.items():
        assert imported(paths) - declared(None) == declared(name) - FOR_OTHERS


def test_links_shown_on_pypi_lead_to_existing_pages() -> None:
    links = re.findall(r"\]\(([^)]*)\)", importlib.metadata.metadata("cognito-guard")["Description"])

    assert links
    assert [link for link in links if not link.startswith("https://")] == []


def test_the_package_lists_its_public_names() -> None:
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


@pytest.mark.slow
def test_importing_the_package_imports_no_more_than_it_needs() -> None:
    unwanted = {"fastapi", "httpx", "httpx2", "uvicorn", "cognito_guard.local"}
    script = f"import sys, cognito_guard; print(sorted({unwanted} & sys.modules.keys()))"

    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert output.stdout.strip() == "[]"


def test_the_package_is_typed_and_versioned() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert importlib.metadata.version("cognito-guard")
