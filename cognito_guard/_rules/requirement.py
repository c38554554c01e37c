"""The requirement of a route: one object that decorates handlers, wraps apps and is a FastAPI dependency."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple, ParamSpec, TypeVar, overload

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard._fastapi import dependencies_of, dependency_signature
from cognito_guard._principal import Principal
from cognito_guard._rules.conditions import ANY_TOKEN, Condition, Granted
from cognito_guard._rules.marks import innermost, mark_required, marks_of, name_of
from cognito_guard.errors import ConfigurationError

P = ParamSpec("P")
R = TypeVar("R")
Endpoint = TypeVar("Endpoint", bound=type[HTTPEndpoint] | type[WebSocketEndpoint])


class Judge(NamedTuple):
    """
    Decides whether the caller of a request meets a requirement. Rules know no requests, so each guard brings its judge.

    Attributes:
        judge: Returns the caller of the request with this scope, or raises `RefusalError`.
        admit: As `judge`, but the app may override the requirement.
        admit_call: As `admit`, for the request for which a handler is called with these arguments.

    """

    judge: Callable[[Requirement, Scope], Principal]
    admit: Callable[[Requirement, Scope], None]
    admit_call: Callable[[Requirement, object, tuple[Any, ...], dict[str, Any]], None]


class Guard:
    """Base of `CognitoGuard`: its judge, for its requirements, and its other parts, which rules do not know."""

    # Of the class, so that a subclass can decorate before it is ready. The name is long, so that no subclass uses it.
    _cognito_guard_judge: ClassVar[Judge]

    def __init__(self, internals: object) -> None:
        self._internals: Any = internals


def judge_of(guard: Guard) -> Judge:
    """
    Return the judge of *guard*.

    Raises:
        ConfigurationError: It is not a guard, so its answers would mean nothing.

    """
    if not isinstance(guard, Guard):
        raise ConfigurationError(f"a requirement belongs to a CognitoGuard, not to {guard!r}")
    return guard._cognito_guard_judge  # noqa: SLF001 - private to users of the package, not to its modules


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

    guard: Guard
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
        return judge_of(self.guard).judge(self, scope)

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
            judge_of(self.requirement.guard).admit(self.requirement, scope)
        await self.app(scope, receive, send)


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

    admit_call = judge_of(requirement.guard).admit_call

    async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
        admit_call(requirement, handler, args, kwargs)
        return await handler(*args, **kwargs)

    # Also for generators: FastAPI streams them, and needs the generator itself.
    def guarded_function(*args: Any, **kwargs: Any) -> Any:
        admit_call(requirement, handler, args, kwargs)
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
