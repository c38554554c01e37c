"""Every route of an app, as a list: its path, its handler, and what it requires."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.routing import BaseRoute, Host, Mount, WebSocketRoute

from cognito_guard._fastapi import actual_route, flattened, frontends, is_api_route, is_documentation
from cognito_guard._routes.misuse import misuse_of
from cognito_guard._rules.conditions import ANY_TOKEN, Granted
from cognito_guard._rules.installed import app_of, chain_of, installed_on, is_guard_middleware
from cognito_guard._rules.lookup import routes_of
from cognito_guard._rules.marks import Marks, endpoint_marks, innermost, marks_of, results_of, within
from cognito_guard._rules.requirement import Requirement, requirements_of

WEBSOCKET: Final = "WEBSOCKET"
"""Stands for the method of a route without one."""

ANY: Final = "*"
"""Stands for the methods of a route or an app that does not say which ones it has."""

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY")

_MISPLACED: Final = (
    "a requirement is above the route decorator, so it guards nothing; move it below, next to the function"
)
_PUBLIC_ABOVE: Final = (
    "guard.public is above the route decorator, so it opens nothing; move it below, next to the function"
)
_PUBLIC_AND_REQUIRED: Final = "is marked public, but a router or an app around it has a requirement, which wins"


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """
    One method of one route.

    Attributes:
        method: An HTTP method, `WEBSOCKET`, or `*` for an app whose routes cannot be inspected.
        path: The whole path, with parameters in braces. Behind a `Host` route it starts with the host.
        handler: The place where the handler is defined: `module:name`.
        summary: The first line of the handler's docstring, or "".
        requirements: What callers need: the requirements of the apps and routers around the route, of the route, and of
            its handler.
        public: Whether everyone may call it, because it is marked or because of its path.
        guarded: Whether a guard stands in front of it, and all its requirements belong to such guards.
        opaque: Whether it is an app whose routes cannot be inspected: static files, or plain ASGI.
        faults: Sentences that say what makes the route weaker than it is written. An app with any must not start.
        remarks: Sentences that say what has no effect.
        built_in: Whether it is a page of the framework itself, such as FastAPI's documentation.

    """

    method: str
    path: str
    handler: str
    summary: str
    requirements: tuple[Requirement, ...]
    public: bool
    guarded: bool
    opaque: bool
    faults: tuple[str, ...]
    remarks: tuple[str, ...]
    built_in: bool

    @property
    def scopes(self) -> frozenset[str]:
        """Every scope that the requirements name, needed or one of several."""
        granted = (each.condition for each in self.requirements if isinstance(each.condition, Granted))
        return frozenset[str]().union(*(condition.names for condition in granted))

    @property
    def requirement(self) -> str:
        """What is required, as text."""
        if not self.guarded:
            return "NO GUARD"
        if self.public:
            return "public"
        parts = dict.fromkeys(str(each) for each in self.requirements if each.condition != ANY_TOKEN)
        if parts:
            return "; ".join(parts)
        return "any valid token" if self.requirements else "any valid token (default)"


class _Around(NamedTuple):
    """
    The apps and routers around a route.

    Attributes:
        prefix: The path of the app that it is in.
        guards: The guards in front, each with the paths it opens and the prefix of these paths.
        requirements: What the apps around it require.
        public: The guards for which one of the apps around it is public.

    """

    prefix: str = ""
    guards: tuple[tuple[object, frozenset[tuple[str, str]], str], ...] = ()
    requirements: tuple[Requirement, ...] = ()
    public: frozenset[object] = frozenset()

    def within(self, app: Any, prefix: str = "", *, mounted: bool = False) -> _Around:
        """Return the surroundings of the routes in *app*, which is mounted at *prefix* below the current path."""
        around = self._replace(prefix=self.prefix + prefix)
        for each in chain_of(app):
            if is_guard_middleware(type(each)):
                around = around._replace(guards=(*around.guards, (each.guard, each.public_paths, around.prefix)))
            marks = marks_of(each)
            around = around._replace(
                requirements=around.requirements + marks.requirements,
                # A guard installed inside this app is not a guard in front of it.
                public=around.public | marks.public if mounted or each is not app else around.public,
            )
            for installed in installed_on(each):
                around = around._replace(
                    guards=(*around.guards, (installed.guard, installed.public_paths, around.prefix))
                )
        return around


def census(app: object) -> Iterator[RouteEntry]:
    """
    Yield an entry for each method of each route that *app* leads to, in the order of the routes.

    Follows mounts, hosts, FastAPI's included routers, class endpoints and apps within apps. An app whose routes cannot
    be inspected is one opaque entry.
    """
    found = list(_walk(app, _Around().within(app)))
    used = {id(each) for _, handler in found for each in within(handler)}
    for entry, handler in found:
        yield _with_misplaced(entry, handler, used)


def _walk(app: Any, around: _Around) -> Iterator[tuple[RouteEntry, Any]]:
    routes = routes_of(app)
    if routes is None:
        yield _entry(ANY, "" if around.prefix else "/", app, around, marks=marks_of(None), opaque=True)
        return
    for route in flattened(routes):
        actual = actual_route(route)
        if isinstance(actual, Mount):
            yield from _walk(app_of(actual), around.within(actual.app, actual.path, mounted=True))
        elif isinstance(actual, Host):
            inside = around.within(actual.app, mounted=True)
            # An inner host replaces the host of an outer `Host` route.
            path = inside.prefix[len(inside.prefix.partition("/")[0]) :]
            yield from _walk(app_of(actual), inside._replace(prefix=actual.host + path))
        else:
            yield from _entries(route, actual, around)
    for group, path, files in frontends(app):
        yield _entry(ANY, path, files, around, marks=marks_of(None), route=group, opaque=True)


def _entries(route: Any, actual: BaseRoute, around: _Around) -> Iterator[tuple[RouteEntry, Any]]:
    # FastAPI 0.137 sets the endpoint only for its own routes.
    endpoint = getattr(route, "endpoint", None) or getattr(actual, "endpoint", actual)
    path = getattr(route, "path_format", None) or getattr(actual, "path_format", None)
    if path is None:
        # The app's own route class: only its existence is known.
        yield _entry(ANY, "/{?}", actual, around, marks=marks_of(None), opaque=True)
    elif isinstance(actual, WebSocketRoute):
        opaque = _is_opaque(endpoint, WebSocketEndpoint)
        yield _entry(WEBSOCKET, path, endpoint, around, marks=endpoint_marks(endpoint, ""), route=route, opaque=opaque)
    elif inspect.isclass(endpoint) and issubclass(endpoint, HTTPEndpoint):
        for method in _METHODS:
            handler = getattr(endpoint, method.lower(), None)
            if handler is not None and (route.methods is None or method in route.methods):
                yield _entry(method, path, handler, around, marks=endpoint_marks(endpoint, method), route=route)
    else:
        methods = set(getattr(route, "methods", None) or {ANY})
        if not is_api_route(actual) and "GET" in methods:
            # Starlette answers HEAD on a GET route, FastAPI does not.
            methods.discard("HEAD")
        opaque = _is_opaque(endpoint, HTTPEndpoint)
        for method in sorted(methods):
            yield _entry(method, path, endpoint, around, marks=marks_of(endpoint), route=route, opaque=opaque)


def _entry(
    method: str,
    path: str,
    handler: Any,
    around: _Around,
    *,
    marks: Marks,
    route: Any = None,
    opaque: bool = False,
) -> tuple[RouteEntry, Any]:
    requirements = tuple(dict.fromkeys([*around.requirements, *requirements_of(route), *marks.requirements]))
    whole = around.prefix + path
    guards = [guard for guard, _, _ in around.guards]
    marked = marks.public | around.public
    by_path = {guard for guard, paths, prefix in around.guards if (method, whole.removeprefix(prefix)) in paths}
    entry = RouteEntry(
        method=method,
        path=whole,
        handler=_location(handler),
        summary=next(iter((inspect.getdoc(handler) or "").splitlines()), "") if not opaque else "",
        requirements=requirements,
        public=not requirements and bool(guards) and (marked | by_path).issuperset(guards),
        guarded=bool(guards) and all(each.guard in guards for each in requirements),
        opaque=opaque,
        faults=tuple(misuse_of(route, handler)),
        remarks=(_PUBLIC_AND_REQUIRED,) if marks.public and requirements else (),
        built_in=is_documentation(handler),
    )
    return entry, handler


def _with_misplaced(entry: RouteEntry, handler: Any, used: set[int]) -> RouteEntry:
    """Return *entry*, with a note about each decorator of its handler whose result no route uses."""
    unused = [] if _is_what_its_name_says(handler) else [each for each in results_of(handler) if id(each) not in used]
    if any(marks_of(each).requirements for each in unused):
        entry = replace(entry, faults=(*entry.faults, _MISPLACED))
    if any(marks_of(each).public for each in unused):
        entry = replace(entry, remarks=(*entry.remarks, _PUBLIC_ABOVE))
    return entry


def _is_what_its_name_says(handler: Any) -> bool:
    # A decorator below the route decorator replaces the handler's name in its module. If the name still means the
    # handler itself, the decorated copy is for another route, maybe of another app.
    found: Any = sys.modules.get(getattr(handler, "__module__", ""))
    for name in getattr(handler, "__qualname__", "").split("."):
        found = getattr(found, name, None)
    return found is getattr(handler, "__func__", handler)


def _is_opaque(endpoint: Any, endpoint_class: type[Any]) -> bool:
    endpoint = innermost(endpoint)
    if inspect.isclass(endpoint):
        return not issubclass(endpoint, endpoint_class)
    # Starlette treats any other callable as an ASGI app.
    return not inspect.isroutine(endpoint)


def _location(handler: Callable[..., Any]) -> str:
    handler = innermost(handler)
    named = handler if hasattr(handler, "__qualname__") else type(handler)
    return f"{named.__module__}:{named.__qualname__}"
