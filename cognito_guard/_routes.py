"""What the handler asks for that a request would reach, found by asking the app's own routes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from starlette.endpoints import HTTPEndpoint
from starlette.routing import BaseRoute, Host, Match, Mount
from starlette.types import Scope

from cognito_guard._requirement import Mark, Requirement, marks_of


def route_path(scope: Scope) -> str:
    """Return the path of *scope* within its app, without `root_path`, as Starlette's router sees it."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        return path[len(root_path) :]
    return path


def marks_ahead(app: object, scope: Scope) -> tuple[Mark, ...] | None:
    """
    Return the marks of the handler that *app* would give this request to, or None if no route takes it.

    Follows mounts, hosts and FastAPI's included routers, in the router's own order. Costs some microseconds for each
    route passed over, so it is for requests without a good token only.
    """
    routes = routes_of(app)
    if routes is None:
        return marks_of(app)
    for route in flattened(routes):
        match, child_scope = route.matches(scope)
        if match is Match.FULL:
            endpoint = child_scope.get("endpoint")
            if isinstance(getattr(route, "original_route", route), Mount | Host):
                return marks_ahead(endpoint, {**scope, **child_scope})
            return _marks_of_endpoint(endpoint, scope)
    return None


def requirements_ahead(scope: Scope) -> Iterator[Requirement]:
    """
    Yield what the FastAPI route that has been chosen for this request depends on, leaving out what is overridden.

    FastAPI reads and parses the body before it solves dependencies, and answers broken JSON with a 422 of its own.
    """
    chosen = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    provider = getattr(chosen, "dependency_overrides_provider", None)
    return requirements_of(chosen, getattr(provider, "dependency_overrides", {}))


def requirements_of(route: object, overrides: Collection[object] = ()) -> Iterator[Requirement]:
    """Yield what a FastAPI *route* depends on, but for what is in *overrides*. Nothing, if it is not FastAPI's."""
    pending = [getattr(route, "dependant", None)]
    while pending:
        for dependency in getattr(pending.pop(0), "dependencies", ()):
            if dependency.call not in overrides:
                pending.append(dependency)
                if isinstance(dependency.call, Requirement):
                    yield dependency.call


def routes_of(app: Any) -> Sequence[BaseRoute] | None:
    """Return the routes of *app*, found through the middleware around it, or None if it has none to look at."""
    # Middleware keeps the app it is around in .app, by Starlette's own convention.
    while app is not None and not hasattr(app, "routes"):
        app = getattr(app, "app", None)
    return None if app is None else app.routes


def flattened(routes: Sequence[BaseRoute]) -> Iterator[Any]:
    """Yield *routes* in order, those of FastAPI's included routers in the place of these."""
    fastapi = sys.modules.get("fastapi.routing")
    # FastAPI keeps included routers as a tree; this is the way in that it offers.
    return iter(routes) if fastapi is None else fastapi.iter_route_contexts(routes)


def _marks_of_endpoint(endpoint: Any, scope: Scope) -> tuple[Mark, ...]:
    marks = marks_of(endpoint)
    if inspect.isclass(endpoint) and issubclass(endpoint, HTTPEndpoint):
        method = scope["method"].lower()
        name = "get" if method == "head" and not hasattr(endpoint, "head") else method
        return marks + marks_of(getattr(endpoint, name, None))
    return marks
