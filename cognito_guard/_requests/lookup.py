"""Where a request would go, found by asking the app's own routes: whether it is worth letting a stranger try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Router
from starlette.types import Scope

from cognito_guard._fastapi import actual_route, flattened, matches
from cognito_guard._requests.installed import chain_of, installed_on, middleware_of
from cognito_guard._requests.marks import endpoint_marks, marks_of

# Middleware that hands requests on to its .app, whatever else it does.
_FAITHFUL: Final = ("starlette.", "fastapi.", "cognito_guard.")


class Way(NamedTuple):
    """
    A way that a stranger may try.

    Attributes:
        mounts: The apps of the mounts and hosts on it, by `id`; True for one that is public as a whole.
        redirect: Where the app would redirect the request to, if that is what awaits it.

    """

    mounts: Mapping[int, bool]
    redirect: str | None = None


def route_path(scope: Scope) -> str:
    """Return the path of *scope* within its app, without `root_path`, as Starlette's router sees it."""
    path: str = scope["path"]
    root_path: str = scope.get("root_path", "")
    if root_path and (path == root_path or path.startswith(root_path + "/")):
        return path[len(root_path) :]
    return path


def public_way(app: object, scope: Scope, guard: object, mounts: Mapping[int, bool] | None = None) -> Way | None:
    """
    Return the way to the public route that *app* would give this request to, or None if there is none.

    Follows mounts, hosts and FastAPI's included routers, in the router's own order. Costs some microseconds for each
    route passed over.
    """
    mounts = mounts or {}
    if guard in marks_of(app).public:
        return Way(mounts)
    routes, root_path, redirects = _inside(app)
    if routes is None:
        return None
    if root_path:
        scope = {**scope, "root_path": root_path}
    found = _first_match(routes, scope)
    if found is not None:
        route, child_scope = found
        actual = actual_route(route)
        if isinstance(actual, Mount | Host):
            base = app_of(actual)
            on_the_way = {**mounts, id(child_scope.get("endpoint")): guard in marks_of(base).public}
            return public_way(base, {**scope, **child_scope}, guard, on_the_way)
        marks = endpoint_marks(child_scope.get("endpoint"), scope.get("method", ""))
        return Way(mounts) if guard in marks.public and not marks.requirements else None
    if redirects and scope["type"] == "http" and route_path(scope) != "/":
        path = scope["path"]
        other = {**scope, "path": path.rstrip("/") if path.endswith("/") else path + "/"}
        if _first_match(routes, other) and public_way(app, other, guard, mounts):
            return Way(mounts, str(URL(scope=other)))
    return None


def preflight_way(app: object, scope: Scope, place: int, mounts: Mapping[int, bool] | None = None) -> Way | None:
    """
    Return the way to a `CORSMiddleware` that would answer this preflight, or None if none would.

    Args:
        app: The app that the request is on its way to.
        scope: The request.
        place: From which of the app's own middleware on it is still ahead.
        mounts: As in `Way`: those passed so far.

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
    # The middleware of the mount itself first.
    if any(_answers_preflights(type(each)) for each in chain_of(actual.app)):
        return Way(on_the_way)
    return preflight_way(app_of(actual), {**scope, **child_scope}, 0, on_the_way)


def _answers_preflights(cls: Any) -> bool:
    # A subclass may hand them on.
    return getattr(cls, "__call__", None) is CORSMiddleware.__call__  # noqa: B004 - the very function


def place_in(app: object, guard: object) -> int | None:
    """Return from which of the middleware of *app* on it is behind *guard*, or None if that is not installed there."""
    return next((each.place + 1 for each in installed_on(app) if each.guard is guard), None)


def routes_of(app: object) -> Sequence[BaseRoute] | None:
    """Return the routes of *app*, also through middleware of Starlette around it, or None if it has none to look at."""
    return _inside(app)[0]


def app_of(route: Mount | Host) -> object:
    """Return the app that a mount or a host leads to, within the middleware that it puts around it."""
    base = getattr(route, "_base_app", None)
    # It stays where it was when somebody puts another app in its place.
    return base if any(each is base for each in chain_of(route.app)) else route.app


def _first_match(routes: Sequence[BaseRoute], scope: Scope) -> tuple[Any, Scope] | None:
    partial: tuple[Any, Scope] | None = None
    for route in flattened(routes):
        match, child_scope = matches(route, scope)
        if match is Match.FULL:
            return route, child_scope
        if match is Match.PARTIAL and partial is None:
            partial = route, child_scope
    return partial


def _inside(app: Any) -> tuple[Sequence[BaseRoute] | None, str, bool]:
    """Return the routes in *app*, the root path that it gives requests, and whether it redirects to mend slashes."""
    root_path = ""
    while not isinstance(app, Router):
        if isinstance(app, Starlette):
            root_path = getattr(app, "root_path", "") or root_path
            app = app.router
        elif isinstance(app, BaseRoute):
            # A route that is used as an app.
            return [app], root_path, False
        elif isinstance(app, BaseHTTPMiddleware) or type(app).__module__.startswith(_FAITHFUL):
            app = getattr(app, "app", None)
        else:
            # Many an object keeps an app in .app, and hands requests on to quite another.
            return None, "", False
    return app.routes, root_path, app.redirect_slashes
