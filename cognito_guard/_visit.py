"""One request on its way through: who makes it, and whether a route has refused it."""

from __future__ import annotations

import logging
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from cognito_guard._answers import Answers
from cognito_guard._principal import Principal
from cognito_guard.errors import NotInstalledError, RefusalError

_SCOPE_KEY: Final = "cognito_guard"

_log: Final = logging.getLogger("cognito_guard")


class Visit:
    """
    What a guard knows of one request.

    Attributes:
        principal: The caller, or None on a public route.
        anonymous_because: Why there is no caller, where there is none.
        started: Whether something has been answered already.
        refusal: What a route refused the request with; from then on nothing the app sends gets out.

    """

    __slots__ = ("_answers", "anonymous_because", "principal", "refusal", "started")

    def __init__(self, principal: Principal | None, anonymous_because: RefusalError | None, answers: Answers) -> None:
        self.principal = principal
        self.anonymous_because = anonymous_because
        self.started = False
        self.refusal: RefusalError | None = None
        self._answers = answers

    def refuse(self, conn: HTTPConnection, error: RefusalError) -> RefusalError:
        """Return *error* to raise, having noted that it ends this request."""
        self._answers.dress(error, self.principal)
        # Where the app has a handler of its own it is left to run, inside the app, as for any HTTPException. Not for a
        # websocket: Starlette would answer in a way that the server may not have offered.
        natural = conn.scope["type"] == "http" and self._answers.left_to(conn.scope.get("app"), error)
        if not natural and not self.started:
            self.refusal = error
        return error


def enter(scope: Scope, guard: object, visit: Visit) -> None:
    """Note in *scope* that *guard* has let *visit* in. A guard within another's app leaves the other's note be."""
    scope[_SCOPE_KEY] = {**scope.get(_SCOPE_KEY, {}), guard: visit}


def has_entered(scope: Scope, guard: object) -> bool:
    """Return whether *guard* has let this request in already, further out."""
    return guard in scope.get(_SCOPE_KEY, ())


def visit_of(conn: HTTPConnection, guard: object) -> Visit:
    """
    Return what *guard* noted of this request.

    Raises:
        NotInstalledError: The request did not pass the guard.

    """
    visit: Visit | None = conn.scope.get(_SCOPE_KEY, {}).get(guard)
    if visit is None:
        _log.error(
            "a route requires a guard that is not installed: call guard.install(app), or wrap the app in "
            "CognitoGuardMiddleware(app, guard=guard); until then the route refuses everybody"
        )
        raise NotInstalledError
    return visit
