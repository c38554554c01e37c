"""
Lists what each route of an app requires, and which routes are not guarded as written.

    audit.routes(app)           every route, with what it requires
    audit.findings(app)         what is wrong with some of them, and middleware that may answer before the guard
    audit.assert_guarded(app)   the same, as one line of a test
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from starlette.routing import compile_path

from cognito_guard._routes.census import RouteEntry, census
from cognito_guard._rules.installed import installed_on, middleware_of

__all__ = ["Finding", "RouteEntry", "assert_guarded", "findings", "routes"]


@dataclass(frozen=True, slots=True)
class Finding:
    """
    Something that is wrong with a route or with the app, or that should be said and is not.

    Attributes:
        route: The route, or None if the finding is about the app.
        problem: What is wrong, and what to do.
        stops: Whether the route is weaker than it is written. If so, the app does not start.

    """

    route: RouteEntry | None
    problem: str
    stops: bool = False

    def __str__(self) -> str:
        if self.route is None:
            return self.problem
        return f"{self.route.method} {self.route.path} ({self.route.handler}): {self.problem}"


def routes(app: object) -> list[RouteEntry]:
    """Return every route of *app*, and of what is mounted in it, with what it requires."""
    return list(census(app))


def findings(app: object, *, opaque: Collection[str] = (), scopes: Collection[str] | None = None) -> list[Finding]:
    """
    Return what is wrong with the routes of *app*. Findings that stop the app come first.

    Findings are: a route that is weaker than it is written; no guard in front of a route; a requirement of a guard that
    is not installed; a route that says nothing itself, so any valid token is accepted; an app whose routes cannot be
    inspected; middleware outside of the guard that may answer callers without a token.

    Args:
        app: The app, with its guard installed.
        opaque: Paths of apps whose routes need not be inspected, such as static files.
        scopes: The scopes that exist; any other scope is a finding. None: scopes are not checked.

    """
    known = None if scopes is None else frozenset(scopes)
    found = [finding for route in census(app) for finding in _about(route, frozenset(opaque), known)]
    found += [Finding(None, problem) for problem in (*_in_front(app), *_nowhere(app))]
    return sorted(found, key=lambda finding: not finding.stops)


def assert_guarded(app: object, *, opaque: Collection[str] = (), scopes: Collection[str] | None = None) -> None:
    """
    Raise if `findings` finds anything. Made for a test: `assert_guarded(app)`.

    Raises:
        AssertionError: Something was found; the message lists it.

    """
    found = findings(app, opaque=opaque, scopes=scopes)
    if found:
        raise AssertionError("\n".join(["Unguarded or wrongly guarded routes:", *map(str, found)]))


def _about(route: RouteEntry, opaque: frozenset[str], scopes: frozenset[str] | None) -> Iterator[Finding]:
    for fault in route.faults:
        yield Finding(route, fault, stops=True)
    for problem in (*route.remarks, *_problems(route, opaque, scopes)):
        yield Finding(route, problem)


def _problems(route: RouteEntry, opaque: frozenset[str], scopes: frozenset[str] | None) -> Iterator[str]:
    if not route.guarded:
        yield (
            "requires a guard that is not installed, so everyone is refused; call guard.install(app) on this very "
            "app, or write the requirement with the guard that is installed"
            if route.requirements
            else "no guard stands in front of it; call guard.install(app)"
        )
    elif not route.requirements and not route.public and not route.built_in:
        if not route.opaque:
            yield (
                "has no requirement of its own, so any valid token is accepted; "
                "write guard.require(...), guard.authenticated or guard.public"
            )
        elif route.path not in opaque:
            yield "its routes cannot be inspected; allow it by its path if any valid token may reach it"
    if scopes is not None:
        for scope in sorted(route.scopes - scopes):
            meant = "".join(f"; is it {close!r}?" for close in get_close_matches(scope, scopes, 1))
            yield f"requires {scope!r}, which does not exist{meant}"


def _nowhere(app: object) -> Iterator[str]:
    """Yield what is wrong with the public paths of an app's guards, such as paths that no route has."""
    listed = list(census(app))
    for _, _, public_paths in installed_on(app):
        for method, path in sorted(public_paths):
            other = path.rstrip("/") if path.endswith("/") else f"{path}/"
            if (method, other) in public_paths:
                continue
            if any(route.opaque and route.path == path != "/" for route in listed):
                yield f"public path {method} {path}: the app mounted there is at {other}; add ('{method}', '{other}')"
            elif not any(_leads_to(route, path) for route in listed):
                meant = f"; write ('{method}', '{other}')" if any(_leads_to(each, other) for each in listed) else ""
                yield f"public path {method} {path}: no route has this path, so it opens nothing{meant}"


def _leads_to(route: RouteEntry, path: str) -> bool:
    # A mounted app that cannot be inspected may have any path below its own. So may a route behind a host.
    if route.opaque:
        return path.startswith(route.path.rstrip("/"))
    return not route.path.startswith("/") or compile_path(route.path)[0].fullmatch(path) is not None


def _in_front(app: object) -> Iterator[str]:
    installed = installed_on(app)
    if installed:
        for entry in middleware_of(app)[: installed[0].place]:
            cls: Any = entry.cls
            module = getattr(cls, "__module__", "")
            if not module.startswith("starlette.") or getattr(cls, "__name__", "") == "BaseHTTPMiddleware":
                name = getattr(cls, "__qualname__", repr(cls))
                yield (
                    f"{module}:{name} stands outside of the guard and may answer callers without a token; "
                    "guard.install(app, outermost=True) puts the guard in front of it"
                )
