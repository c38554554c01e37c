"""The base class of an auth object that httpx and httpx2 both take."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import httpx


def auth_classes(import_module: Callable[[str], Any] = import_module) -> tuple[type, ...]:
    """Return the `Auth` classes of the installed clients: httpx2 takes no instance of the one of httpx."""
    try:
        return (httpx.Auth, import_module("httpx2").Auth)
    except ImportError:
        return (httpx.Auth,)


if TYPE_CHECKING:

    class AuthClass(httpx.Auth):
        """To type checkers, the class of httpx."""

else:
    AuthClass = type("AuthClass", auth_classes(), {"__doc__": "An auth object of httpx and, if installed, httpx2."})
