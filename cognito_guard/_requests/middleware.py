"""The middleware: who calls is settled here, what they may do at the route, and what goes wrong is answered here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final

from starlette.authentication import AuthCredentials, UnauthenticatedUser
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cognito_guard._principal import Principal
from cognito_guard._requests.bearer import bearer_token, fault_of
from cognito_guard._requests.internals import HasInternals, internals_of
from cognito_guard._requests.lookup import chosen_route, marks_ahead, requirements_of, route_path, routes_of
from cognito_guard._requests.requirement import Public
from cognito_guard._requests.state import SCOPE_KEY, Visit, enter, has_entered, place_of
from cognito_guard.errors import ConfigurationError, KeysUnavailableError, RefusalError

_UNREADABLE: Final = {400, 422}
"""What FastAPI answers to bodies that it can not read, before it solves dependencies."""

_log: Final = logging.getLogger("cognito_guard")


class CognitoGuardMiddleware:
    """
    Lets requests through to *app* if they carry a good access token, or if they are for a public route.

    Usually put in place by `CognitoGuard.install`. Around an app by hand, it belongs inside of all middleware that
    rewrites paths or methods, for it looks at the request as it is here.

    Args:
        app: Any ASGI app. Public routes are found where it has Starlette's or FastAPI's routes.
        guard: Judges tokens.
        public_paths: Pairs of method and exact path (below `root_path`) that are open, for routes which can not be
            marked with `guard.public`. A websocket's method is `WEBSOCKET`.
        check: Called when the app starts, or else with its first connection; raises if it must not serve.

    Raises:
        ConfigurationError: A public path is not such a pair.

    """

    def __init__(
        self,
        app: ASGIApp,
        guard: HasInternals,
        public_paths: Collection[tuple[str, str]] = (),
        check: Callable[[], None] | None = None,
    ) -> None:
        self.app: Final = app
        self._check = check
        self.guard: Final = guard
        self.public_paths: Final = check_public_paths(public_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if self._check is not None:
            await self._run_check(self._check, scope, send)
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] not in {"http", "websocket"}:
            # Whatever it is, nobody has thought about how it is to be guarded.
            raise ConfigurationError(f"connections of type {scope['type']!r} can not be guarded")
        elif SCOPE_KEY in scope and has_entered(scope, self.guard):
            await self.app(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: C901 - with what it defines
        guard = self.guard
        internals = internals_of(guard)
        refusals = internals.refusals
        app = scope.get("app", self.app)
        token: str | None = None
        principal: Principal | None = None
        reason: RefusalError | None = None
        try:
            token = bearer_token(scope["headers"])
            principal = await internals.verifier.verify(token)
        except RefusalError as error:
            # The scope will keep it, and its traceback the scope: a cycle, for the garbage collector to find.
            reason = (error if token is None else fault_of(token, error)).with_traceback(None)
            if not self._is_public(scope):
                refusals.dress(reason, None)
                await refusals.send(scope, receive, send, error=reason, apps=(app,))
                return
        visit = Visit(principal, reason, refusals, None if principal else place_of(scope))
        # In place, as Starlette's own AuthenticationMiddleware does: middleware further out reads
        # scope["route"] and scope["user"] when the response passes, and would not see a copy's.
        enter(scope, guard, visit)
        scope["user"] = principal or UnauthenticatedUser()
        # All it does is make a list of them.
        scope["auth"] = AuthCredentials(principal and principal.scopes)  # type: ignore[arg-type]

        async def receive_judged() -> Message:
            _judge(scope, visit)
            return await receive()

        # No method of the visit, which the scope keeps: servers keep the scope beside their send, likewise a cycle.
        async def send_unless_refused(message: Message) -> None:
            if message.get("status") in _UNREADABLE:
                # The body was found wanting before the route was asked, since somebody else had read it already or
                # what is said here got lost on the way.
                try:
                    _judge(scope, visit)
                except RefusalError as error:
                    visit.refusal = error
            # Frameworks put exceptions into words of their own.
            if visit.refusal is None:
                visit.started = True
                await send(message)

        try:
            await self.app(scope, receive_judged, send_unless_refused)
        except Exception as error:
            if visit.refusal is None:
                raise
            await refusals.send(scope, receive, send, error=visit.refusal, apps=(scope.get("app"), app))
            if not isinstance(error, RefusalError):
                raise
        else:
            if visit.refusal is not None:
                await refusals.send(scope, receive, send, error=visit.refusal, apps=(scope.get("app"), app))

    def _is_public(self, scope: Scope) -> bool:
        # Servers hand on whatever is sent for a method, "WEBSOCKET" too.
        method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        if (method, route_path(scope)) in self.public_paths and (method != "WEBSOCKET" or "method" not in scope):
            return True
        try:
            marks = marks_ahead(self._ahead(scope), scope)
        except Exception:  # noqa: BLE001 - of convertors and route classes of the app's own
            return False
        if marks is None:
            # A preflight that no route takes is for a CORSMiddleware further in, or ends as a 405.
            return _is_preflight(scope)
        return Public(self.guard) in marks

    def _ahead(self, scope: Scope) -> object:
        """Return the app whose routes are ahead of this very middleware."""
        app = scope.get("app")
        listed = any(
            entry.cls is CognitoGuardMiddleware and entry.kwargs.get("guard") is self.guard
            for entry in getattr(app, "user_middleware", ())
        )
        # Through middleware of the app's own there is no looking; but where it ends is known if Starlette put it there.
        return self.app if routes_of(self.app) is not None or not listed else app

    async def _run_check(self, check: Callable[[], None], scope: Scope, send: Send) -> None:
        try:
            check()
        except ConfigurationError as error:
            if scope["type"] == "lifespan":
                # Said as well as raised: an exception alone may be taken to mean that there is no lifespan.
                await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        self._check = None

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_keys(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                try:
                    await internals_of(self.guard).verifier.prefetch()
                except KeysUnavailableError:
                    _log.warning("starting without keys; requests are answered with 503 until they can be fetched")
            elif message["type"] == "lifespan.shutdown.complete":
                # Before it is sent: servers may end the process right after.
                await internals_of(self.guard).verifier.settle()
            await send(message)

        await self.app(scope, receive, send_with_keys)


def check_public_paths(public_paths: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """
    Return *public_paths* as a set.

    Raises:
        ConfigurationError: One is not a pair of an upper-case method and a plain path.

    """
    for entry in public_paths:
        match entry:
            case (str(method), str(path)) if (
                method.isupper() and path.startswith("/") and path.isprintable() and not set(path) & set("*{}?#")
            ):
                continue
        raise ConfigurationError(
            "public_paths holds pairs of a method and an exact path, such as ('GET', '/openapi.json'), "
            f"without wildcards or parameters; got {entry!r}"
        )
    return frozenset(public_paths)


def _is_preflight(scope: Scope) -> bool:
    if scope.get("method") != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names


def _judge(scope: Scope, visit: Visit) -> None:
    """Judge all that the route requires which has been chosen, once for each that is."""
    chosen = chosen_route(scope)
    if chosen is not None and chosen is not visit.judged:
        for requirement in requirements_of(chosen):
            requirement.judge(HTTPConnection(scope))
        visit.judged = chosen
