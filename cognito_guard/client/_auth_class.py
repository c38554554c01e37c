"""The base class of an auth object that both httpx and httpx2 accept."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import httpx


def auth_classes(import_module: Callable[[str], Any] = import_module) -> tuple[type, ...]:
    """Return the `Auth` classes of the installed clients: httpx2 does not accept an instance of httpx's class."""
    try:
        return (httpx.Auth, import_module("httpx2").Auth)
    except ImportError:
        return (httpx.Auth,)


if TYPE_CHECKING:

    class AuthClass(httpx.Auth):
        """Type checkers see the class of httpx."""

else:
    AuthClass = type("AuthClass", auth_classes(), {"__doc__": "An auth object of httpx and, if installed, httpx2."})
