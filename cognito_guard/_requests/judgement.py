"""
Decides whether the caller of a request meets a requirement.

Two places ask: the scope, when a router has chosen a route (`admit`), and each guarded handler, when it is called
(`admit_call`).
"""

from __future__ import annotations

import logging
from typing import Any, Final

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection
from starlette.types import Scope

from cognito_guard._principal import Principal
from cognito_guard._requests.state import SCOPE_KEY, RequestState, current_scope, latest_state, state_of
from cognito_guard._rules.conditions import Condition, Granted
from cognito_guard._rules.marks import name_of
from cognito_guard._rules.requirement import Judge, Requirement
from cognito_guard.errors import InsufficientScopeError, NotInstalledError, RefusalError

_log: Final = logging.getLogger("cognito_guard")


def judge(requirement: Requirement, scope: Scope) -> Principal:
    """
    Return the caller of the request with *scope*, who meets *requirement*.

    Raises:
        InsufficientScopeError: The caller does not meet it.
        RefusalError: There is no caller. The error says what was wrong with the token, if there was one.
        NotInstalledError: The request did not pass the guard.

    """
    state = state_of(scope, requirement.guard)
    principal, condition = state.principal, requirement.condition
    conn = HTTPConnection(scope) if condition.needs_request else None
    if principal is None or not condition.is_met_by(principal, conn):
        raise state.refuse(_refusal(state, condition), scope)
    return principal


def _refusal(state: RequestState, condition: Condition) -> RefusalError:
    if state.stranger is not None:
        return state.stranger.because
    names = condition.names if isinstance(condition, Granted) else ()
    return InsufficientScopeError(condition.reason, tuple(sorted(names)), str(condition))


def admit(requirement: Requirement, scope: Scope) -> None:
    """
    Raise unless the caller of the request with *scope* meets *requirement*, or the app overrides it.

    Raises:
        RefusalError: The caller does not meet it; see `judge`.

    """
    states, condition = scope.get(SCOPE_KEY, ()), requirement.condition
    # Nearly all requests take this fast path. All others are judged in full.
    if (
        states
        and (state := states[-1]).guard is requirement.guard
        and state.principal is not None
        and (state.headers is scope["headers"] or state.headers == scope["headers"])
        and not condition.needs_request
        and condition.is_met_by(state.principal, None)
    ):
        return
    overrides = getattr(scope.get("app"), "dependency_overrides", None)
    if not overrides or requirement not in overrides:
        judge(requirement, scope)


def admit_call(requirement: Requirement, handler: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """
    Raise unless the caller of the request that *handler* is called for with these arguments meets *requirement*.

    Raises:
        RefusalError: The caller does not meet it; see `judge`.

    """
    current, handed = current_scope.get(), _handed(args, kwargs)
    # Judge the request that is passed as an argument: an app that is called in process has its own requests. Also judge
    # the request that is served now: the other one may be over.
    if handed is not None and handed is not current:
        admit(requirement, handed)
        if current is None or latest_state(current, requirement.guard) is None:
            return
    if current is None:
        _log.error(
            "%s was called outside of a request that a guard let in, so its caller is not known; "
            "to test the handler itself, call its __wrapped__",
            name_of(handler),
        )
        raise NotInstalledError
    admit(requirement, current)


def _handed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Scope | None:
    for value in (*args, *kwargs.values()) if kwargs else args:
        # Not isinstance(): a connection is also an abstract Mapping, so that takes four times as long.
        if HTTPConnection in type(value).__mro__ or isinstance(value, HTTPEndpoint | WebSocketEndpoint):
            scope: Scope = value.scope
            return scope
    return None


JUDGE: Final = Judge(judge, admit, admit_call)
"""The judge of every guard."""
