"""
The marks that decorators put on handlers.

A public mark counts only for the object that it was put on. A requirement also counts for everything around that
object: a wrapper, a partial, a bound method.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.routing import BaseRoute

from cognito_guard._fastapi import is_api_router
from cognito_guard.errors import ConfigurationError

T = TypeVar("T")

_MARKS: Final = "__cognito_guard__"
_WEBSOCKET_METHODS: Final = ("on_connect", "on_receive", "on_disconnect")


@dataclass(slots=True, eq=False)
class Marks:
    """
    The marks of one object.

    Attributes:
        owner: The object. `functools.wraps` copies attributes, so on any other object these marks are copies.
        requirements: The requirements, those of the outermost decorator first.
        public: The guards for which it is public.
        results: The guarded or public copies that decorators made of the object.

    """

    owner: object
    requirements: tuple[Any, ...] = ()
    public: frozenset[object] = frozenset()
    results: list[object] = field(default_factory=list)


_NONE: Final = Marks(None)


def marks_of(handler: object) -> Marks:
    """Return the marks that count for *handler*."""
    if type(handler) is types.FunctionType:
        # Nearly all handlers take this path.
        attributes = handler.__dict__
        if _MARKS in attributes:
            marks: Marks = attributes[_MARKS]
            if marks.owner is handler:
                return marks
        elif "__wrapped__" not in attributes:
            return _NONE
    own = _found_on(handler)
    if own is not None and own.owner is handler:
        return own
    public = frozenset[object]() if own is None else own.public
    requirements = tuple(dict.fromkeys(each for inner in within(handler) for each in _requirements_on(inner)))
    return Marks(handler, requirements, public) if requirements or public else _NONE


def endpoint_marks(endpoint: Any, method: str) -> Marks:
    """Return the marks of an endpoint for a request with *method*: of an endpoint class, those of its methods too."""
    marks = marks_of(endpoint)
    if not isinstance(endpoint, type):
        return marks
    names: tuple[str, ...] = ()
    if issubclass(endpoint, HTTPEndpoint):
        name = method.lower()
        names = ("get",) if name == "head" and not hasattr(endpoint, "head") else (name,)
    elif issubclass(endpoint, WebSocketEndpoint):
        names = _WEBSOCKET_METHODS
    for inner in (marks_of(getattr(endpoint, name, None)) for name in names):
        marks = Marks(endpoint, marks.requirements + inner.requirements, marks.public | inner.public)
    return marks


def mark_required(result: Callable[..., Any], handler: object, requirement: object) -> None:
    """Record that *result* is *handler* with *requirement* around it."""
    requirements = tuple(dict.fromkeys((requirement, *marks_of(handler).requirements)))
    setattr(result, _MARKS, Marks(result, requirements))
    _note_result(handler, result)


def mark_public(handler: T, guard: object) -> T:
    """
    Return *handler* marked as open to everyone: a marked copy of a function or method, any other object itself.

    Raises:
        ConfigurationError: It has a requirement too, or cannot be marked.

    """
    if isinstance(handler, staticmethod | classmethod):
        return type(handler)(mark_public(handler.__func__, guard))
    if isinstance(handler, BaseRoute) or is_api_router(handler):
        raise ConfigurationError(
            f"guard.public marks handlers and apps, and {handler!r} is a route or a router; mark its handlers"
        )
    marks = marks_of(handler)
    if marks.requirements:
        raise ConfigurationError(
            f"{name_of(handler)} cannot be public and have a requirement; remove one of the decorators"
        )
    twin: T = _twin(handler)
    holder = getattr(twin, "__func__", twin)
    try:
        setattr(holder, _MARKS, Marks(holder, (), marks.public | {guard}))
    except (AttributeError, TypeError):
        raise ConfigurationError(
            f"guard.public cannot mark {handler!r}, which takes no attributes; "
            "open its path: guard.install(app, public_paths={('GET', '/path')})"
        ) from None
    if twin is not handler:
        _note_result(handler, twin)
    return twin


def results_of(handler: object) -> list[object]:
    """Return the objects that decorators made of *handler*, if *handler* itself does not have the mark."""
    own = _found_on(handler)
    return own.results if own is not None else []


def innermost(handler: Any) -> Any:
    """Return the function that *handler* finally calls, without partials."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler


def name_of(handler: object) -> str:
    """Return the name of *handler* for messages."""
    handler = innermost(handler)
    return getattr(handler, "__name__", type(handler).__name__)


def within(handler: Any) -> Iterator[Any]:
    """Yield *handler* and the objects that it wraps, outermost first."""
    seen: set[int] = set()
    while handler is not None and id(handler) not in seen:
        seen.add(id(handler))
        yield handler
        if isinstance(handler, functools.partial):
            handler = handler.func
        else:
            inside = getattr(handler, "__dict__", {}).get("__wrapped__")
            handler = inside or getattr(handler, "__func__", None)


def _requirements_on(handler: object) -> tuple[Any, ...]:
    # Also those of the class of a callable object, of its __call__, and of base classes.
    for holder in (handler, type(handler), getattr(type(handler), "__call__", None)):  # noqa: B004 - what it calls
        marks = getattr(holder, _MARKS, None)
        if isinstance(marks, Marks):
            return marks.requirements
    return ()


def _found_on(handler: object) -> Marks | None:
    """Return the marks on *handler*, on its function, or on its class if it is a callable object."""
    holder = getattr(handler, "__func__", handler)
    for place in (holder, type(holder)):
        marks = getattr(place, "__dict__", {}).get(_MARKS)
        if isinstance(marks, Marks) and marks.owner is place:
            return marks
    return None


def _note_result(handler: object, result: object) -> None:
    holder = getattr(handler, "__func__", handler)
    marks = _found_on(holder)
    if marks is None or marks.owner is not holder:
        marks = Marks(holder, marks_of(holder).requirements)
        with suppress(AttributeError, TypeError):
            setattr(holder, _MARKS, marks)
    marks.results.append(result)


def _twin(handler: Any) -> Any:
    """Return a copy of a function or method: a mark on it does not open other routes of the same function."""
    if inspect.ismethod(handler):
        return types.MethodType(_twin(handler.__func__), handler.__self__)
    if isinstance(handler, functools.partial):
        return functools.partial(handler.func, *handler.args, **handler.keywords)
    if not inspect.isfunction(handler):
        return handler
    twin = types.FunctionType(
        handler.__code__, handler.__globals__, handler.__name__, handler.__defaults__, handler.__closure__
    )
    twin.__kwdefaults__ = handler.__kwdefaults__
    functools.update_wrapper(twin, handler)
    # A copy, not a wrapper: it wraps what the handler wraps, if anything.
    del vars(twin)["__wrapped__"]
    vars(twin).update(vars(handler))
    return twin
