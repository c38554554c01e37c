"""The app that a command line names."""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys
from typing import Any

from cognito_guard.errors import ConfigurationError


def add_app_argument(parser: argparse.ArgumentParser) -> None:
    """Let *parser* take `module:app`."""
    parser.add_argument("app", metavar="module:app", help="where the app is, or a function without parameters makes it")


def load_app(name: str) -> Any:
    """
    Return the app behind *name*, `module:attribute`, imported as from the current directory.

    Raises:
        ConfigurationError: There is none.

    """
    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        raise ConfigurationError(f"{name!r} does not name an app; expected module:app, such as main:app")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        app: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Of the module that is named, not of something that it imports.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(f"there is no module {module_name!r} to import from here") from error
    for part in attribute.split("."):
        if not hasattr(app, part):
            raise ConfigurationError(f"the module {module_name!r} has no {attribute!r}")
        app = getattr(app, part)
    return app() if inspect.isfunction(app) else app
