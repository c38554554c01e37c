"""Two ways to run tests with a changed module: fast, in place of what is imported; and thorough, from the import on."""

from __future__ import annotations

import gc
import marshal
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

_PLAIN: Final = (int, float, str, bytes, tuple, frozenset, range, Mapping, re.Pattern)


class Served:
    """Makes the import system serve *code* as the module *name*."""

    def __init__(self, name: str, code: CodeType) -> None:
        self._name = name
        self._code = code

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == self._name else None
        if spec is not None:
            spec.loader = _Loader(name, str(spec.origin))
            spec.loader.code = self._code
        return spec


def serve_in_processes(name: str, code: CodeType, folder: Path) -> None:
    """Make Python processes started from now on import *code* as the module *name*, by a file in *folder*."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(
        "import marshal, sys\n"
        f"sys.path.append({str(Path(__file__).parents[2])!r})\n"
        f"from {__name__} import Served\n"
        "sys.path.pop()\n"
        f"sys.meta_path.insert(0, Served({name!r}, marshal.loads({marshal.dumps(code)!r})))\n"
    )
    os.environ["PYTHONPATH"] = str(folder)


class _Loader(SourceFileLoader):
    code: CodeType

    def get_code(self, fullname: str) -> CodeType:
        return self.code


def living_functions(folder: str) -> list[FunctionType]:
    """Return every function there is of a module in *folder*."""
    gc.unfreeze()  # what is frozen is not listed
    functions = [each for each in gc.get_objects() if isinstance(each, FunctionType)]
    return [each for each in functions if each.__code__.co_filename.startswith(folder)]


def put_in_place(name: str, code: CodeType, functions: Iterable[FunctionType]) -> None:
    """
    Give the *functions* and constants of the module *name*, which is imported, what *code* has in their place.

    What functions have cached is forgotten. Classes, decorators, defaults and what else was made of functions before
    stay as they are.
    """
    module = sys.modules[name]
    namespace = {"__name__": name, "__file__": module.__file__, "__package__": module.__package__}
    exec(code, namespace)  # noqa: S102 - of this package, but for one change
    codes = {(code.co_filename, each.co_qualname, each.co_firstlineno): each for each in _inside(code)}
    for function in functions:
        old = function.__code__
        new = codes.get((old.co_filename, old.co_qualname, old.co_firstlineno), old)
        # A function keeps its code if the new one closes over other variables.
        function.__code__ = new if new.co_freevars == old.co_freevars else old
    for value in vars(module).values():
        getattr(value, "cache_clear", bool)()
    changed = {each: vars(module).get(each) for each, value in namespace.items() if isinstance(value, _PLAIN)}
    for other in list(sys.modules.values()):
        for each, before in changed.items():
            if each[:2] != "__" and each in vars(other) and vars(other)[each] is before != namespace[each]:
                setattr(other, each, namespace[each])


def _inside(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _inside(each)
