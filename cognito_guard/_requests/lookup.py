"""What the handler asks for that a request would reach, found by asking the app's own routes."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Router
from starlette.types import Scope

from cognito_guard._requests.requirement import Mark, Requirement, marks_of

# Middleware that hands requests on to its .app, whatever else it does.
_FAITHFUL: Final = ("starlette.", "fastapi.", "cognito_guard.")


def route_path(scope: Scope) -> str:
    """Return the path of *scope* within its app, without `root_path`, as Starlette's router sees it."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        return path[len(root_path) :]
    return path


def marks_ahead(app: object, scope: Scope) -> tuple[Mark, ...] | None:
    """
    Return the marks of the handler that *app* would give this request to, or None if it would answer 404 or 405.

    Follows mounts, hosts and FastAPI's included routers, in the router's own order. Costs some microseconds for each
    route passed over, so it is for requests without a good token only.
    """
    router, root_path = _router_of(app)
    if router is None:
        return marks_of(app)
    if root_path:
        scope = {**scope, "root_path": root_path}
    for route in flattened(router.routes):
        match, child_scope = _matches(route, scope)
        if match is Match.FULL:
            actual = actual_route(route)
            if isinstance(actual, Mount | Host):
                return marks_ahead(app_of(actual), {**scope, **child_scope})
            return _marks_of_endpoint(child_scope.get("endpoint"), scope)
    # What answers for unknown paths is a handler like another, if it is not Starlette's own.
    return None if getattr(router.default, "__func__", None) is Router.not_found else marks_of(router.default)


def chosen_route(scope: Scope) -> object:
    """Return the route that was chosen for an http request; of an included one of FastAPI's, what became of it."""
    if scope["type"] != "http":
        return None
    return scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")


def requirements_of(route: object) -> Iterator[Requirement]:
    """
    Yield what a FastAPI *route* depends on, but for what is overridden. Nothing, if it is not FastAPI's.

    For who is there before FastAPI solves dependencies: it parses the body first, and answers broken JSON itself.
    """
    provider = getattr(route, "dependency_overrides_provider", None)
    overrides = getattr(provider, "dependency_overrides", {})
    pending = [getattr(route, "dependant", None)]
    while pending:
        for dependency in getattr(pending.pop(0), "dependencies", ()):
            if dependency.call in overrides:
                continue
            pending.append(dependency)
            if isinstance(dependency.call, Requirement):
                yield dependency.call
                # Those of Security(..., scopes=[...]), here or further up.
                scopes = frozenset([*(dependency.parent_oauth_scopes or ()), *(dependency.own_oauth_scopes or ())])
                if scopes:
                    yield Requirement(dependency.call.guard, "all", scopes)


def routes_of(app: object) -> Sequence[BaseRoute] | None:
    """Return the routes of *app*, also through middleware of Starlette around it, or None if it has none to look at."""
    router, _ = _router_of(app)
    return None if router is None else router.routes


def actual_route(route: Any) -> BaseRoute:
    """Return what stands behind one of `flattened` routes: FastAPI makes some of those anew that it includes."""
    remade: BaseRoute | None = getattr(getattr(route, "_route_context", None), "starlette_route", None)
    return remade or getattr(route, "original_route", route)


def app_of(route: Mount | Host) -> object:
    """Return the app that a mount or a host leads to, within the middleware that it puts around it."""
    app: object = getattr(route, "_base_app", route.app)
    return app


def _router_of(app: Any) -> tuple[Router | None, str]:
    """Return the router at the heart of *app*, and the root path that FastAPI gives requests on the way."""
    root_path = ""
    while not isinstance(app, Router):
        if isinstance(app, Starlette):
            root_path = getattr(app, "root_path", "") or root_path
            app = app.router
        elif isinstance(app, BaseHTTPMiddleware) or type(app).__module__.startswith(_FAITHFUL):
            app = getattr(app, "app", None)
        else:
            # Many an object keeps an app in .app, and hands requests on to quite another.
            return None, ""
    return app, root_path


def _matches(route: Any, scope: Scope) -> tuple[Match, Scope]:
    context = getattr(route, "_route_context", None)
    if context is None or context.starlette_route is not None:
        matched: tuple[Match, Scope] = route.matches(scope)
        return matched
    # As FastAPI asks the routes of included routers: a route class of the app's own may decide in its own way.
    fastapi = {**scope.get("fastapi", {}), "effective_route_context": context}
    matched = route.original_route.matches({**scope, "fastapi": fastapi})
    return matched  # noqa: RET504 - typed so


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
