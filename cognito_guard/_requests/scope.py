"""
The scope of a request behind a guard: a dict that notices when a router has chosen a route.

Starlette's and FastAPI's routers all call `scope.update({"endpoint": ...})` between choosing a route and running
anything of it. That is where a request is let in or refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, Self

from starlette.types import Scope

from cognito_guard._fastapi import chosen_frontends, chosen_route, is_frontend
from cognito_guard._requests.judgement import admit
from cognito_guard._requests.state import RequestState, Stranger, states_of
from cognito_guard._rules.lookup import members_of, place_of, routes_of
from cognito_guard._rules.marks import endpoint_marks, innermost, marks_of
from cognito_guard._rules.requirement import requirements_of


class GuardedScope(dict[str, Any]):
    """
    A copy of the scope *outer*. Each choice of a route is judged, and copied to *outer*.

    Middleware outside of a guard reads `scope["route"]` and the like when the response passes.
    """

    # `behind` sets these: a dict without its own __init__ is made in half the time.
    __slots__ = ("outer",)
    outer: Scope

    def update(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:  # type: ignore[override]
        """Add to the scope. If that names an endpoint, judge it."""
        added = other if type(other) is dict and not more else dict(other, **more)
        dict.update(self, added)
        if "endpoint" in added:
            outer: Any = self.outer
            while outer is not None:
                dict.update(outer, added)
                # Starlette sets this alone, before the rest.
                if "route" in self:
                    outer["route"] = self["route"]
                outer = outer.outer if isinstance(outer, GuardedScope) else None
            routes: Sequence[object] = (chosen_route(self, added["route"]),) if "route" in added else ()
        elif not added and is_frontend(self):
            routes = chosen_frontends(self)
        else:
            return
        endpoint = added.get("endpoint")
        marks = endpoint_marks(endpoint, self.get("method", "")) if isinstance(endpoint, type) else marks_of(endpoint)
        has_strangers = type(self) is not GuardedScope
        if has_strangers:
            _judge_strangers(self, added, marks.public)
        for route in routes:
            for requirement in requirements_of(route, getattr(self.get("app"), "dependency_overrides", ())):
                admit(requirement, self)
        for requirement in marks.requirements:
            admit(requirement, self)
        if has_strangers and _have_arrived(states_of(self)):
            self.__class__ = StrangerScope

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self


class StrangerScope(GuardedScope):
    """The scope of a stranger, or of a request that was a stranger's when it passed an outer guard."""

    __slots__ = ()


def _sealed(self: SealedScope, *_: Any, **__: Any) -> NoReturn:
    for state in states_of(self):
        if state.stranger is not None and not state.stranger.arrived:
            raise state.refuse(state.stranger.because, self)
    raise AssertionError


class SealedScope(StrangerScope):
    """
    The scope of a stranger that has not arrived at a public route or app yet.

    It cannot be copied, because a copy would not notice the choice of a route. These methods must be overridden:
    otherwise `dict(scope)` and `{**scope}` copy a dict in CPython without calling any of them.
    """

    __slots__ = ()

    __iter__ = __reversed__ = keys = values = items = pop = popitem = _sealed
    copy = __copy__ = __deepcopy__ = __reduce_ex__ = __or__ = __ror__ = _sealed

    def __setitem__(self, key: str, value: Any) -> None:
        if key == "endpoint":
            self.update({key: value})
        else:
            super().__setitem__(key, value)


def behind(scope: Scope, states: tuple[RequestState, ...]) -> GuardedScope:
    """Return a scope with *states*, without its `outer`. It is sealed while a stranger among them has not arrived."""
    if all(state.stranger is None for state in states):
        return GuardedScope(scope)
    return (StrangerScope if _have_arrived(states) else SealedScope)(members_of(scope))


def _have_arrived(states: Iterable[RequestState]) -> bool:
    return all(state.stranger is None or state.stranger.arrived for state in states)


def _judge_strangers(scope: GuardedScope, child_scope: Mapping[str, Any], public: frozenset[object]) -> None:
    """Raise unless each stranger may continue to the chosen route or app, which is *public* for these guards."""
    for state in states_of(scope):
        stranger = state.stranger
        if stranger is not None and not _goes_on(stranger, scope, child_scope, is_public=state.guard in public):
            raise state.refuse(stranger.because, scope)


def _goes_on(stranger: Stranger, scope: Scope, child_scope: Mapping[str, Any], *, is_public: bool) -> bool:
    """Return whether a stranger may continue to the chosen route or app."""
    endpoint = child_scope.get("endpoint")
    if is_public or stranger.way.mounts.get(id(endpoint), False):
        stranger.arrived = True
        # Below a public app everything is open. A public handler that passes the request on opens nothing else.
        stranger.open_below = stranger.open_below or _is_app(endpoint, child_scope)
        return True
    if stranger.way.open_path == place_of(scope):
        # On the way through a mount, nothing is decided yet.
        stranger.arrived = stranger.arrived or "root_path" not in child_scope or routes_of(endpoint) is None
        return True
    return stranger.open_below or id(endpoint) in stranger.way.mounts


def _is_app(endpoint: Any, child_scope: Mapping[str, Any]) -> bool:
    """Return whether the chosen endpoint is an ASGI app: of a mount, or an object that Starlette treats as an app."""
    handler = innermost(endpoint)
    return "root_path" in child_scope or not (
        "route" in child_scope or inspect.isroutine(handler) or inspect.isclass(handler)
    )
