"""How long `import cognito_guard` takes."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Final

import cognito_guard
from benchmarks.environment import ROOT, clean_environ
from benchmarks.progress import Progress
from benchmarks.row import Effort, Row, Section

_TIMED: Final = """
import sys, time
began = time.process_time()
{imports}
print(time.process_time() - began, *(name for name in {unwanted} if name in sys.modules))
"""
_UNWANTED: Final = ("httpx", "fastapi", "uvicorn", "boto3", "redis")
_ALONE: Final = "its third-party dependencies alone"
_OURS: Final = "import cognito_guard"


def measure(effort: Effort, progress: Progress) -> Section:
    """Return how long importing takes, in fresh processes, against importing the dependencies alone."""
    dependencies = _third_party_imports()
    programs = {_ALONE: "; ".join(f"import {name}" for name in dependencies), _OURS: "import cognito_guard"}
    samples: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(-1, effort.starts):
        for name, imports in programs.items():
            seconds, *unwanted = _run(imports)
            if unwanted and name == _OURS:
                raise AssertionError(f"import cognito_guard imports {unwanted}")
            if turn >= 0:  # the first time they are compiled
                samples[name].append(float(seconds))
        progress.show(max(0, turn + 1), effort.starts)
    alone = samples[_ALONE]
    rows = tuple(
        Row(
            what=name,
            value=median(samples[name]) * 1e3,
            unit="ms",
            ratio=median(ours / theirs for ours, theirs in zip(samples[name], alone, strict=True)),
            baseline=_ALONE,
            at_most=1.3 if name == _OURS else None,
        )
        for name in programs
    )
    return Section(
        name="import",
        title="Import",
        about=(
            f"Each is imported in {effort.starts} fresh processes, in turn, already compiled. The start of the "
            "interpreter does not count. The dependencies are the modules that `cognito_guard` itself imports: "
            f"{', '.join(dependencies)}. "
            f"It imports none of {', '.join(_UNWANTED)}."
        ),
        rows=rows,
    )


def _run(imports: str) -> list[str]:
    program = _TIMED.format(imports=imports, unwanted=_UNWANTED)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=clean_environ(), stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout.split()


def _third_party_imports() -> list[str]:
    """Return the modules of other packages that are imported by the modules which `import cognito_guard` loads."""
    folder = Path(cognito_guard.__file__).parent
    listed = "import cognito_guard, sys; print(*(name for name in sys.modules if name.startswith('cognito_guard')))"
    done = subprocess.run([sys.executable, "-c", listed], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = set()
    for module in done.stdout.split():
        path = folder.parent.joinpath(*module.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        # Top level only: what is imported inside of a function is imported when that is called.
        for statement in ast.parse(source.read_text()).body:
            if isinstance(statement, ast.Import):
                found |= {alias.name for alias in statement.names}
            elif isinstance(statement, ast.ImportFrom) and statement.module:
                found.add(statement.module)
    ours = sys.stdlib_module_names | {"cognito_guard"}
    return sorted(name for name in found if name.partition(".")[0] not in ours)
