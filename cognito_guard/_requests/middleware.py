"""The middleware: identifies the caller, lets strangers try public routes, and refuses everyone else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

from starlette.datastructures import URL
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cognito_guard._principal import Principal
from cognito_guard._requests.bearer import authorization, bearer_token, fault_of
from cognito_guard._requests.exchange import answer, enter, gate, is_only
from cognito_guard._requests.expiry import until_expiry
from cognito_guard._requests.internals import HasInternals, internals_of
from cognito_guard._requests.lookup import Way, place_in, preflight_way, public_way, route_path, routes_of
from cognito_guard._requests.marks import marks_of
from cognito_guard._requests.scope import members_of
from cognito_guard._requests.state import SCOPE_KEY, RequestState, Stranger, current_scope, place_of, states_of
from cognito_guard._tokens.verifier import SCHEME
from cognito_guard.errors import ConfigurationError, KeysUnavailableError, RefusalError

_log: Final = logging.getLogger("cognito_guard")


class CognitoGuardMiddleware:
    """
    Lets requests through to *app* if they have a valid access token, or if they are for a public route.

    `CognitoGuard.install` usually adds it. If you wrap an app yourself, put this inside of all middleware that rewrites
    paths or methods, because it judges the request as it arrives here.

    Args:
        app: Any ASGI app. Public routes are found where it has Starlette's or FastAPI's routes.
        guard: Judges tokens.
        public_paths: Pairs of method and exact path (below `root_path`) that are open, for routes which cannot be
            marked with `guard.public`. A websocket's method is `WEBSOCKET`.
        check: Called when the app starts, or else at its first connection. Raises if the app must not serve.
        announce: Called after the app has started and its keys were fetched, if possible; without a lifespan, after
            *check*.

    Raises:
        ConfigurationError: A public path does not have this form.

    """

    is_cognito_guard = True

    def __init__(
        self,
        app: ASGIApp,
        guard: HasInternals,
        public_paths: Collection[tuple[str, str]] = (),
        check: Callable[[], None] | None = None,
        announce: Callable[[], None] | None = None,
    ) -> None:
        self.app: Final = app
        self.guard: Final = guard
        self.public_paths: Final = check_public_paths(public_paths)
        self._internals: Final = internals_of(guard)
        self._check: Callable[[], None] | None = check or partial(self._internals.check, self)
        self._announce: Final = announce or partial(self._internals.announce, self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """
        Serve one connection.

        After a refusal, everything that the app sends is dropped, except the answer of its own handler for such errors.
        """
        if self._check is not None:
            await self._run_check(self._check, scope, send)
        if scope["type"] != "http" and scope["type"] != "websocket":
            await self._lifespan(scope, receive, send)
            return
        internals = self._internals
        values = authorization(scope["headers"])
        digest, principal = None, self._let_in_before(scope) if SCOPE_KEY in scope else None
        if principal is None:
            digest, principal = internals.verifier.recall(values)
        if principal is not None:
            state = RequestState(self.guard, scope["headers"], principal)
        elif identified := await self._identify(scope, receive, send, values, digest):
            state = identified
        else:
            return
        if internals.close_on_expiry:
            receive, send = until_expiry(scope, state.principal, internals.verifier, receive, send)
        # The rest is in this one coroutine: each further one would add a frame to every request.
        guarded = enter(scope, state)
        previous = current_scope.get()
        current_scope.set(guarded)
        try:
            await self.app(guarded, receive, gate(state, guarded, send))
        except Exception as error:
            await answer(state, scope.get("app", self.app), guarded, receive, send)
            if not is_only(error, state.refusal):
                raise
        else:
            if state.refusal is not None:
                await answer(state, scope.get("app", self.app), guarded, receive, send)
        finally:
            # Not reset(): it raises if the server ends the request in another context.
            current_scope.set(previous)
            state.is_over = True

    async def _identify(
        self, scope: Scope, receive: Receive, send: Send, values: Sequence[bytes], digest: bytes | None
    ) -> RequestState | None:
        """Return the state of a request that may continue; None if it was answered."""
        internals = self._internals
        token: str | None = None
        try:
            token = bearer_token(values, internals.verifier.max_token_length)
            # Other spellings share the digest of this one: a token has one entry, so it cannot push out other tokens.
            is_plain = values[0] == SCHEME + token.encode("latin-1")
            principal = await internals.verifier.verify(token, digest if is_plain else None)
        except RefusalError as error:
            # Drop the traceback: the scope holds the error, and the traceback holds the scope, which would be a
            # reference cycle.
            reason = (error if token is None else fault_of(token, error)).with_traceback(None)
            stranger = Stranger(reason)
            state = RequestState(self.guard, scope["headers"], None, stranger)
            way = self._way(stranger, scope)
            if way is None:
                refusal = state.refuse(reason, scope)
                app = scope.get("app", self.app)
                await internals.refusals.send(scope, receive, send, error=refusal, apps=(app,))
                return None
            if way.redirect is not None:
                url = URL(scope=dict(members_of(scope)) | {"path": way.redirect})
                await RedirectResponse(str(url))(scope, receive, send)
                return None
            stranger.mounts = way.mounts
            return state
        return RequestState(self.guard, scope["headers"], principal)

    def _let_in_before(self, scope: Scope) -> Principal | None:
        """Return the caller if an outer pass of this guard has let in this very request."""
        for state in states_of(scope):
            if state.guard is self.guard and state.headers is scope["headers"] and not state.is_over:
                return state.principal
        return None

    def _way(self, stranger: Stranger, scope: Scope) -> Way | None:
        """Return the way that a stranger may try, or None. The route that is really chosen is judged again."""
        # Servers accept any method, even "WEBSOCKET".
        method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"]
        if (method, route_path(scope)) in self.public_paths and (method != "WEBSOCKET" or "method" not in scope):
            stranger.open_path = place_of(scope)
            # If there are routes, the chosen route decides.
            stranger.arrived = routes_of(self._ahead(scope)[0]) is None
            return Way({})
        has_public = self._internals.has_public
        if has_public and self.guard in marks_of(self.app).public:
            stranger.arrived = stranger.open_below = True
            return Way({})
        stranger.preflight = _is_preflight(scope)
        if not (stranger.preflight or has_public):
            return None
        # A copy, because FastAPI's routes write into the scope while matching.
        asked = dict(members_of(scope))
        try:
            app, place = self._ahead(scope)
            way = public_way(app, asked, self.guard)
            if way is not None and way.redirect is not None:
                # The target must be public from here on, not only within the app that redirects.
                target = public_way(app, asked | {"path": way.redirect}, self.guard)
                return None if target is None or target.redirect is not None else way
            return preflight_way(app, asked, place) if way is None and stranger.preflight else way
        except Exception:  # noqa: BLE001 - of convertors and route classes of the app's own
            return None

    def _ahead(self, scope: Scope) -> tuple[object, int]:
        """Return the app whose routes are ahead, and the index of its first middleware that is ahead."""
        app = scope.get("app")
        # The app's own middleware hides the routes behind it, but its place is known if Starlette added it.
        place = place_in(app, self.guard) if routes_of(self.app) is None else None
        return (self.app, 0) if place is None else (app, place)

    async def _run_check(self, check: Callable[[], None], scope: Scope, send: Send) -> None:
        try:
            check()
        except ConfigurationError as error:
            if scope["type"] == "lifespan":
                # Send the failure and raise: from an exception alone, servers may conclude that the app has no
                # lifespan.
                await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        self._check = None
        if scope["type"] != "lifespan":
            self._announce()

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            raise ConfigurationError(f"connections of type {scope['type']!r} cannot be guarded")

        async def send_with_keys(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                try:
                    await self._internals.verifier.prefetch()
                except KeysUnavailableError:
                    _log.warning("starting without keys; requests are answered with 503 until the keys can be fetched")
                self._announce()
            elif message["type"] == "lifespan.shutdown.complete":
                # Before the message is sent: servers may end the process right after it.
                await self._internals.verifier.wind_down()
                self._internals.refusals.settle()
            await send(message)

        await self.app(scope, receive, send_with_keys)


def check_public_paths(public_paths: Collection[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    """
    Return *public_paths* as a set.

    Raises:
        ConfigurationError: A member is not a pair of an upper-case method and a plain path.

    """
    for entry in public_paths:
        match entry:
            case (str(method), str(path)) if (
                method.isupper() and path.startswith("/") and path.isprintable() and not set(path) & set("*{}?#")
            ):
                continue
        raise ConfigurationError(
            "public_paths takes pairs of a method and an exact path, such as ('GET', '/openapi.json'), "
            f"without wildcards or parameters; got {entry!r}"
        )
    return frozenset(public_paths)


def _is_preflight(scope: Scope) -> bool:
    if scope.get("method") != "OPTIONS":
        return False
    names = {name for name, _ in scope["headers"]}
    return b"origin" in names and b"access-control-request-method" in names
