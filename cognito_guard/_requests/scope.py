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

from cognito_guard._fastapi import chosen_route, dependencies_of
from cognito_guard._requests.marks import Marks, endpoint_marks, innermost
from cognito_guard._requests.requirement import Requirement, admit
from cognito_guard._requests.state import RequestState, place_of, states_of

_NOTHING: Final[Mapping[Any, Any]] = {}


class GuardedScope(dict[str, Any]):
    """
    A copy of *outer*; each choice of a route is judged, and shown to *outer* as well.

    Middleware outside of a guard reads `scope["route"]` and the like when the response passes.
    """

    __slots__ = ("_outer",)

    def __init__(self, outer: Scope) -> None:
        super().__init__(members_of(outer))
        self._outer = outer

    def members(self) -> Any:
        """Return what `dict` and `dict.update` can make a copy of."""
        return self

    def update(self, other: Mapping[str, Any] | Iterable[tuple[str, Any]] = (), /, **more: Any) -> None:  # type: ignore[override]
        """Add to the scope; judge, if that names an endpoint."""
        added = other if type(other) is dict and not more else dict(other, **more)
        dict.update(self, added)
        if "endpoint" in added:
            self.show()
            _judge(self, added)

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    def show(self) -> None:
        """Show the outer scope what has become of this one."""
        outer = self._outer
        dict.update(outer, self.members())
        if isinstance(outer, GuardedScope):
            outer.show()


def _sealed(self: SealedScope, *_: Any, **__: Any) -> NoReturn:
    raise next(
        state.refuse(state.anonymous_because, self)
        for state in states_of(self)
        if not state.decided and state.anonymous_because is not None
    )


class SealedScope(GuardedScope):
    """
    The scope of a stranger who has not arrived at a public route yet. Copies of it would notice no choice: it has none.

    Overriding these makes CPython leave the short cuts by which `dict(scope)` and `{**scope}` copy.
    """

    __slots__ = ()

    __iter__ = keys = values = items = copy = __copy__ = __deepcopy__ = __reduce_ex__ = __or__ = __ror__ = _sealed

    def members(self) -> Any:
        """Return what `dict` and `dict.update` can make a copy of."""
        return dict.items(self)

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        if key == "endpoint":
            _judge(self, {key: value})


def members_of(scope: Scope) -> Any:
    """Return what `dict` can make a copy of *scope* from, also of a sealed one."""
    return scope.members() if isinstance(scope, GuardedScope) else scope


def is_decided(scope: Scope) -> bool:
    """Return whether each guard that *scope* has passed knows a caller, or has seen a stranger arrive."""
    return all(state.decided for state in states_of(scope))


def requirements_of(route: object, marks: Marks, overrides: Mapping[Any, Any] = _NOTHING) -> list[Requirement]:
    """Return what a route and its routers ask for as dependencies, and what *marks* of its handler ask for."""
    requirements: list[Requirement] = []
    for call, scopes in dependencies_of(route, overrides):
        if isinstance(call, Requirement):
            requirements.append(call)
            if scopes:
                requirements.append(call.with_scopes(scopes))
    requirements += marks.requirements
    return requirements


def _judge(scope: GuardedScope, child_scope: Mapping[str, Any]) -> None:
    endpoint = child_scope["endpoint"]
    marks = endpoint_marks(endpoint, scope.get("method", ""))
    overrides = getattr(scope.get("app"), "dependency_overrides", _NOTHING)
    requirements = requirements_of(chosen_route(scope, child_scope), marks, overrides)
    for state in states_of(scope):
        because = state.anonymous_because
        if because is not None and not _arrives(scope, child_scope, state, is_public=state.guard in marks.public):
            raise state.refuse(because, scope)
    for requirement in requirements:
        admit(requirement, scope)
    if type(scope) is SealedScope and is_decided(scope):
        scope.__class__ = GuardedScope  # type: ignore[assignment]


def _arrives(scope: Scope, child_scope: Mapping[str, Any], state: RequestState, *, is_public: bool) -> bool:
    """Return whether a stranger may go on to what was chosen."""
    endpoint = child_scope["endpoint"]
    if is_public or state.mounts.get(id(endpoint), False):
        state.decided = True
        # Below a public app everything is open; a public handler that hands the request on opens nothing else.
        state.open_below = state.open_below or "root_path" in child_scope or not _is_handler(endpoint)
        return True
    if state.open_path is not None:
        return state.open_path == place_of(scope)
    return state.open_below or id(endpoint) in state.mounts


def _is_handler(endpoint: Any) -> bool:
    endpoint = innermost(endpoint)
    return inspect.isroutine(endpoint) or inspect.isclass(endpoint)
