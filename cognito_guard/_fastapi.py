"""
All uses of FastAPI that its documentation does not promise, behind plain functions.

FastAPI is optional. Nothing here imports it: each function looks it up in `sys.modules`. A release of FastAPI can break
this file and no other.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from cognito_guard.errors import ConfigurationError

_OLDEST: Final = (0, 136, 3)
_DOCUMENTATION: Final = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")


class Dependency(NamedTuple):
    """One dependency of a route: what is called, and the scopes of `Security(..., scopes=[...])` that lead to it."""

    call: Any
    scopes: frozenset[str]


def check_version() -> None:
    """
    Return if FastAPI is not loaded, or if its version can be guarded.

    Raises:
        ConfigurationError: FastAPI is older than 0.136.3.

    """
    version = str(getattr(sys.modules.get("fastapi"), "__version__", ""))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:3])
    if numbers and numbers < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise ConfigurationError(f"FastAPI {version} cannot be guarded; install fastapi>={oldest}")


def http_exception() -> type[Exception] | None:
    """Return FastAPI's `HTTPException`, a subclass of Starlette's, if FastAPI is loaded."""
    found: type[Exception] | None = getattr(sys.modules.get("fastapi"), "HTTPException", None)
    return found


def is_default_handler(handler: object) -> bool:
    """Return whether *handler* is an exception handler that FastAPI registers by itself."""
    return getattr(handler, "__module__", None) == "fastapi.exception_handlers"


def is_documentation(handler: object) -> bool:
    """Return whether *handler* is one that FastAPI adds to show its OpenAPI document."""
    return str(getattr(handler, "__module__", "")).startswith("fastapi.")


def documentation_paths(app: object) -> set[str]:
    """Return the paths of the OpenAPI document of *app* and of the pages that show it."""
    # Without the document, FastAPI serves none of the pages, even if their URLs are set.
    if not getattr(app, "openapi_url", None):
        return set()
    return {url for name in _DOCUMENTATION if (url := getattr(app, name, None))}


def dependency_signature() -> inspect.Signature:
    """Return a signature that makes FastAPI pass the connection, and the scopes of `Security`, to a dependency."""
    from starlette.requests import HTTPConnection  # noqa: PLC0415 - beside the class that FastAPI knows it by

    scopes = getattr(sys.modules.get("fastapi.security"), "SecurityScopes", None)
    annotations: dict[str, Any] = {"conn": HTTPConnection}
    if scopes is not None:
        annotations["security_scopes"] = scopes
    return inspect.Signature(
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
            for name, annotation in annotations.items()
        ]
    )


def flattened(routes: Sequence[BaseRoute]) -> Iterable[Any]:
    """Return *routes* in order; each included router is replaced by its routes."""
    # FastAPI up to 0.136 copies the routes of an included router. Later versions keep them as a tree.
    contexts: Callable[[Sequence[BaseRoute]], Iterable[Any]] | None = getattr(
        sys.modules.get("fastapi.routing"), "iter_route_contexts", None
    )
    return routes if contexts is None else contexts(routes)


def plain_routes(scope: Scope) -> tuple[type, ...]:
    """Return the classes of routes that never match *scope* if their `path_regex` does not match its path."""
    # In an included router, FastAPI compares the path with the route's path in that router.
    fastapi = None if "fastapi" in scope else sys.modules.get("fastapi.routing")
    return (Route,) if fastapi is None else (Route, fastapi.APIRoute)


def actual_route(route: Any) -> BaseRoute:
    """Return the original of one of the `flattened` routes: FastAPI copies some of the routes that it includes."""
    remade: BaseRoute | None = getattr(getattr(route, "_route_context", None), "starlette_route", None)
    return remade or getattr(route, "original_route", route)


def matches(route: Any, scope: Scope) -> tuple[Match, Scope]:
    """Return whether one of the `flattened` routes matches *scope*; asks it in the way FastAPI does."""
    context = getattr(route, "_route_context", None)
    if context is None or context.starlette_route is not None:
        matched: tuple[Match, Scope] = route.matches(scope)
        return matched
    fastapi = {**scope.get("fastapi", {}), "effective_route_context": context}
    included: tuple[Match, Scope] = route.original_route.matches({**scope, "fastapi": fastapi})
    return included


def is_api_router(handler: object) -> bool:
    """Return whether *handler* is an `APIRouter`: an app includes the routes of one, not the router itself."""
    return hasattr(handler, "include_router") and not hasattr(handler, "openapi")


def is_api_route(route: object) -> bool:
    """Return whether *route* is a route of FastAPI that calls a handler; it answers only the methods that it lists."""
    return hasattr(route, "dependant") and hasattr(route, "endpoint")


def chosen_route(scope: Scope, route: object) -> object:
    """Return the object that holds the dependencies of *route*, which a router has just chosen for *scope*."""
    included = scope.get("fastapi", {}).get("included_router")
    if included is None:
        return route
    # Only the context has the dependencies of the routers that include a route. FastAPI puts it into the scope later.
    contexts = (each for each in included.effective_candidates() if getattr(each, "original_route", None) is route)
    return next(contexts, route)


def dependencies_of(route: object, overrides: Container[Any]) -> list[Dependency]:
    """Return the dependencies of a FastAPI *route*. Leaves out those that *overrides* replace and theirs."""
    dependant = getattr(route, "dependant", None)
    if dependant is None or not dependant.dependencies:
        return []
    found = []
    pending = list(dependant.dependencies)
    for dependency in pending:
        if not overrides or dependency.call not in overrides:
            # Append to the list while it is iterated: the dependencies of a dependency come after its neighbours.
            pending += dependency.dependencies
            scopes = (*(dependency.parent_oauth_scopes or ()), *(dependency.own_oauth_scopes or ()))
            found.append(Dependency(dependency.call, frozenset(scopes)))
    return found


def frontends(app: Any) -> Iterator[tuple[object, str, Any]]:
    """Yield, for each `frontend(...)` of *app* and its routers: what holds its dependencies, its path, its files."""
    router = getattr(app, "router", app)
    for group in getattr(router, "_iter_low_priority_routes", tuple)():
        prefix = getattr(group, "frontend_prefix", "")
        for files in getattr(group, "original_route", group).routes:
            yield group, prefix + files.path, files.app


def is_frontend(scope: Scope) -> bool:
    """Return whether a router has chosen the files of a `frontend(...)`; these name no endpoint."""
    return "frontend_path" in scope.get("fastapi", ())


def chosen_frontends(scope: Scope) -> list[object]:
    """Return the objects that hold the dependencies of the files that a router has chosen for *scope*."""
    context = scope["fastapi"].get("effective_route_context")
    # Below a mount, the context may belong to another route.
    if hasattr(getattr(context, "original_route", None), "add_frontend_route"):
        return [context]
    groups = getattr(getattr(scope.get("app"), "router", None), "_low_priority_routes", ())
    return [group for group in groups if group.matches(scope)[0] is not Match.NONE]


def unresolved_annotations(handler: Callable[..., Any]) -> list[str]:
    """
    Return the annotations of *handler* that FastAPI cannot resolve.

    FastAPI then reads the parameter from the query, even if the annotation would have made it a dependency.
    """
    function: Any = handler
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    names = getattr(function, "__globals__", {})
    unresolved = []
    for parameter in inspect.signature(handler).parameters.values():
        if isinstance(parameter.annotation, str):
            try:
                eval(parameter.annotation, names)  # noqa: S307 - FastAPI does the same; the source is the app's own
            except Exception:  # noqa: BLE001 - FastAPI ignores any error and keeps the string
                unresolved.append(parameter.annotation)
    return unresolved
