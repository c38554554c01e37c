"""Loads the app that a command line names."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from cognito_guard._fastapi import is_api_router
from cognito_guard._rules.requirement import Guard
from cognito_guard.errors import GuardError

_OURS: Final = str(Path(__file__).parent.parent)
_EXAMPLE: Final = "expected module:app, such as main:app"


class UsageError(GuardError):
    """The command line is wrong; the message says what to write."""


class LoadError(GuardError):
    """The app cannot be imported or made; the message says where and why."""


def add_app_argument(parser: argparse.ArgumentParser) -> None:
    """Add the argument `module:app`, and what belongs to it, to *parser*."""
    parser.add_argument("app", metavar="module:app", help="the app, or a function without parameters that makes it")
    parser.add_argument("--factory", action="store_true", help="call the name: it is a function that makes the app")
    parser.add_argument("--app-dir", metavar="DIR", default=".", help="import from here (%(default)s)")


def load_app(arguments: argparse.Namespace) -> Any:
    """
    Return the app that *arguments* name, see `add_app_argument`.

    Raises:
        UsageError: They do not name an app.
        LoadError: Importing or making it failed.

    """
    name: str = arguments.app
    module_name, attribute = _split(name)
    folder = Path(arguments.app_dir)
    if not folder.is_dir():
        raise UsageError(f"--app-dir: there is no folder {arguments.app_dir!r}")
    sys.path.insert(0, str(folder.resolve()))
    found = _attribute(_import(module_name, folder), module_name, attribute)
    if inspect.isclass(found):
        raise UsageError(f"{name} is a class; name an app made from it, or a function that makes one")
    is_function = inspect.isfunction(found)
    if arguments.factory or (is_function and not _takes(found, 3)):
        if not _takes(found, 0):
            raise UsageError(
                f"{name} cannot be called without arguments; name an app, or a function without parameters"
            )
        found, name = _guarded(f"{name}()", found), f"{name}()"
    _check_app(found, name)
    return found


def _split(name: str) -> tuple[str, str]:
    module_name, _, attribute = name.partition(":")
    if "/" in module_name or "\\" in module_name or module_name.endswith(".py"):
        parts = Path(module_name.replace("\\", "/")).with_suffix("").parts
        module = ".".join(part for part in parts if part not in {".", "..", "/"})
        raise UsageError(f"{module_name!r} is a path; write the module: {module}:{attribute or 'app'}")
    if not module_name or not attribute:
        raise UsageError(f"{name!r} does not name an app; {_EXAMPLE}")
    if attribute.endswith("()"):
        raise UsageError(f"write {module_name}:{attribute[:-2]} --factory instead of {name}")
    return module_name, attribute


def _import(module_name: str, folder: Path) -> Any:
    try:
        return _guarded(module_name, lambda: importlib.import_module(module_name))
    except LoadError as error:
        cause = error.__cause__
        # The named module or a package around it is missing, not a module that it imports.
        if isinstance(cause, ModuleNotFoundError) and cause.name and f"{module_name}.".startswith(f"{cause.name}."):
            raise UsageError(
                f"there is no module {module_name!r} to import from {folder.resolve()}; --app-dir names another folder"
            ) from error
        raise


def _attribute(module: Any, module_name: str, attribute: str) -> Any:
    found = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            meant = "".join(f"; is it {close!r}?" for close in get_close_matches(part, dir(found), 1))
            raise UsageError(f"the module {module_name!r} has no {attribute!r}{meant}")
        found = getattr(found, part)
    return found


def _guarded(what: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except (Exception, SystemExit) as error:
        lines = str(error).strip() or "no message"
        hint = _hint(error)
        raise LoadError(
            f"{what} fails{_place(error.__traceback__)}: {type(error).__name__}: {lines}{hint and f'. {hint}'}"
        ) from error


def _place(trace: TracebackType | None) -> str:
    """Return the last line of the app's own code that ran, as text."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)
        if not frame.filename.startswith(("<", _OURS)) and "importlib" not in frame.filename
    ]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    return f" at {own[-1].filename}:{own[-1].lineno} ({own[-1].line})" if own else ""


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError):
        return f"Install {error.name}, or name the folder that it is in with --app-dir"
    if isinstance(error, ImportError) and "relative import" in str(error):
        return "Name the module with its package, such as package.main:app, from the folder above the package"
    if isinstance(error, KeyError):
        return "If it is an environment variable, set it for this command too"
    if isinstance(error, SystemExit):
        return "The module ends the process when it is imported; move that below if __name__ == '__main__'"
    return ""


def _check_app(found: Any, name: str) -> None:
    if isinstance(found, Guard):
        raise UsageError(f"{name} is a guard; name the app that it is installed on")
    if is_api_router(found):
        raise UsageError(f"{name} is a router; name the app that includes it")
    if not callable(found) or not _takes(found, 3):
        raise UsageError(f"{name} is not an ASGI app but {type(found).__name__!r}; {_EXAMPLE}")


def _takes(function: Callable[..., Any], number: int) -> bool:
    try:
        inspect.signature(function).bind(*[None] * number)
    except TypeError:
        return False
    return True
