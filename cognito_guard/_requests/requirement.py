"""The requirement of a route: one object that decorates handlers, wraps apps and is a FastAPI dependency."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, overload

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard._fastapi import dependencies_of, dependency_signature
from cognito_guard._principal import Principal
from cognito_guard._requests.conditions import ANY_TOKEN, Condition, Granted
from cognito_guard._requests.internals import HasInternals
from cognito_guard._requests.marks import innermost, mark_required, marks_of, name_of
from cognito_guard._requests.state import SCOPE_KEY, RequestState, current_scope, latest_state, state_of
from cognito_guard.errors import ConfigurationError, InsufficientScopeError, NotInstalledError, RefusalError

P = ParamSpec("P")
R = TypeVar("R")
Endpoint = TypeVar("Endpoint", bound=type[HTTPEndpoint] | type[WebSocketEndpoint])

_log: Final = logging.getLogger("cognito_guard")


@dataclass(frozen=True, slots=True)
class Requirement:
    """
    What a caller needs. `CognitoGuard.require` and similar methods make it.

    As a decorator it goes below the route decorator, on a function, an endpoint class or one of its methods. The
    handler's own code then never runs for a caller that does not meet it, no matter what calls the handler. As a
    dependency (`Depends(requirement)`) it returns the `Principal`. Equal requirements of one guard compare equal, so
    that `app.dependency_overrides` finds them.

    Attributes:
        guard: The guard that must have let the request in.
        condition: The condition that the caller must meet.

    """

    guard: HasInternals
    condition: Condition = ANY_TOKEN

    @overload
    def __call__(self, handler: Endpoint, /) -> Endpoint: ...
    @overload
    def __call__(self, handler: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def __call__(self, /, *, conn: HTTPConnection) -> Awaitable[Principal]: ...
    def __call__(
        self, handler: object = None, /, *, conn: HTTPConnection | None = None, security_scopes: Any = None
    ) -> object:
        """Return the guarded *handler*. As a dependency, judge *conn* at once, not only when the result is awaited."""
        if conn is not None:
            principal = self.judge(conn.scope)
            if security_scopes is not None and security_scopes.scopes:
                self.with_scopes(frozenset(security_scopes.scopes)).judge(conn.scope)
            return _ready(principal)
        return _guarded(handler, self)

    @property
    def __wrapped__(self) -> Callable[..., Awaitable[Principal]]:
        # From this, FastAPI learns that the dependency need not run in a thread.
        return self._as_dependency

    @property
    def __signature__(self) -> inspect.Signature:
        return dependency_signature()

    async def _as_dependency(self, *, conn: HTTPConnection) -> Principal:
        return self.judge(conn.scope)

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """Return *app*, any ASGI app, guarded as a whole, to mount it. Its routes stay visible."""
        return GuardedApp(app, self)

    def is_met_by(self, principal: Principal | None, conn: HTTPConnection | None = None) -> bool:
        """
        Return whether *principal* meets the requirement; False for None. Refuses nothing.

        Args:
            principal: The caller, such as `guard.principal(request)` returns.
            conn: The request, for conditions that need it.

        """
        return principal is not None and self.condition.is_met_by(principal, conn)

    def judge(self, scope: Scope) -> Principal:
        """
        Return the caller of the request with *scope*, which meets the requirement.

        Raises:
            InsufficientScopeError: The caller does not meet it.
            RefusalError: There is no caller. The error says what was wrong with the token, if there was one.
            NotInstalledError: The request did not pass the guard.

        """
        state = state_of(scope, self.guard)
        principal = state.principal
        condition = self.condition
        conn = HTTPConnection(scope) if condition.needs_request else None
        if principal is None or not condition.is_met_by(principal, conn):
            raise state.refuse(self._refusal(state), scope)
        return principal

    def _refusal(self, state: RequestState) -> RefusalError:
        if state.stranger is not None:
            return state.stranger.because
        names = self.condition.names if isinstance(self.condition, Granted) else ()
        return InsufficientScopeError(self.condition.reason, tuple(sorted(names)), str(self.condition))

    def with_scopes(self, scopes: frozenset[str]) -> Requirement:
        """Return a requirement of the same guard: the token grants all of *scopes*."""
        return Requirement(self.guard, Granted(frozenset({scopes})))

    def __str__(self) -> str:
        return str(self.condition)


class GuardedApp:
    """
    An ASGI app that serves only callers that meet *requirement*.

    Attributes:
        app: The app.
        requirement: The requirement.

    """

    def __init__(self, app: ASGIApp, requirement: Requirement) -> None:
        self.app: Final = app
        self.requirement: Final = requirement
        self.__wrapped__: Final = app
        mark_required(self, app, requirement)

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The routes of the app, for `url_for`."""
        routes: Sequence[BaseRoute] = getattr(self.app, "routes", [])
        return routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] in {"http", "websocket"}:
            admit(self.requirement, scope)
        await self.app(scope, receive, send)


def admit(requirement: Requirement, scope: Scope) -> None:
    """
    Raise unless the caller of the request with *scope* meets *requirement*, or the app overrides it.

    Raises:
        RefusalError: The caller does not meet it; see `Requirement.judge`.

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
        requirement.judge(scope)


def requirements_of(route: object, overrides: Container[Any] = ()) -> list[Requirement]:
    """Return the requirements that a FastAPI *route* and its routers have as dependencies."""
    requirements: list[Requirement] = []
    for call, scopes in dependencies_of(route, overrides):
        if isinstance(call, Requirement):
            requirements.append(call)
            if scopes:
                requirements.append(call.with_scopes(scopes))
        else:
            requirements += marks_of(call).requirements
    return requirements


async def _ready(principal: Principal) -> Principal:
    return principal


def _guarded(handler: Any, requirement: Requirement) -> Callable[..., Any]:
    if isinstance(handler, staticmethod | classmethod):
        method: Any = type(handler)(_guarded(handler.__func__, requirement))
        return method  # type: ignore[no-any-return]
    _check_handler(handler, requirement)
    if inspect.isclass(handler):
        handler.dispatch = _guarded(handler.dispatch, requirement)  # type: ignore[attr-defined]
        mark_required(handler, handler, requirement)
        return handler

    async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
        _admit_call(requirement, handler, args, kwargs)
        return await handler(*args, **kwargs)

    # Also for generators: FastAPI streams them, and needs the generator itself.
    def guarded_function(*args: Any, **kwargs: Any) -> Any:
        _admit_call(requirement, handler, args, kwargs)
        return handler(*args, **kwargs)

    guarded: Any = guarded_coroutine if _is_coroutine_function(handler) else guarded_function
    functools.update_wrapper(guarded, handler)
    guarded.__name__ = name_of(handler)
    mark_required(guarded, handler, requirement)
    result: Callable[..., Any] = guarded
    return result


def _check_handler(handler: Any, requirement: Requirement) -> None:
    if handler is None:
        raise ConfigurationError(
            f"the requirement {requirement} was called without a handler; leave out the parentheses: write "
            "@guard.authenticated, or Depends(guard.authenticated)"
        )
    if not callable(handler):
        raise ConfigurationError(
            f"{requirement} decorates a handler, such as @guard.require('orders/order.read') or @guard.authenticated "
            f"above an async def; got {handler!r}"
        )
    if _is_asgi_app(handler):
        raise ConfigurationError(
            f"{requirement} decorates handlers, and {handler!r} is an app or a router. Guard an app by "
            "requirement.wrap(app), and an APIRouter by APIRouter(dependencies=[Depends(requirement)])"
        )
    if marks_of(handler).public:
        raise ConfigurationError(
            f"{name_of(handler)} cannot be public and have a requirement; remove one of the decorators"
        )
    if inspect.isclass(handler) and not issubclass(handler, HTTPEndpoint | WebSocketEndpoint):
        raise ConfigurationError(f"{name_of(handler)} is not an endpoint class; guard a function or a method")


def _is_asgi_app(handler: Any) -> bool:
    if hasattr(handler, "routes"):
        return True
    if inspect.isclass(handler) or inspect.isroutine(handler) or isinstance(handler, functools.partial):
        return False
    parameters = inspect.signature(handler).parameters
    return list(parameters) == ["scope", "receive", "send"]


def _is_coroutine_function(handler: Any) -> bool:
    handler = innermost(handler)
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def _admit_call(requirement: Requirement, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
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
