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
from cognito_guard._requests.state import SCOPE_KEY, RequestState, Stranger, states_of
from cognito_guard._rules.lookup import members_of, place_of, routes_of
from cognito_guard._rules.marks import endpoint_marks, innermost, marks_of
from cognito_guard._rules.requirement import requirements_of


class GuardedScope(dict[str, Any]):
    """
    A copy of the scope *outer*. Each choice of a route is judged, and copied to *outer*.

    Middleware outside of a guard reads `scope["route"]` and the like when the response passes.
    """

    # `enter` sets it: a dict without its own __init__ is made in half the time.
    __slots__ = ("outer",)
    outer: Scope

    def update(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:  # type: ignore[override]
        """Add to the scope. If that names an endpoint, judge it."""
        added = other if type(other) is dict and not more else dict(other, **more)
        dict.update(self, added)
        if "endpoint" in added:
            outer: Any = self
            while isinstance(outer, GuardedScope):
                outer = outer.outer
                dict.update(outer, added)
                # Starlette sets this alone, before the rest.
                if "route" in self:
                    outer["route"] = self["route"]
            _judge(self, added)
        elif not added and is_frontend(self):
            _judge(self, {"endpoint": None}, chosen_frontends(self))

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self


def _sealed(self: SealedScope, *_: Any, **__: Any) -> NoReturn:
    for state in states_of(self):
        if state.stranger is not None and not state.stranger.arrived:
            raise state.refuse(state.stranger.because, self)
    raise AssertionError


class SealedScope(GuardedScope):
    """
    The scope of a stranger that has not arrived at a public route or app yet.

    It cannot be copied, because a copy would not notice the choice of a route. These methods must be overridden:
    otherwise `dict(scope)` and `{**scope}` copy a dict in CPython without calling any of them.
    """

    __slots__ = ()
    is_sealed = True

    __iter__ = __reversed__ = keys = values = items = pop = popitem = _sealed
    copy = __copy__ = __deepcopy__ = __reduce_ex__ = __or__ = __ror__ = _sealed

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key == "endpoint":
            _judge(self, {key: value})


def behind(scope: Scope, states: tuple[RequestState, ...]) -> GuardedScope:
    """Return a scope with *states*, without its `outer`. It is sealed while a stranger among them has not arrived."""
    is_sealed = any(state.stranger is not None and not state.stranger.arrived for state in states)
    return SealedScope(members_of(scope)) if is_sealed else GuardedScope(scope)


def _judge(scope: GuardedScope, child_scope: Mapping[str, Any], routes: Sequence[object] = ()) -> None:
    endpoint = child_scope["endpoint"]
    marks = endpoint_marks(endpoint, scope.get("method", "")) if isinstance(endpoint, type) else marks_of(endpoint)
    for state in scope[SCOPE_KEY]:
        stranger = state.stranger
        if stranger is not None and not _goes_on(stranger, scope, child_scope, is_public=state.guard in marks.public):
            raise state.refuse(stranger.because, scope)
    if "route" in child_scope:
        routes = (chosen_route(scope, child_scope["route"]),)
    for route in routes:
        for requirement in requirements_of(route, getattr(scope.get("app"), "dependency_overrides", ())):
            admit(requirement, scope)
    for requirement in marks.requirements:
        admit(requirement, scope)
    if type(scope) is SealedScope and all(not state.stranger or state.stranger.arrived for state in states_of(scope)):
        scope.__class__ = GuardedScope  # type: ignore[assignment]


def _goes_on(stranger: Stranger, scope: Scope, child_scope: Mapping[str, Any], *, is_public: bool) -> bool:
    """Return whether a stranger may continue to the chosen route or app."""
    endpoint = child_scope["endpoint"]
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
