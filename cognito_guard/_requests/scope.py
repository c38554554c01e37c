"""
The scope of a request behind a guard: a dict that notices when a router has chosen a route.

Starlette's and FastAPI's routers all call `scope.update({"endpoint": ...})` between choosing a route and running
anything of it. That is where a request is let in or refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn, Self

from starlette.types import Scope

from cognito_guard._fastapi import chosen_route, dependencies_of, is_frontend
from cognito_guard._requests.lookup import routes_of
from cognito_guard._requests.marks import endpoint_marks, innermost, marks_of
from cognito_guard._requests.requirement import Requirement, admit
from cognito_guard._requests.state import Stranger, place_of, states_of

_NOTHING: Final[Mapping[Any, Any]] = {}


class GuardedScope(dict[str, Any]):
    """
    A copy of *outer*; each choice of a route is shown to *outer* as well, and judged.

    Middleware outside of a guard reads `scope["route"]` and the like when the response passes.
    """

    __slots__ = ("_outer",)

    def __init__(self, outer: Scope) -> None:
        super().__init__(members_of(outer))
        self._outer = outer

    def update(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:  # type: ignore[override]
        """Add to the scope; judge, if that names an endpoint."""
        added = other if type(other) is dict and not more else dict(other, **more)
        dict.update(self, added)
        if "endpoint" in added:
            self._show(added)
            _judge(self, added)
        elif not added and is_frontend(self):
            _judge(self, {"endpoint": None})

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    def _show(self, added: Mapping[str, Any]) -> None:
        outer = self._outer
        dict.update(outer, added)
        # Starlette puts it here by itself, before the rest.
        if "route" in self:
            dict.update(outer, route=self["route"])
        if isinstance(outer, GuardedScope):
            outer._show(added)  # noqa: SLF001 - of the same class


def _sealed(self: SealedScope, *_: Any, **__: Any) -> NoReturn:
    for state in states_of(self):
        if state.stranger is not None and not state.stranger.arrived:
            raise state.refuse(state.stranger.because, self)
    raise AssertionError


class SealedScope(GuardedScope):
    """
    The scope of a stranger who has not arrived at something public yet. A copy would notice no choice: there is none.

    Overriding these makes CPython leave the short cuts by which `dict(scope)` and `{**scope}` copy.
    """

    __slots__ = ()

    __iter__ = __reversed__ = keys = values = items = pop = popitem = _sealed
    copy = __copy__ = __deepcopy__ = __reduce_ex__ = __or__ = __ror__ = _sealed

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key == "endpoint":
            _judge(self, {key: value})


def members_of(scope: Scope) -> Any:
    """Return what `dict` can make a copy of *scope* from, also of a sealed one."""
    return dict.items(scope) if type(scope) is SealedScope else scope


def is_open(scope: Scope) -> bool:
    """Return whether each guard that *scope* has passed knows a caller, or has seen a stranger arrive."""
    return all(state.stranger is None or state.stranger.arrived for state in states_of(scope))


def requirements_of(route: object, overrides: Mapping[Any, Any] = _NOTHING) -> list[Requirement]:
    """Return what a FastAPI *route* and its routers ask for as dependencies."""
    requirements: list[Requirement] = []
    for call, scopes in dependencies_of(route, overrides):
        if isinstance(call, Requirement):
            requirements.append(call)
            if scopes:
                requirements.append(call.with_scopes(scopes))
        else:
            requirements += marks_of(call).requirements
    return requirements


def _judge(scope: GuardedScope, child_scope: Mapping[str, Any]) -> None:
    marks = endpoint_marks(child_scope["endpoint"], scope.get("method", ""))
    for state in states_of(scope):
        stranger = state.stranger
        if stranger is not None and not _goes_on(stranger, scope, child_scope, is_public=state.guard in marks.public):
            raise state.refuse(stranger.because, scope)
    if "route" in child_scope:
        route = chosen_route(scope, child_scope["route"])
        for requirement in requirements_of(route, getattr(scope.get("app"), "dependency_overrides", _NOTHING)):
            admit(requirement, scope)
    for requirement in marks.requirements:
        admit(requirement, scope)
    if type(scope) is SealedScope and is_open(scope):
        scope.__class__ = GuardedScope  # type: ignore[assignment]


def _goes_on(stranger: Stranger, scope: Scope, child_scope: Mapping[str, Any], *, is_public: bool) -> bool:
    """Return whether a stranger may go on to what was chosen."""
    endpoint = child_scope["endpoint"]
    if is_public or stranger.mounts.get(id(endpoint), False):
        stranger.arrived = True
        # Below a public app everything is open; a public handler that hands the request on opens nothing else.
        stranger.open_below = stranger.open_below or _is_app(endpoint, child_scope)
        return True
    if stranger.open_path == place_of(scope):
        # On the way through a mount nothing is decided yet.
        stranger.arrived = stranger.arrived or "root_path" not in child_scope or routes_of(endpoint) is None
        return True
    return stranger.open_below or id(endpoint) in stranger.mounts


def _is_app(endpoint: Any, child_scope: Mapping[str, Any]) -> bool:
    """Return whether what was chosen is an ASGI app: that of a mount, or an object that Starlette takes for one."""
    handler = innermost(endpoint)
    return "root_path" in child_scope or not (
        "route" in child_scope or inspect.isroutine(handler) or inspect.isclass(handler)
    )
