"""The state of one pass of a request through a guard: its caller, where it may go, and whether it was refused."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any, Final

from starlette.types import Scope

from cognito_guard._principal import Principal
from cognito_guard._requests.bearer import authorization
from cognito_guard._requests.internals import internals_of
from cognito_guard._rules.lookup import Way
from cognito_guard._rules.requirement import Guard
from cognito_guard.errors import NotInstalledError, RefusalError

SCOPE_KEY: Final = "cognito_guard"
"""The key of a scope for its states, that of the outermost pass first."""

current_scope: Final[ContextVar[Scope | None]] = ContextVar("cognito_guard_scope", default=None)
"""The scope of the request that is being served, as the innermost guard passed it on."""

_log: Final = logging.getLogger("cognito_guard")


class Stranger:
    """
    A request without a caller, on the way to a public route or app.

    Attributes:
        because: The error that says why there is no caller.
        way: The way that it may try.
        arrived: Whether it has arrived at a public route or app.
        open_below: Whether it has arrived at a whole app.

    """

    __slots__ = ("arrived", "because", "open_below", "way")

    def __init__(self, because: RefusalError, way: Way) -> None:
        self.because = because
        self.way = way
        self.arrived = way.has_arrived
        self.open_below = way.has_arrived and way.is_open


class RequestState:
    """
    What a guard knows about one pass of a request.

    Attributes:
        guard: The guard.
        headers: The headers with which the request was judged.
        principal: The caller, or None.
        stranger: The state of a request without a caller, or None.
        refusal: The error with which the request was refused. It is final: everything that the app sends after it is
            dropped, except the answer of a handler that the app registered for such errors.
        left_to_app: Whether there is such a handler.
        started: Whether the app has begun to answer, or has accepted a websocket.
        is_answered: Whether a handler of the app answers the refusal.
        is_over: Whether the app has returned.

    """

    # Defaults of the class, because most requests change none of them.
    stranger: Stranger | None = None
    refusal: RefusalError | None = None
    left_to_app = False
    started = False
    is_answered = False
    is_over = False

    def __init__(
        self, guard: Guard, headers: Any, principal: Principal | None, stranger: Stranger | None = None
    ) -> None:
        self.guard = guard
        self.headers = headers
        self.principal = principal
        if stranger is not None:
            self.stranger = stranger

    def refuse(self, error: RefusalError, scope: Scope) -> RefusalError:
        """Record and report that *error* ends this request, and return the error to raise."""
        if self.refusal is not None:
            return self.refusal
        internals = internals_of(self.guard)
        refusals = internals.refusals
        refusal = refusals.prepare(
            error, self.principal, scope, lambda: authorization(scope["headers"]), internals.verifier
        )
        # An answer that has begun cannot be changed, but a websocket can be closed.
        if not self.started or scope["type"] == "websocket":
            self.refusal = refusal
            # Not for a websocket: Starlette would answer in a way that the server may not support.
            self.left_to_app = scope["type"] == "http" and refusals.is_left_to(scope.get("app"), error)
        return refusal


def states_of(scope: Scope) -> tuple[RequestState, ...]:
    """Return the states of the passes that *scope* is in, outermost first."""
    states: tuple[RequestState, ...] = scope.get(SCOPE_KEY, ())
    return states


def latest_state(scope: Scope, guard: Guard) -> RequestState | None:
    """Return the state of the innermost pass through *guard* that *scope* is in, or None."""
    return next((state for state in reversed(states_of(scope)) if state.guard is guard), None)


def state_of(scope: Scope, guard: Guard) -> RequestState:
    """
    Return the state of *guard* for the request with *scope*.

    Raises:
        NotInstalledError: The request did not pass the guard, or its credentials differ from the request that did.

    """
    state = latest_state(scope, guard)
    if state is None:
        others = states_of(scope)
        _log.error(
            "a route requires %r, which is not installed%s; until then the route refuses everyone",
            guard,
            f", but another one is: {others[-1].guard!r}. Write the requirement with that guard, or install both"
            if others
            else ": call guard.install(app), or wrap the app in CognitoGuardMiddleware(app, guard=guard)",
        )
        raise NotInstalledError
    headers = scope["headers"]
    # Usually equal, with the same tuples, so this is fast. Starlette's `request.headers` puts a copy there.
    if headers != state.headers and authorization(headers) != authorization(state.headers):
        _log.error(
            "a request was made from another one, with an Authorization header that no guard has seen; "
            "send it through the app with its middleware"
        )
        raise NotInstalledError
    return state
