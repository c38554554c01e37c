"""A separate Python environment for packages that do not belong in `dev`: other verifiers, faster servers."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.progress import Progress

ROOT: Final = Path(__file__).resolve().parent.parent

_PIP: Final = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")


class Environment(NamedTuple):
    """
    An environment.

    Attributes:
        python: Its interpreter.
        missing: What could not be installed, and why.

    """

    python: Path
    missing: dict[str, str]


def cache() -> Path:
    """Return the folder in which benchmarks keep files between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    version = ".".join(map(str, sys.version_info[:2]))
    return Path(base) / "cognito-guard-benchmarks" / f"python{version}"


def environment(packages: tuple[str, ...], progress: Progress) -> Environment:
    """
    Return an environment with this package and each of *packages*, as far as they can be installed.

    It is made at its first use and kept. Delete its folder to get newer versions.
    """
    folder = cache() / "environment"
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    missing = {}
    wanted = (f"--editable={ROOT}[fastapi,local]", *packages)
    for number, package in enumerate(wanted):
        progress.show(number, len(wanted), f"installing {package}")
        done = subprocess.run([python, *_PIP, package], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            missing[package] = (errors or ["ERROR: pip failed"])[-1].removeprefix("ERROR: ")
    return Environment(python, missing)


def clean_environ() -> dict[str, str]:
    """Return the environment variables for a child process that runs Python as in production: compiled once."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPYCACHEPREFIX": str(cache() / "bytecode")}
