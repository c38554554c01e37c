"""What is promised of the calling half as a package."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cognito_guard
from cognito_guard import client

ROOT = Path(cognito_guard.__file__).parent
MODULES = sorted((ROOT / "client").glob("*.py"))


def imports_of(path: Path) -> set[str]:
    """The modules of this package that a file imports."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    return {node.module for node in nodes if node.module and node.module.startswith("cognito_guard")}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_the_calling_half_imports_only_errors_and_configuration(path: Path) -> None:
    outside = {name for name in imports_of(path) if not name.startswith("cognito_guard.client.")}

    assert outside <= {"cognito_guard._environment", "cognito_guard._urls", "cognito_guard.errors"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_module_is_one_noun_of_a_readable_size(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_nothing_else_imports_the_calling_half() -> None:
    others = [path for path in ROOT.rglob("*.py") if path.parent != ROOT / "client"]

    assert others
    assert not [path for path in others if any("cognito_guard.client" in name for name in imports_of(path))]


def test_it_lists_its_public_names() -> None:
    assert sorted(client.__all__) == client.__all__
    assert all(hasattr(client, name) for name in client.__all__)


@pytest.mark.slow
def test_importing_it_imports_no_store_client_and_no_server() -> None:
    unwanted = {"redis", "uvicorn", "fastapi", "cognito_guard.local", "cognito_guard.testing"}
    script = f"import sys, cognito_guard.client; print(sorted({unwanted} & sys.modules.keys()))"

    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert output.stdout.strip() == "[]"


def test_neither_suite_sleeps() -> None:
    """A test that sleeps is slow on a good day and wrong on a bad one."""
    sleepers = [
        path.name
        for path in Path(__file__).parents[1].rglob("test_*.py")
        if re.search(r"time\.sleep\((?!0\))", path.read_text())  # of no time, it lets other threads run
    ]

    assert sleepers == []
