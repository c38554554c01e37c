"""
`python -m tests.mutation [module or folder ...]`: which small changes to the package would no test notice.

First the fast part of the suite runs once, to learn which tests run which lines. Then the tests of a folder are
collected once, and each mutant of its modules is put in place in a forked process, where the tests that run its lines
are run until one fails. Those that survive are tried again in a process that imports the changed module, with more
tests. Killed mutants stand in `.mutation/results.jsonl`, and are not run again while the function or class that they
change stays the same. `explained.toml` says of the others why no test can tell them from the package itself.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from difflib import SequenceMatcher
from functools import lru_cache, partial
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from types import FunctionType
from typing import Any, Final, NamedTuple

import pytest
from coverage import CoverageData

from tests.mutation.applied import Served, living_functions, put_in_place, serve_in_processes
from tests.mutation.mutants import Mutant, mutants

ROOT: Final = Path(__file__).parents[2]
PACKAGE: Final = ROOT / "cognito_guard"
NEAR: Final = {
    "_keys": ("tests/keys",),
    "_tokens": ("tests/tokens", "tests/report", "tests/keys", "tests/test_guard.py"),
    "_refusals": ("tests/refusals", "tests/requests", "tests/report"),
    "_rules": ("tests/rules", "tests/requests", "tests/routes", "tests/test_audit.py", "tests/refusals"),
    "_requests": ("tests/requests", "tests/rules", "tests/refusals", "tests/report", "tests/routes"),
    "_routes": ("tests/test_audit.py", "tests/routes", "tests/requests", "tests/report"),
}
"""The tests that are about a folder, the closest first."""

TESTS: Final = sorted({each for near in NEAR.values() for each in near} | {"tests/test_guard.py", "tests/test_pool.py"})
DEFAULT: Final = (
    *("_keys", "_tokens", "_rules", "_requests", "_routes/census.py"),
    *("_refusals/response.py", "_refusals/challenge.py"),
)
EXPLAINED: Final = Path(__file__).with_name("explained.toml")
WORK: Final = ROOT / ".mutation"
MAP: Final = WORK / "tests.json"
RESULTS: Final = WORK / "results.jsonl"

LONGEST_TEST: Final = 20
"""Seconds after which a test has failed: a mutant may never end."""

LONGEST_IN_PLACE: Final = 4
LONGEST_IMPORTED: Final = 120
"""Seconds after which no more tests of a mutant are run, of the processor and of the clock: it has survived."""

PYTEST: Final = [
    *("-q", "-p", "no:randomly", "-p", "no:cacheprovider"),
    *("-m", "not slow", "--tb=native", f"--timeout={LONGEST_TEST}", "-W", "ignore:Module already"),
]
WARMING_UP: Final = 20
TOO_LONG: Final = "took too long"
FOR_EVER: Final = 24 * 60 * 60
MEMORY: Final = 6 * 1024**3
"""Bytes that the process of a mutant may use."""


class Trial(NamedTuple):
    """A mutant of the module at *path* within the package, and the tests that can notice it, in order."""

    path: str
    mutant: Mutant
    tests: list[str]

    @property
    def module(self) -> str:
        return f"{PACKAGE.name}.{self.path.removesuffix('.py').replace('/', '.')}"

    @property
    def near(self) -> tuple[str, ...]:
        """The tests that are about the module's folder."""
        return NEAR[self.path.partition("/")[0]]

    @property
    def can_be_put_in_place(self) -> bool:
        """Whether it changes what a function does, or a constant of the module."""
        function, _, change = self.mutant.name.partition(": ")
        return not change.startswith("@") and (bool(self.mutant.lines) or not function)

    def note(self, killer: str) -> bool:
        """Keep in the results which test failed, if any; return whether one did."""
        killer = "" if killer == TOO_LONG else killer
        line = {
            "path": self.path,
            "version": version(self.path, self.mutant.name),
            "mutant": self.mutant.name,
            "killer": killer,
        }
        with RESULTS.open("a") as results:
            results.write(json.dumps(line) + "\n")
        return bool(killer)


class Times:
    """Notes how long each test takes, in seconds, and which fail as it is."""

    def __init__(self) -> None:
        self.seconds = defaultdict[str, float](float)
        self.failed = set[str]()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failed.add(report.nodeid)


class Chosen:
    """
    Runs the tests called *names* alone, in that order, after those that are not in *known*: they are new.

    Args:
        names: The tests.
        known: How long each test takes, in seconds.

    Attributes:
        failed: The first test that fails, or nothing.

    """

    def __init__(self, names: Iterable[str], known: Mapping[str, float]) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._known = known
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = self.of(items)

    def of(self, items: Iterable[pytest.Item]) -> list[pytest.Item]:
        """Return those of *items* that are to run, each with a limit that a busy machine does not reach."""
        places = [(self._places.get(each.nodeid, 0 if each.nodeid in self._known else -1), each) for each in items]
        chosen = [each for place, each in sorted(places, key=lambda e: e[0]) if place or each.nodeid in self._places]
        for item in chosen:
            item.add_marker(pytest.mark.timeout(min(LONGEST_TEST, 5 + 10 * self._known.get(item.nodeid, 1.5))))
        return chosen

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


class InPlace:
    """Runs the tests of each of *trials*, in a process of its own, with the mutant in place."""

    def __init__(self, trials: list[Trial], known: Mapping[str, float]) -> None:
        self._trials = trials
        self._known = known

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        # Keys are slow to make. Those of the whole session are made by tests that are run here, before the forks.
        shared = [
            nodes[0]
            for nodes in zip(*(item.listchain() for item in session.items), strict=False)
            if len(set(nodes)) == 1
        ]
        for item in [each for each in session.items if "pool_keys" in getattr(each, "fixturenames", ())][:WARMING_UP]:
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=shared[-1])
        for each in self._trials:
            import_module(each.module)
        functions = living_functions(str(PACKAGE))
        # What noticed one change to a function notices others.
        noticed = defaultdict[str, Counter[str]](Counter)
        for trial in self._trials:
            best = noticed[trial.path + trial.mutant.name.partition(":")[0]]
            chosen = Chosen(dict.fromkeys([*(each for each, _ in best.most_common(5)), *trial.tests]), self._known)
            killer = in_a_child(partial(self._run, session, trial, chosen, functions), 3 * LONGEST_TEST)
            best[killer] += "::" in killer
            trial.note(killer)
        return True

    def _run(self, session: pytest.Session, trial: Trial, chosen: Chosen, functions: list[FunctionType]) -> str:
        put_in_place(trial.module, trial.mutant.code, functions)
        session.config.pluginmanager.register(chosen)
        items = chosen.of(session.items)
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if chosen.failed or time.process_time() > LONGEST_IN_PLACE:
                break
        return chosen.failed


def in_a_child(work: Callable[[], str], seconds: float) -> str:
    """Return what *work* returns in a forked process; a remark if that ends otherwise or takes more than *seconds*."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            os.setsid()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            output = os.open(WORK / f"output.{os.getppid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.write(writing, f"ended {work()}".encode())
        os._exit(0)
    os.close(writing)
    end = time.monotonic() + seconds
    while not (ended := os.waitpid(child, os.WNOHANG)[0]) and time.monotonic() < end:
        time.sleep(0.005)
    # And what it has started itself.
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if not ended:
        os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        said, _, result = pipe.read().decode().partition(" ")
    return result if said else "died" if ended else TOO_LONG


def imported(trial: Trial, known: Mapping[str, float]) -> str:
    """Return the test that fails when the mutant is imported, or nothing."""

    def run() -> str:
        sys.meta_path.insert(0, Served(trial.module, trial.mutant.code))
        serve_in_processes(trial.module, trial.mutant.code, WORK / "processes")
        chosen = Chosen(trial.tests, known)
        files = dict.fromkeys([*trial.near, *(test.partition("::")[0] for test in trial.tests)])
        status = pytest.main([*PYTEST, "-x", *files], plugins=[chosen])
        return "" if status in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED} else chosen.failed or "import"

    return in_a_child(run, LONGEST_IMPORTED)


def run_pytest(*arguments: str, plugin: object) -> str:
    """Return the status that pytest ends with."""
    return str(pytest.main([*PYTEST, *arguments], plugins=[plugin]))


def make_map() -> str:
    """Run the fast part of the suite; note which tests run which line and how long each takes. Return which fail."""
    times = Times()
    os.environ["COVERAGE_FILE"] = str(WORK / "coverage")
    options = ["-n2", f"--cov={PACKAGE.name}", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
    pytest.main([*PYTEST, *options, *TESTS], plugins=[times])
    data = CoverageData(os.environ["COVERAGE_FILE"])
    data.read()
    numbers = {test: number for number, test in enumerate(times.seconds) if test not in times.failed}
    lines = {
        path.relative_to(PACKAGE).as_posix(): {
            line: sorted({numbers[test] for each in contexts if (test := each.partition("|")[0]) in numbers})
            for line, contexts in data.contexts_by_lineno(str(path)).items()
        }
        for each in DEFAULT
        for path in modules(each)
    }
    known = {"seconds": times.seconds, "lines": lines, "texts": {path: (PACKAGE / path).read_text() for path in lines}}
    MAP.write_text(json.dumps(known))
    return " ".join(times.failed)


@lru_cache
def versions(path: str) -> dict[str, str]:
    """Return what tells one program from another, whatever it says to people, for each function and class at *path*."""
    tree = ast.parse((PACKAGE / path).read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            node.value = ""
    texts = defaultdict[str, str](str)
    for each in tree.body:
        if not isinstance(each, ast.Import | ast.ImportFrom):
            texts[getattr(each, "name", "")] += ast.dump(each)
    return {name: sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()}


def version(path: str, mutant: str) -> str | None:
    """Return the version of what the mutant of that name changes, or None if that is gone."""
    return versions(path).get(mutant.partition(":")[0].partition(".")[0])


def known_tests(paths: Iterable[str]) -> dict[str, Any]:
    """Return the map, made anew unless there is one; with the lines as they are now, where comments have moved them."""
    if not MAP.exists():
        print("left out, for they fail as it is:", in_a_child(make_map, FOR_EVER), flush=True)
    known: dict[str, Any] = json.loads(MAP.read_text())
    for path in paths:
        then, now = known["texts"][path].splitlines(), (PACKAGE / path).read_text().splitlines()
        by_line = known["lines"][path]
        known["lines"][path] = {
            str(at + 1 + more): by_line[str(before + 1 + more)]
            for before, at, length in SequenceMatcher(None, then, now, autojunk=False).get_matching_blocks()
            for more in range(length)
            if str(before + 1 + more) in by_line
        }
    return known


def tests_of(mutant: Mutant, path: str, known: dict[str, Any]) -> list[str]:
    """Return the tests that can notice *mutant*: one case of each first, those of its folder before others."""
    by_line: dict[str, list[int]] = known["lines"][path]
    numbers = {number for line in mutant.lines for number in by_line.get(str(line), ())}
    seconds = list(known["seconds"].items())
    tests = [seconds[number] for number in numbers or {number for each in by_line.values() for number in each}]
    near = NEAR[path.partition("/")[0]]

    cases = Counter[str]()
    places = []
    for test, _ in sorted(tests, key=lambda each: each[1]):
        cases[test.partition("[")[0]] += 1
        folder = next((at for at, each in enumerate(near) if test.startswith(each)), len(near))
        places.append((cases[test.partition("[")[0]], folder, test))
    return [test for _, _, test in sorted(places, key=lambda each: each[:2])]


def modules(name: str) -> list[Path]:
    """Return the module called *name*, or those in the folder."""
    return [PACKAGE / name] if name.endswith(".py") else sorted((PACKAGE / name).rglob("*.py"))


def import_what_tests_import() -> None:
    """Import other people's packages that the tests use, once for all mutants."""

    def collect() -> str:
        pytest.main([*PYTEST, "--collect-only", *TESTS])
        files = {name: str(getattr(module, "__file__", None)) for name, module in sys.modules.items()}
        return " ".join(
            name for name, file in files.items() if file.startswith(sys.prefix) or not file.startswith(str(ROOT))
        )

    for name in in_a_child(collect, FOR_EVER).split():
        with suppress(Exception):
            import_module(name)
    if PACKAGE.name in sys.modules:
        raise AssertionError(f"{PACKAGE.name} is imported already, so no mutant of it can be")


def killed() -> set[tuple[str, str]]:
    """Return the paths and mutants that tests have noticed, of modules that are the same now."""
    noted = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    return {
        (each["path"], each["mutant"])
        for each in noted
        if each["killer"] and each["version"] == version(each["path"], each["mutant"])
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", default=DEFAULT, help="modules or folders, as seen from cognito_guard/")
    parser.add_argument("--map", action="store_true", help="learn again which tests run which lines")
    parser.add_argument("--quick", action="store_true", help="do not try survivors again with more tests")
    chosen = parser.parse_args()
    os.chdir(ROOT)
    WORK.mkdir(exist_ok=True)
    RESULTS.touch()
    paths = [path.relative_to(PACKAGE).as_posix() for each in chosen.modules for path in modules(each)]
    if chosen.map:
        MAP.unlink(missing_ok=True)
    known = known_tests(paths)
    import_what_tests_import()
    explained = tomllib.loads(EXPLAINED.read_text())
    every = [
        Trial(path, mutant, tests_of(mutant, path, known))
        for path in paths
        for mutant in mutants((PACKAGE / path).read_text(), str(PACKAGE / path))
    ]
    before = killed()
    trials = [
        each
        for each in every
        if (each.path, each.mutant.name) not in before and each.mutant.name not in explained.get(each.path, {})
    ]
    for near in dict.fromkeys(each.near for each in trials):
        in_place = InPlace(
            [each for each in trials if each.near == near and each.can_be_put_in_place], known["seconds"]
        )
        in_a_child(partial(run_pytest, *near, plugin=in_place), FOR_EVER)
    before = killed()
    for trial in trials:
        if (trial.path, trial.mutant.name) not in before and (
            chosen.quick or not trial.note(imported(trial, known["seconds"]))
        ):
            print(f"{trial.path}  {trial.mutant.name}", flush=True)
    score(every, explained)


def score(every: list[Trial], explained: dict[str, dict[str, str]]) -> None:
    """Print what became of *every* mutant, for each module."""
    noticed = killed()
    counts = defaultdict[str, Counter[str]](Counter)
    for trial in every:
        is_explained = trial.mutant.name in explained.get(trial.path, {})
        outcome = (
            "explained" if is_explained else "killed" if (trial.path, trial.mutant.name) in noticed else "survived"
        )
        counts[trial.path][outcome] += 1
    for path, each in counts.items():
        print(path, *(f"{each[outcome]} {outcome}" for outcome in ("killed", "explained", "survived")), sep="  ")


if __name__ == "__main__":
    main()
