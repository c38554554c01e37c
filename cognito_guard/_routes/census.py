"""Every route of an app, as a list: where it is, what handles it, and what that asks for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.routing import BaseRoute, Host, Mount, WebSocketRoute

from cognito_guard._requests.lookup import actual_route, app_of, flattened, requirements_of, routes_of
from cognito_guard._requests.middleware import CognitoGuardMiddleware
from cognito_guard._requests.requirement import Mark, Public, Requirement, is_wrapped_elsewhere, marks_of

WEBSOCKET: Final = "WEBSOCKET"
"""Stands for the method where there is none."""

ANY: Final = "*"
"""Stands for the methods where nobody knows which there are."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")


@dataclass(frozen=True, slots=True)
class _Checkpoint:
    """A guard that is installed on an app, and the paths it lets everybody reach there (below the app's own path)."""

    guard: object
    public_paths: frozenset[tuple[str, str]]
    prefix: str


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """
    One method of one route.

    Attributes:
        method: An HTTP method, `WEBSOCKET`, or `*` for an app that can not be looked into.
        path: The whole path, parameters in braces; behind a `Host` route with the host in front.
        handler: Where the handler is defined: `module:name`.
        summary: The first line of the handler's docstring, or nothing.
        requirements: What the handler, its route and its routers ask for, by decorator or dependency.
        public: Whether everybody may reach it: marked, or by path.
        guarded: Whether a guard stands in front of it, and its requirements are of such guards.
        opaque: Whether it is an app that can not be looked into: static files, or plain ASGI.
        misplaced: Whether a requirement stands above the route decorator, where it guards nothing.
        built_in: Whether the framework brought it along: FastAPI's documentation.

    """

    method: str
    path: str
    handler: str
    summary: str
    requirements: tuple[Requirement, ...]
    public: bool
    guarded: bool
    opaque: bool
    misplaced: bool
    built_in: bool

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope that is named, whether it is needed or one of several."""
        return frozenset(name for each in self.requirements if each.kind in {"all", "any"} for name in each.names)

    @property
    def requirement(self) -> str:
        """What is required, in words."""
        if not self.guarded:
            return "NO GUARD"
        if self.public:
            return "public"
        parts = dict.fromkeys(str(each) for each in self.requirements if each.kind != "authenticated")
        if parts:
            return "; ".join(parts)
        return "any valid token" if self.requirements else "any valid token (default)"


def census(app: object) -> Iterator[RouteEntry]:
    """
    Yield an entry for each method of each route that *app* leads to, in the order of the routes.

    Follows mounts, hosts, FastAPI's included routers, class endpoints and apps within apps. What has no routes to look
    at is one opaque entry.
    """
    return _walk(app, "", ())


def _walk(app: Any, prefix: str, checkpoints: tuple[_Checkpoint, ...]) -> Iterator[RouteEntry]:
    routes = routes_of(app)
    checkpoints += tuple(_checkpoints(app, prefix))
    if routes is None:
        yield _entry(ANY, prefix or "/", app, marks_of(app), checkpoints, opaque=True)
        return
    for route in flattened(routes):
        actual = actual_route(route)
        if isinstance(actual, Host):
            yield from _walk(app_of(actual), actual.host + prefix, checkpoints)
        elif isinstance(actual, Mount):
            yield from _walk(app_of(actual), prefix + actual.path, checkpoints)
        else:
            yield from _entries(route, actual, prefix + route.path_format, checkpoints)
    for group in getattr(getattr(app, "router", app), "_low_priority_routes", ()):
        # app.frontend() keeps its files here; FastAPI offers no other way to see them.
        for files in group.routes:
            yield _entry(ANY, prefix + files.path, files.app, tuple(requirements_of(group)), checkpoints, opaque=True)


def _entries(route: Any, actual: BaseRoute, path: str, checkpoints: tuple[_Checkpoint, ...]) -> Iterator[RouteEntry]:
    endpoint = route.endpoint
    marks = (*requirements_of(route), *marks_of(endpoint))
    if isinstance(actual, WebSocketRoute):
        opaque = _is_opaque(endpoint, WebSocketEndpoint)
        yield _entry(WEBSOCKET, path, endpoint, marks, checkpoints, opaque=opaque)
    elif inspect.isclass(endpoint) and issubclass(endpoint, HTTPEndpoint):
        for method in _METHODS:
            handler = getattr(endpoint, method.lower(), None)
            if handler is not None and (route.methods is None or method in route.methods):
                yield _entry(method, path, handler, marks + marks_of(handler), checkpoints)
    else:
        methods = route.methods or {ANY}
        for method in sorted(methods - {"HEAD"} if "GET" in methods else methods):
            yield _entry(method, path, endpoint, marks, checkpoints, opaque=_is_opaque(endpoint, HTTPEndpoint))


def _entry(
    method: str,
    path: str,
    handler: Any,
    marks: tuple[Mark, ...],
    checkpoints: tuple[_Checkpoint, ...],
    *,
    opaque: bool = False,
) -> RouteEntry:
    guards = [each.guard for each in checkpoints]
    requirements = tuple(dict.fromkeys(mark for mark in marks if isinstance(mark, Requirement)))
    open_to = {mark.guard for mark in marks if isinstance(mark, Public)}
    open_to |= {each.guard for each in checkpoints if (method, path.removeprefix(each.prefix)) in each.public_paths}
    return RouteEntry(
        method=method,
        path=path,
        handler=_location(handler),
        summary=next(iter((inspect.getdoc(handler) or "").splitlines()), "") if not opaque else "",
        requirements=requirements,
        public=not requirements and bool(guards) and open_to.issuperset(guards),
        guarded=bool(guards) and all(each.guard in guards for each in requirements),
        opaque=opaque,
        misplaced=is_wrapped_elsewhere(handler),
        built_in=_location(handler).startswith("fastapi."),
    )


def _checkpoints(app: Any, prefix: str) -> Iterator[_Checkpoint]:
    while app is not None:
        if isinstance(app, CognitoGuardMiddleware):
            yield _Checkpoint(app.guard, app.public_paths, prefix)
        for middleware in getattr(app, "user_middleware", ()):
            if middleware.cls is CognitoGuardMiddleware:
                options = middleware.kwargs
                yield _Checkpoint(options["guard"], frozenset(options.get("public_paths", ())), prefix)
        app = None if hasattr(app, "routes") else getattr(app, "app", None)


def _is_opaque(endpoint: Any, endpoint_class: type[Any]) -> bool:
    while isinstance(endpoint, functools.partial):
        endpoint = endpoint.func
    if inspect.isclass(endpoint):
        return not issubclass(endpoint, endpoint_class)
    # Starlette takes any other callable for an ASGI app.
    return not (inspect.isfunction(endpoint) or inspect.ismethod(endpoint))


def _location(handler: Callable[..., Any]) -> str:
    while isinstance(handler, functools.partial):
        handler = handler.func
    named = handler if hasattr(handler, "__qualname__") else type(handler)
    return f"{named.__module__}:{named.__qualname__}"
