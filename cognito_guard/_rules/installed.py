"""What is in front of the routes of an app: guards that are installed on it, other middleware, mounts."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

from starlette.middleware import Middleware
from starlette.routing import Host, Mount

from cognito_guard._rules.requirement import Guard
from cognito_guard.errors import ConfigurationError

_MOST_MIDDLEWARE: Final = 50


class Installed(NamedTuple):
    """A guard in an app's list of middleware: its place in the list, and the paths that it opens."""

    place: int
    guard: Guard
    public_paths: frozenset[tuple[str, str]]


def installed_on(app: object) -> list[Installed]:
    """Return the guards among the middleware of *app*, outermost first."""
    found = []
    for place, entry in enumerate(middleware_of(app)):
        options = options_of(entry)
        guard = options.get("guard")
        if is_guard_middleware(entry.cls) and isinstance(guard, Guard):
            found.append(Installed(place, guard, frozenset(options.get("public_paths", ()))))
    return found


def middleware_of(app: object) -> list[Middleware]:
    """Return the middleware that was added to *app*, outermost first."""
    return list(getattr(app, "user_middleware", ()))


def options_of(entry: Middleware) -> dict[str, Any]:
    """Return the arguments of *entry* by name, including positional ones."""
    try:
        # A placeholder for the wrapped app.
        return inspect.signature(entry.cls).bind(None, *entry.args, **entry.kwargs).arguments
    except (TypeError, ValueError):
        return {}


def is_guard_middleware(cls: object) -> bool:
    """Return whether *cls* is `CognitoGuardMiddleware` or a subclass."""
    return bool(getattr(cls, "is_cognito_guard", False))


def check_public_paths(public_paths: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """
    Return *public_paths* as a set.

    Raises:
        ConfigurationError: A member is not a pair of an upper-case method and a plain path.

    """
    for entry in public_paths:
        match entry:
            case (str(method), str(path)) if (
                method.isupper() and path.startswith("/") and path.isprintable() and not set(path) & set("*{}?#")
            ):
                continue
        raise ConfigurationError(
            "public_paths takes pairs of a method and an exact path, such as ('GET', '/openapi.json'), "
            f"without wildcards or parameters; got {entry!r}"
        )
    return frozenset(public_paths)


def chain_of(app: Any) -> Iterator[Any]:
    """Yield *app* and the apps that it wraps, following `.app`, up to one that has routes."""
    seen: set[int] = set()
    while app is not None and id(app) not in seen:
        seen.add(id(app))
        yield app
        app = None if hasattr(app, "routes") else getattr(app, "app", None)


def app_of(route: Mount | Host) -> object:
    """Return the app of a mount or a host, without the middleware that the mount puts around it."""
    base = getattr(route, "_base_app", None)
    # This does not change when the app of the mount is replaced.
    return base if base is not None and _is_inside(base, route.app) else route.app


def _is_inside(base: object, app: object) -> bool:
    """Return whether *app* is *base*, or middleware around it."""
    pending, seen = [app], set[int]()
    while pending and len(seen) < _MOST_MIDDLEWARE:
        each = pending.pop()
        if each is base:
            return True
        if id(each) not in seen:
            seen.add(id(each))
            pending += [value for value in getattr(each, "__dict__", {}).values() if callable(value)]
    return False
