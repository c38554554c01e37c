"""What a route asks of its caller: one object that decorates handlers and is a FastAPI dependency."""

from __future__ import annotations

import functools
import inspect
import logging
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, ParamSpec, TypeVar, overload

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.requests import HTTPConnection

from cognito_guard._principal import Principal
from cognito_guard._requests.internals import HasInternals
from cognito_guard._requests.state import Visit, visit_of
from cognito_guard.errors import ConfigurationError, InsufficientScopeError, NotInstalledError, RefusalError

P = ParamSpec("P")
R = TypeVar("R")
Handler = TypeVar("Handler", bound=Callable[..., Any])

_MARK: Final = "__cognito_guard__"
_WRAPPED: Final = "__cognito_guard_wrapped__"
# Nobody else's to guess: a handler that is called with what was sent as keywords must not take one for a verdict.
_PARAMETER: Final = f"cognito_guard_{secrets.token_hex(8)}_"

_log: Final = logging.getLogger("cognito_guard")


@dataclass(frozen=True, slots=True)
class Requirement:
    """
    What a caller must have. Made by `CognitoGuard.require` and its siblings.

    As a decorator it goes below the route decorator, on a function, an endpoint class or one of its methods. As a
    dependency (`Depends(requirement)`) it gives the `Principal`. Two that ask the same of the same guard are equal, so
    that `app.dependency_overrides` finds them.

    Attributes:
        guard: The guard that must have let the request in.
        kind: `all` or `any` of *names* as scopes, one of *names* as `groups`, or just `authenticated`.
        names: Scopes or groups.

    """

    guard: HasInternals
    kind: Literal["all", "any", "groups", "authenticated"]
    names: frozenset[str] = frozenset()

    @overload
    def __call__(self, handler: Callable[P, R], /) -> Callable[P, R]: ...
    @overload
    def __call__(self, /, *, conn: HTTPConnection) -> Awaitable[Principal]: ...
    def __call__(
        self, handler: object = None, /, *, conn: HTTPConnection | None = None, security_scopes: Any = None
    ) -> object:
        """Return *handler* guarded; or, as a dependency, judge *conn*, at once and not only when awaited."""
        if conn is not None:
            principal = self.judge(conn)
            if security_scopes is not None and security_scopes.scopes:
                Requirement(self.guard, "all", frozenset(security_scopes.scopes)).judge(conn)
            return _ready(principal)
        if not callable(handler):
            raise ConfigurationError(
                f"{self} decorates a handler, such as @guard.require('orders/order.read') or @guard.authenticated "
                f"above an async def; got {handler!r}"
            )
        return _guarded(handler, self)

    @property
    def __wrapped__(self) -> Callable[..., Awaitable[Principal]]:
        # How FastAPI learns that the dependency need not run in a thread.
        return self._as_dependency

    @property
    def __signature__(self) -> inspect.Signature:
        # How FastAPI learns what the dependency takes: the connection, and the scopes of Security(..., scopes=[...]).
        scopes = getattr(sys.modules.get("fastapi.security"), "SecurityScopes", None)
        annotations = (
            {"conn": HTTPConnection} if scopes is None else {"conn": HTTPConnection, "security_scopes": scopes}
        )
        return inspect.Signature(
            [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation)
                for name, annotation in annotations.items()
            ]
        )

    async def _as_dependency(self, *, conn: HTTPConnection) -> Principal:
        return self.judge(conn)

    def judge(self, conn: HTTPConnection) -> Principal:
        """
        Return the caller, who has what is required.

        Raises:
            InsufficientScopeError: The caller lacks it.
            RefusalError: There is no caller: this is what was wrong with the token, if there was one.
            NotInstalledError: The request did not pass the guard.

        """
        visit = visit_of(conn, self.guard)
        principal = visit.principal
        if principal is None or not self._is_met_by(principal):
            raise visit.refuse(conn, self._refusal(visit))
        return principal

    def _is_met_by(self, principal: Principal) -> bool:
        if self.kind == "any":
            return not self.names.isdisjoint(principal.scopes)
        if self.kind == "groups":
            return not self.names.isdisjoint(principal.groups)
        # Without names, when any caller will do, this holds of everybody.
        return self.names <= principal.scopes

    def _refusal(self, visit: Visit) -> RefusalError:
        if visit.anonymous_because is not None:
            return visit.anonymous_because
        if self.kind == "groups":
            return InsufficientScopeError("group")
        return InsufficientScopeError("scope", tuple(sorted(self.names)))

    def __str__(self) -> str:
        if self.kind == "authenticated":
            return "any valid token"
        names = (" and " if self.kind == "all" else " or ").join(sorted(self.names))
        return f"group {names}" if self.kind == "groups" else names


@dataclass(frozen=True, slots=True)
class Public:
    """The mark of a handler that *guard* lets anybody reach."""

    guard: object


Mark = Requirement | Public


def marks_of(handler: object) -> tuple[Mark, ...]:
    """Return what the decorators on *handler* ask for, the outermost first."""
    while isinstance(handler, functools.partial) and _MARK not in vars(handler):
        handler = handler.func
    holder = getattr(handler, "__func__", handler)
    # An object is marked by itself or by its very class: what inherits from a public endpoint is another endpoint.
    for place in (holder, type(holder)):
        marks: tuple[Mark, ...] | None = getattr(place, "__dict__", {}).get(_MARK)
        if marks is not None:
            return marks
    return ()


def is_wrapped_elsewhere(handler: object) -> bool:
    """Return whether *handler* is what a requirement was put around, and not the outcome of that."""
    return handler is not None and getattr(handler, _WRAPPED, None) is handler


def mark_public(handler: Handler, guard: object) -> Handler:
    """
    Return *handler*, marked as one that *guard* lets anybody reach.

    Raises:
        ConfigurationError: It can not be marked, or is guarded as well.

    """
    if any(isinstance(mark, Requirement) for mark in marks_of(handler)):
        raise ConfigurationError(
            f"{_name(handler)} can not be public and have a requirement; drop one of the decorators"
        )
    try:
        setattr(handler, _MARK, (*marks_of(handler), Public(guard)))
    except AttributeError:
        raise ConfigurationError(
            f"@guard.public marks functions and endpoint classes, got {handler!r}; "
            "for other routes use guard.install(app, public_paths={('GET', '/path')})"
        ) from None
    return handler


async def _ready(principal: Principal) -> Principal:
    return principal


def _guarded(handler: Callable[..., Any], requirement: Requirement) -> Callable[..., Any]:
    inherited = marks_of(handler)
    if any(isinstance(mark, Public) for mark in inherited):
        raise ConfigurationError(
            f"{_name(handler)} can not be public and have a requirement; drop one of the decorators"
        )
    if inspect.isclass(handler):
        if not issubclass(handler, HTTPEndpoint | WebSocketEndpoint):
            raise ConfigurationError(f"{_name(handler)} is not an endpoint class; guard a function or a method")
        handler.dispatch = _guarded(handler.dispatch, requirement)  # type: ignore[method-assign]
        setattr(handler, _MARK, (requirement, *inherited))
        return handler

    # One parameter for each decorator, also where others stand in between.
    parameter = f"{_PARAMETER}{len(inherited)}"

    def admit(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        # FastAPI has solved the dependency before it parsed the body; elsewhere it is for us to judge.
        if parameter in kwargs:
            del kwargs[parameter]
        else:
            requirement.judge(_connection(handler, args, kwargs))

    async def guarded_coroutine(*args: Any, **kwargs: Any) -> Any:
        admit(args, kwargs)
        return await handler(*args, **kwargs)

    # Generators too: FastAPI streams them, and has to be handed the generator itself.
    def guarded_function(*args: Any, **kwargs: Any) -> Any:
        admit(args, kwargs)
        return handler(*args, **kwargs)

    guarded: Any = guarded_coroutine if _is_coroutine_function(handler) else guarded_function
    functools.update_wrapper(guarded, handler)
    with suppress(AttributeError):
        # Itself, since copies of what is set on a function end up on whatever is wrapped around it.
        setattr(handler, _WRAPPED, handler)
    guarded.__name__ = _name(handler)
    guarded.__signature__ = _GuardedSignature(inspect.signature(handler), parameter, requirement)
    setattr(guarded, _MARK, (requirement, *inherited))
    result: Callable[..., Any] = guarded
    return result


class _GuardedSignature(inspect.Signature):
    """
    The handler's own signature; to FastAPI, also a first parameter that depends on the requirement.

    First, so that no other dependency runs for a caller who is refused. Asked for late, since FastAPI may be imported
    after the handler is defined, or not at all.
    """

    __slots__ = ("_name", "_requirement")

    def __init__(self, signature: inspect.Signature, name: str, requirement: Requirement) -> None:
        super().__init__(list(signature.parameters.values()), return_annotation=signature.return_annotation)
        self._name = name
        self._requirement = requirement

    @property
    def parameters(self) -> MappingProxyType[str, inspect.Parameter]:
        depends = getattr(sys.modules.get("fastapi"), "Depends", None)
        added = {} if depends is None else {self._name: self._dependency(depends)}
        return MappingProxyType(added | super().parameters)

    def _dependency(self, depends: Callable[..., Any]) -> inspect.Parameter:
        annotation = Annotated[Any, depends(self._requirement)]
        return inspect.Parameter(self._name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=annotation)


def _is_coroutine_function(handler: Callable[..., Any]) -> bool:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004


def _connection(handler: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> HTTPConnection:
    for value in (*args, *kwargs.values()):
        # Not isinstance(): a connection is an abstract Mapping too, which takes four times as long to ask.
        if HTTPConnection in type(value).__mro__:
            connection: HTTPConnection = value
            return connection
        if isinstance(value, HTTPEndpoint | WebSocketEndpoint) and len(args) == 1:
            return HTTPConnection(value.scope)
    _log.error("%s was called without a request or websocket, so nobody can tell who calls it", _name(handler))
    raise NotInstalledError


def _name(handler: object) -> str:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return getattr(handler, "__name__", type(handler).__name__)
