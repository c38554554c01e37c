"""What the mutation run changes in a module, and how a change is put in place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from tests.mutation.applied import Served, living_functions, put_in_place, serve_in_processes
from tests.mutation.mutants import mutants


def names(source: str) -> set[str]:
    return {each.name.removeprefix(": ") for each in mutants(source, "module.py")}


@pytest.mark.parametrize(
    ("source", "changes"),
    [
        ("a < b", {"a < b -> a <= b", "a < b -> a >= b"}),
        ("a in b", {"a in b -> a not in b"}),
        ("a and b", {"a and b -> a or b", "a and b -> a", "a and b -> b"}),
        ("a or b or c", {"a or b or c -> a or b"}),
        ("not a", {"not a -> a"}),
        ("a + b", {"a + b -> a - b"}),
        ("a | b", {"a | b -> a", "a | b -> b"}),
        ("x = a @ b", set()),
        ("1 if a else b", {"1 if a else b -> b", "1 if a else b -> 1", "1 if a else b -> 2 if a else b"}),
        ("x = 7", {"7 -> 8", "7 -> 6"}),
        ("x = True", {"True -> False"}),
        ("x = b'a'", {"b'a' -> b'aX'"}),
        ("x = 'code'", {"'code' -> 'codeXX'"}),
        ("x = 'several words'", set()),
        ("x = None", set()),
        ("a[1:n]", {"a[1:n] -> a[:n]", "a[1:n] -> a[1:]"}),
        ("{a, b}", {"{a, b} -> {b}"}),
        ("{a: b}", {"{a: b} -> {}"}),
        ("f(a, b)", {"f(a, b) -> f(b, a)"}),
        ("f(a=b)", {"f(a=b) -> f()"}),
        ("min(a, b)", {"min(a, b) -> max(a, b)"}),
        ("a.lower()", {"a.lower() -> a.upper()", "a.lower() -> a"}),
        ("[a for a in b if c]", {"[a for a in b if c] -> [a for a in b if True]"}),
        ("if a: b()", {"a -> True", "a -> False", "b() -> pass"}),
        ("while a: b()", {"a -> False"}),
        ("for a in b: pass", {"b -> ()"}),
        ("raise a", {"raise a -> pass"}),
        ("del a", {"del a -> pass"}),
        ("a.b = c", {"a.b = c -> pass"}),
        ("a.b: Final = c", set()),
        ("a.b: int = c", {"a.b: int = c -> pass"}),
        ("a += 1", {"a += 1 -> pass", "a += 1 -> a -= 1"}),
        ("with a: pass", {"with a: -> if True:"}),
        ("with a, b: pass", {"with a, b: -> with b:"}),
        ("with a as b: pass", set()),
        ("try: a()\nexcept b: pass", {"try except b -> try"}),
        ("@a\nclass B: pass", {"@a -> class B:"}),
    ],
)
def test_each_kind_of_code_has_its_changes(source: str, changes: set[str]) -> None:
    found = names(source)
    assert changes <= found
    assert bool(changes) == bool(found)


def test_what_functions_return_and_leave_out_is_changed_too() -> None:
    found = names("def f():\n for a in b:\n  if c: continue\n  break\n return a")
    assert {"f: return a -> return", "f: continue -> pass", "f: break -> pass"} <= found
    assert names("def f():\n return") == {"f: return -> pass"}


@pytest.mark.parametrize(
    "source",
    [
        "'''Documentation.'''",
        "import a",
        "x: a[1] = b",
        "T = tuple[a, b]",
        "T = TypeVar('T', bound='int')",
        "if TYPE_CHECKING: a()",
        "__slots__ = ('a', 'b')",
        "x = f'{a + 1}'",
        "@overload\ndef f(a=1): a()",
        "class A:\n def __repr__(self): return a()",
        "yield_ = cast('a', b)",
    ],
)
def test_wording_and_types_are_left_alone(source: str) -> None:
    assert names(source) == set()


def test_the_same_change_in_two_places_has_two_names() -> None:
    assert names("f(1)\nf(1)") >= {"f(1) -> f(2)", "f(1) -> f(2) #2"}


def test_a_change_knows_the_lines_that_show_it() -> None:
    source = "x = 1\n\n@a\ndef f(b=2):\n    if b:\n        return (\n            c\n        )\n"
    lines = {each.name: each.lines for each in mutants(source, "module.py")}
    assert lines[": 1 -> 2"] == range(0)
    assert lines["f: 2 -> 3"] == range(5, 9)
    assert lines["f: b -> True"] == range(5, 6)
    assert lines["f: return c -> return"] == range(6, 9)


def test_what_is_no_program_any_more_is_left_out() -> None:
    assert "a += 1 -> pass" in names("a += 1")
    assert not any("a += 1 -> pass" in each for each in names("def f():\n a += 1\n def g():\n  nonlocal a"))


SOURCE = """from functools import lru_cache

LIMIT = 1

class Box:
    def value(self):
        return LIMIT + 10

@lru_cache
def remembered():
    return LIMIT + 10
"""


@pytest.fixture
def module() -> Iterator[ModuleType]:
    module = ModuleType("changed_module")
    module.__file__ = "changed_module.py"
    sys.modules[module.__name__] = module
    exec(compile(SOURCE, module.__file__, "exec"), vars(module))  # noqa: S102 - the text above
    yield module
    del sys.modules[module.__name__]


@pytest.mark.parametrize(
    ("name", "value"),
    [(": 1 -> 2", 12), ("Box.value: LIMIT + 10 -> LIMIT + 11", 12), ("Box.value: LIMIT + 10 -> LIMIT - 10", -9)],
)
def test_a_change_put_in_place_counts_for_objects_that_exist(module: ModuleType, name: str, value: int) -> None:
    box = module.Box()
    assert box.value() == module.remembered() == 11
    changed = {each.name: each.code for each in mutants(SOURCE, "changed_module.py")}
    put_in_place(module.__name__, changed[name], living_functions("changed_module.py"))
    assert box.value() == value
    assert module.remembered() == (value if name.startswith(":") else 11)


def test_a_change_can_be_imported_in_the_place_of_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "served_module.py").write_text("VALUE = 1")
    monkeypatch.syspath_prepend(tmp_path)
    served = Served("served_module", compile("VALUE = 2", "served_module.py", "exec"))
    monkeypatch.setattr(sys, "meta_path", [served, *sys.meta_path])

    assert import_module("served_module").VALUE == 2
    del sys.modules["served_module"]
    assert served.find_spec("another_module") is None


def test_a_change_is_imported_by_other_processes_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "")
    (tmp_path / "served_module.py").write_text("VALUE = 1")
    serve_in_processes("served_module", compile("VALUE = 2", "served_module.py", "exec"), tmp_path)

    script = "import served_module; print(served_module.VALUE)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "2\n"
