"""Asks the app's own routes where a request would go, and whether a stranger may try it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final, NamedTuple

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Router
from starlette.types import Scope

from cognito_guard._fastapi import actual_route, flattened, matches, plain_routes
from cognito_guard._rules.installed import app_of, chain_of, installed_on, middleware_of
from cognito_guard._rules.marks import endpoint_marks, marks_of
from cognito_guard._rules.requirement import requirements_of

# Middleware that passes requests on to its .app.
_FAITHFUL: Final = ("starlette.", "fastapi.", "cognito_guard.")


class Way(NamedTuple):
    """
    The way of a request that a stranger may try.

    Attributes:
        mounts: The apps of the mounts and hosts on it, by `id`; True for one that is public as a whole.
        redirect: The path to which the app would redirect the request, if it would.
        is_open: Whether it leads through an app that is public as a whole.
        open_path: The place (see `place_of`) that `public_paths` opens.
        is_preflight: Whether the request is a CORS preflight.
        has_arrived: Whether the way ends here: no route is chosen below that could be public or not.

    """

    mounts: Mapping[int, bool]
    redirect: str | None = None
    is_open: bool = False
    open_path: tuple[str | None, str] | None = None
    is_preflight: bool = False
    has_arrived: bool = False


_START: Final = Way({})


def place_of(scope: Scope) -> tuple[str | None, str]:
    """Return the method of a request (None for a websocket), and its path."""
    return scope.get("method"), scope["path"]


def members_of(scope: Scope) -> Any:
    """Return the members of *scope*, also of a sealed one, so that `dict` can make a copy."""
    return dict.items(scope) if getattr(scope, "is_sealed", False) else scope  # type: ignore[arg-type]


def route_path(scope: Scope) -> str:
    """Return the path of *scope* in its app, without `root_path`, as Starlette's router sees it."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        return path[len(root_path) :]
    return path


def way_of(
    scope: Scope, app: object, guard: object, *, public_paths: Container[tuple[str, str]], has_public: bool
) -> Way | None:
    """
    Return the way that a stranger may try, or None. The route that is really chosen is judged again.

    Args:
        scope: The request, as it arrives at the guard.
        app: The app behind the guard.
        guard: The guard.
        public_paths: Pairs of method and path that are open.
        has_public: Whether anything is marked as public.

    """
    # Servers accept any method, even "WEBSOCKET".
    method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
    if (method, route_path(scope)) in public_paths and (method != "WEBSOCKET" or "method" not in scope):
        # If there are routes, the chosen route decides.
        return Way({}, open_path=place_of(scope), has_arrived=routes_of(_ahead(scope, app, guard)[0]) is None)
    if has_public and guard in marks_of(app).public:
        return Way({}, is_open=True, has_arrived=True)
    is_preflight = _is_preflight(scope)
    if not (is_preflight or has_public):
        return None
    # A copy, because FastAPI's routes write into the scope while matching.
    asked = dict(members_of(scope))
    try:
        start, place = _ahead(scope, app, guard)
        way = public_way(start, asked, guard)
        if way is not None and way.redirect is not None:
            # The target must be public from here on, not only within the app that redirects.
            target = public_way(start, asked | {"path": way.redirect}, guard)
            return None if target is None or target.redirect is not None else way
        way = preflight_way(start, asked, place) if way is None and is_preflight else way
    except Exception:  # noqa: BLE001 - of convertors and route classes of the app's own
        return None
    return way and way._replace(is_preflight=is_preflight)


def _ahead(scope: Scope, app: object, guard: object) -> tuple[object, int]:
    """Return the app whose routes are ahead, and the index of its first middleware that is ahead."""
    outer = scope.get("app")
    # The app's own middleware hides the routes behind it, but its place is known if Starlette added it.
    place = place_in(outer, guard) if routes_of(app) is None else None
    return (app, 0) if place is None else (outer, place)


def _is_preflight(scope: Scope) -> bool:
    if scope.get("method") != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names


def public_way(app: object, scope: Scope, guard: object, way: Way = _START) -> Way | None:
    """
    Return the way to the public route or app where *app* would send this request; None if it is not public.

    Follows mounts, hosts and FastAPI's included routers, in the router's own order. Costs some microseconds for each
    route passed over.
    """
    way = way._replace(is_open=way.is_open or guard in marks_of(app).public)
    routes, root_path, redirects = _inside(app)
    if root_path:
        scope = {**scope, "root_path": root_path}
    found = _first_match(routes or (), scope)
    if found is not None:
        return _way_by(found[0], {**scope, **found[1]}, guard, way)
    if redirects and scope["type"] == "http" and route_path(scope) != "/":
        path = scope["path"]
        other = {**scope, "path": path.rstrip("/") if path.endswith("/") else path + "/"}
        if _first_match(routes or (), other):
            # The middleware asks where that leads, from the outermost app on.
            return way._replace(redirect=other["path"])
    return way if way.is_open else None


def _way_by(route: Any, scope: Scope, guard: object, way: Way) -> Way | None:
    """Return the way through *route*, after its match was put into *scope*; None if it is not public."""
    actual, endpoint = actual_route(route), scope.get("endpoint")
    if isinstance(actual, Mount | Host):
        base = app_of(actual)
        if any(marks_of(each).requirements for each in chain_of(actual.app)):
            return None
        mounts = {**way.mounts, id(endpoint): guard in marks_of(base).public}
        return public_way(base, scope, guard, way._replace(mounts=mounts))
    marks = endpoint_marks(endpoint, scope.get("method", ""))
    if marks.requirements or requirements_of(route):
        return None
    return way if way.is_open or guard in marks.public else None


def preflight_way(app: object, scope: Scope, place: int, mounts: Mapping[int, bool] | None = None) -> Way | None:
    """
    Return the way to a `CORSMiddleware` that would answer this preflight; None if there is none.

    Args:
        app: The app that the request goes to.
        scope: The request.
        place: The index of the first middleware of the app that is still ahead.
        mounts: The mounts passed so far, as in `Way`.

    """
    mounts = mounts or {}
    ahead = [entry.cls for entry in middleware_of(app)[place:]] + [type(each) for each in chain_of(app)]
    if any(map(_answers_preflights, ahead)):
        return Way(mounts)
    routes, root_path, _ = _inside(app)
    if routes is None:
        return None
    if root_path:
        scope = {**scope, "root_path": root_path}
    found = _first_match(routes, scope)
    actual = None if found is None else actual_route(found[0])
    if found is None or not isinstance(actual, Mount | Host):
        return None
    child_scope = found[1]
    on_the_way = {**mounts, id(child_scope.get("endpoint")): False}
    # First the middleware of the mount itself.
    if any(_answers_preflights(type(each)) for each in chain_of(actual.app)):
        return Way(on_the_way)
    return preflight_way(app_of(actual), {**scope, **child_scope}, 0, on_the_way)


def _answers_preflights(cls: Any) -> bool:
    # Not a subclass: it may pass preflights on.
    return getattr(cls, "__call__", None) is CORSMiddleware.__call__  # noqa: B004 - the very function


def place_in(app: object, guard: object) -> int | None:
    """Return the index of the first middleware of *app* behind *guard*; None if *guard* is not installed there."""
    return next((each.place + 1 for each in installed_on(app) if each.guard is guard), None)


def routes_of(app: object) -> Sequence[BaseRoute] | None:
    """Return the routes of *app*, also if Starlette's middleware wraps it; None if they cannot be inspected."""
    return _inside(app)[0]


def _first_match(routes: Sequence[BaseRoute], scope: Scope) -> tuple[Any, Scope] | None:
    partial: tuple[Any, Scope] | None = None
    path, plain = route_path(scope), plain_routes(scope)
    # Most routes are skipped by their own first check. With many routes, this takes a tenth of the time.
    near = [route for route in routes if type(route) not in plain or route.path_regex.match(path)]  # type: ignore[attr-defined]
    for route in flattened(near):
        match, child_scope = matches(route, scope)
        if match is Match.FULL:
            return route, child_scope
        if match is Match.PARTIAL and partial is None:
            partial = route, child_scope
    return partial


def _inside(app: Any) -> tuple[Sequence[BaseRoute] | None, str, bool]:
    """Return the routes of *app*, the root path that it sets, and whether it redirects to add or remove a slash."""
    root_path = ""
    while not isinstance(app, Router):
        if isinstance(app, Starlette):
            root_path = getattr(app, "root_path", "") or root_path
            app = app.router
        elif isinstance(app, BaseRoute):
            # A route used as an app.
            return [app], root_path, False
        elif isinstance(app, BaseHTTPMiddleware) or type(app).__module__.startswith(_FAITHFUL):
            app = getattr(app, "app", None)
        else:
            # Other objects may have an app in .app, but pass requests on to another one.
            return None, "", False
    return app.routes, root_path, app.redirect_slashes
