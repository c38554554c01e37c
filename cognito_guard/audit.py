"""
Which routes of an app are open to whom, and which of them nobody thought about.

    audit.routes(app)           every route, with what it requires
    audit.findings(app)         what is wrong with some of them
    audit.assert_guarded(app)   the same, as one line of a test
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches

from cognito_guard._routes.census import RouteEntry, census

__all__ = ["Finding", "RouteEntry", "assert_guarded", "findings", "routes"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a route that can not be meant, or that somebody should say."""

    route: RouteEntry
    problem: str

    def __str__(self) -> str:
        return f"{self.route.method} {self.route.path} ({self.route.handler}): {self.problem}"


def routes(app: object) -> list[RouteEntry]:
    """Return every route of *app*, and of what is mounted in it, with what it requires."""
    return list(census(app))


def findings(app: object, *, opaque: Collection[str] = (), scopes: Collection[str] | None = None) -> list[Finding]:
    """
    Return what is wrong with the routes of *app*.

    That is: no guard in front; a requirement of a guard that is not installed, or one that stands above the route
    decorator; nothing said at the route itself, so that any valid token will do; an app that can not be looked into.

    Args:
        app: The app, with its guard installed.
        opaque: Paths of apps that need not be looked into, such as static files.
        scopes: The scopes that exist; others are taken for misspelt. None: any scope may.

    """
    return [
        Finding(route, problem)
        for route in census(app)
        for problem in _problems(route, frozenset(opaque), None if scopes is None else frozenset(scopes))
    ]


def assert_guarded(app: object, *, opaque: Collection[str] = (), scopes: Collection[str] | None = None) -> None:
    """
    Pass if `findings` finds nothing; made for a test: `assert_guarded(app)`.

    Raises:
        AssertionError: It does; the message lists it.

    """
    found = findings(app, opaque=opaque, scopes=scopes)
    if found:
        raise AssertionError("\n".join(["routes that nobody guards as they should:", *map(str, found)]))


def _problems(route: RouteEntry, opaque: frozenset[str], scopes: frozenset[str] | None) -> list[str]:
    problems = []
    if route.misplaced:
        problems.append(
            "a requirement was put around the handler, but not for this route; put it below the route decorator"
        )
    if not route.guarded:
        problems.append(
            "requires a guard that is not installed, and so refuses everybody"
            if route.requirements
            else "no guard stands in front of it; call guard.install(app)"
        )
    elif not route.requirements and not route.public and not route.built_in:
        if not route.opaque:
            problems.append(
                "says nothing of its own, so any valid token will do; "
                "say guard.require(...), guard.authenticated or guard.public"
            )
        elif route.path not in opaque:
            problems.append("can not be looked into; allow it by its path if any valid token may reach it")
    if scopes is not None:
        for scope in sorted(route.scopes - scopes):
            meant = "".join(f"; is it {close!r}?" for close in get_close_matches(scope, scopes, 1))
            problems.append(f"requires {scope!r}, which does not exist{meant}")
    return problems
