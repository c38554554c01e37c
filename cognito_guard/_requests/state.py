"""The state of one pass of a request through a guard: who calls, where it may go, and whether it was refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

from starlette.types import Scope

from cognito_guard._principal import Principal
from cognito_guard._requests.bearer import authorization
from cognito_guard._requests.internals import HasInternals, internals_of
from cognito_guard.errors import NotInstalledError, RefusalError

SCOPE_KEY: Final = "cognito_guard"
"""Where the scope of a request has its states, that of the outermost pass first."""

current_scope: Final[ContextVar[Scope | None]] = ContextVar("cognito_guard_scope", default=None)
"""The scope of the request that is being served, as the innermost guard handed it on."""

_NOWHERE: Final[Mapping[int, bool]] = {}

_log: Final = logging.getLogger("cognito_guard")


class RequestState:
    """
    What a guard knows of one pass of a request. Without a caller it is a stranger's.

    Attributes:
        guard: The guard.
        principal: The caller, or None.
        anonymous_because: Why there is no caller, where there is none.
        headers: The request's headers, by which it was judged.
        mounts: The apps of the mounts on a stranger's way to a public route, by `id`; True for one that is public.
        open_path: The place, see `place_of`, that `public_paths` open, where a stranger goes there.
        decided: Whether a stranger has arrived at something public.
        open_below: Whether that was a whole app.
        preflight: Whether the request is a CORS preflight.
        internals: The parts of the guard.
        refusal: What the request was refused with. It is final: from then on nothing that the app sends gets out, save
            the answer of a handler that the app registered for such errors.
        left_to_app: Whether there is such a handler.
        started: Whether something was answered already.
        is_over: Whether the app has returned.

    """

    __slots__ = (
        "anonymous_because",
        "decided",
        "guard",
        "headers",
        "internals",
        "is_over",
        "left_to_app",
        "mounts",
        "open_below",
        "open_path",
        "preflight",
        "principal",
        "refusal",
        "started",
    )

    def __init__(
        self, guard: HasInternals, principal: Principal | None, anonymous_because: RefusalError | None, headers: Any
    ) -> None:
        self.guard = guard
        self.principal = principal
        self.anonymous_because = anonymous_because
        self.headers = headers
        self.mounts = _NOWHERE
        self.open_path: tuple[str | None, str] | None = None
        self.decided = principal is not None
        self.open_below = self.preflight = self.left_to_app = self.started = self.is_over = False
        self.refusal: RefusalError | None = None
        self.internals = internals_of(guard)

    def refuse(self, error: RefusalError, scope: Scope) -> RefusalError:
        """Return what to raise for *error*, having noted and reported that it ends this request."""
        if self.refusal is not None:
            return self.refusal
        refusal = self.internals.refusals.prepare(error, self.principal)
        if not self.started:
            self.refusal = refusal
            # Not for a websocket: Starlette would answer in a way that the server may not have offered.
            self.left_to_app = scope["type"] == "http" and self.internals.refusals.is_left_to(scope.get("app"), error)
        return refusal


def place_of(scope: Scope) -> tuple[str | None, str]:
    """Return what a request is for: its method, None for a websocket, and its path."""
    return scope.get("method"), scope["path"]


def state_of(scope: Scope, guard: object) -> RequestState:
    """
    Return what *guard* knows of the request with *scope*.

    Raises:
        NotInstalledError: The request did not pass the guard, or has other credentials than the one that did.

    """
    state = _latest(scope, guard)
    if state is None:
        _log.error(
            "a route requires a guard that is not installed: call guard.install(app), or wrap the app in "
            "CognitoGuardMiddleware(app, guard=guard); until then the route refuses everybody"
        )
        raise NotInstalledError
    headers = scope["headers"]
    if headers is not state.headers and authorization(headers) != authorization(state.headers):
        _log.error(
            "a request was made of another one with an Authorization header of its own, which no guard has seen; "
            "send it through the app with its middleware"
        )
        raise NotInstalledError
    return state


def principal_of(scope: Scope, guard: object) -> Principal | None:
    """Return the caller of the request with *scope* that *guard* let in; None for strangers and refused requests."""
    state = _latest(scope, guard)
    return None if state is None or state.refusal is not None else state.principal


def states_of(scope: Scope) -> tuple[RequestState, ...]:
    """Return the states of the passes that *scope* is in, outermost first."""
    states: tuple[RequestState, ...] = scope.get(SCOPE_KEY, ())
    return states


def _latest(scope: Scope, guard: object) -> RequestState | None:
    return next((state for state in reversed(states_of(scope)) if state.guard is guard), None)
