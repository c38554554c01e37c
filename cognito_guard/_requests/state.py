"""One request on its way through: who makes it, and whether a route has refused it."""

from __future__ import annotations

import logging
from typing import Final

from starlette.requests import HTTPConnection
from starlette.types import Scope

from cognito_guard._principal import Principal
from cognito_guard._requests.refusals import Refusals
from cognito_guard.errors import NotInstalledError, RefusalError

SCOPE_KEY: Final = "cognito_guard"
"""Where the scope of a request has its visits, by guard, once there is one."""

_log: Final = logging.getLogger("cognito_guard")


class Visit:
    """
    What a guard knows of one request.

    Attributes:
        principal: The caller, or None on a public route.
        anonymous_because: Why there is no caller, where there is none.
        place: Where the request went when it was let in without a caller; see `place_of`.
        judged: The route whose requirements have been judged ahead of its own look at them.
        started: Whether something has been answered already.
        refusal: What a route refused the request with; from then on nothing the app sends gets out.

    """

    __slots__ = ("_refusals", "anonymous_because", "judged", "place", "principal", "refusal", "started")

    def __init__(
        self,
        principal: Principal | None,
        anonymous_because: RefusalError | None,
        refusals: Refusals,
        place: tuple[str | None, str] | None,
    ) -> None:
        self.principal = principal
        self.anonymous_because = anonymous_because
        self.place = place
        self.judged: object = None
        self.started = False
        self.refusal: RefusalError | None = None
        self._refusals = refusals

    def refuse(self, conn: HTTPConnection, error: RefusalError) -> RefusalError:
        """Return *error* to raise, having noted that it ends this request."""
        self._refusals.dress(error, self.principal)
        # Where the app has a handler of its own it is left to run, inside the app, as for any HTTPException. Not for a
        # websocket: Starlette would answer in a way that the server may not have offered.
        natural = conn.scope["type"] == "http" and self._refusals.left_to(conn.scope.get("app"), error)
        if not natural and not self.started:
            self.refusal = error
        return error


def enter(scope: Scope, guard: object, visit: Visit) -> None:
    """Note in *scope* that *guard* has let *visit* in. A guard within another's app leaves the other's note be."""
    others = scope.get(SCOPE_KEY)
    scope[SCOPE_KEY] = {guard: visit} if others is None else {**others, guard: visit}


def has_entered(scope: Scope, guard: object) -> bool:
    """Return whether *guard*, of those noted in *scope*, has let this request in, and to where it is going now."""
    visit: Visit | None = scope[SCOPE_KEY].get(guard)
    # An anonymous one was let in to a public route, and not to where a handler or a middleware sends it on to.
    return visit is not None and (visit.principal is not None or visit.place == place_of(scope))


def place_of(scope: Scope) -> tuple[str | None, str]:
    """Return what a request is for: its method, if it has one, and its path."""
    return scope.get("method"), scope["path"]


def visit_of(conn: HTTPConnection, guard: object) -> Visit:
    """
    Return what *guard* noted of this request.

    Raises:
        NotInstalledError: The request did not pass the guard.

    """
    visit: Visit | None = conn.scope.get(SCOPE_KEY, {}).get(guard)
    if visit is None:
        _log.error(
            "a route requires a guard that is not installed: call guard.install(app), or wrap the app in "
            "CognitoGuardMiddleware(app, guard=guard); until then the route refuses everybody"
        )
        raise NotInstalledError
    return visit
