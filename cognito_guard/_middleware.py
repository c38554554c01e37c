"""The middleware: who calls is settled here, what they may do at the route, and what goes wrong is answered here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, Protocol

from starlette.authentication import AuthCredentials, UnauthenticatedUser
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cognito_guard._answers import Answers
from cognito_guard._bearer import bearer_token
from cognito_guard._principal import Principal
from cognito_guard._requirement import Public
from cognito_guard._routes import marks_ahead, requirements_ahead, route_path
from cognito_guard._visit import Visit, enter, has_entered
from cognito_guard.errors import ConfigurationError, KeysUnavailableError, RefusalError

_log: Final = logging.getLogger("cognito_guard")


class Guard(Protocol):
    """What the middleware needs of a guard."""

    @property
    def answers(self) -> Answers:
        """How refusals are answered."""
        ...

    def verify(self, token: str) -> Coroutine[Any, Any, Principal]:
        """Return who *token* speaks for."""
        ...

    async def prefetch(self) -> None:
        """Fetch keys ahead of need."""

    async def settle(self) -> None:
        """Wait until nothing is under way."""


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
        guard: Guard,
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
        elif has_entered(scope, self.guard):
            await self.app(scope, receive, send)
        else:
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        guard = self.guard
        app = scope.get("app", self.app)
        principal: Principal | None = None
        reason: RefusalError | None = None
        try:
            principal = await guard.verify(bearer_token(scope["headers"]))
        except RefusalError as error:
            if not self._is_public(app, scope):
                guard.answers.dress(error, None)
                await guard.answers.send(scope, receive, send, error=error, app=app)
                return
            # The scope will keep it, and its traceback the scope: a cycle, for the garbage collector to find.
            reason = error.with_traceback(None)
        visit = Visit(principal, reason, guard.answers)
        # In place, as Starlette's own AuthenticationMiddleware does: middleware further out reads
        # scope["route"] and scope["user"] when the response passes, and would not see a copy's.
        enter(scope, guard, visit)
        scope["user"] = principal or UnauthenticatedUser()
        scope["auth"] = AuthCredentials(list(principal.scopes) if principal else [])

        # No method of the visit, which the scope keeps: servers keep the scope beside their send, likewise a cycle.
        async def send_unless_refused(message: Message) -> None:
            # Frameworks put exceptions into words of their own.
            if visit.refusal is None:
                visit.started = True
                await send(message)

        try:
            await self.app(scope, _judging_first(scope, receive), send_unless_refused)
        except Exception as error:
            if visit.refusal is None:
                raise
            await guard.answers.send(scope, receive, send, error=visit.refusal, app=app)
            if not isinstance(error, RefusalError):
                raise
        else:
            if visit.refusal is not None:
                await guard.answers.send(scope, receive, send, error=visit.refusal, app=app)

    def _is_public(self, app: object, scope: Scope) -> bool:
        method = scope.get("method", "WEBSOCKET")
        if (method, route_path(scope)) in self.public_paths:
            return True
        marks = marks_ahead(app, scope)
        if marks is None:
            # A preflight that no route takes is for a CORSMiddleware further in, or ends as a 405.
            return _is_preflight(scope)
        return Public(self.guard) in marks

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
                    await self.guard.prefetch()
                except KeysUnavailableError:
                    _log.warning("starting without keys; requests are answered with 503 until they can be fetched")
            elif message["type"] == "lifespan.shutdown.complete":
                # Before it is sent: servers may end the process right after.
                await self.guard.settle()
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


def _judging_first(scope: Scope, receive: Receive) -> Receive:
    """Return *receive*, but what the chosen route requires is judged before anything of the body is handed out."""
    judged = False

    async def receive_judged() -> Message:
        nonlocal judged
        if not judged and "route" in scope and scope["type"] == "http":
            judged = True
            for requirement in requirements_ahead(scope):
                requirement.judge(HTTPConnection(scope))
        return await receive()

    return receive_judged
