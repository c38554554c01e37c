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
from cognito_guard._requests.internals import internals_of
from cognito_guard._requests.state import SCOPE_KEY, RequestState, Stranger, current_scope, states_of
from cognito_guard._rules.installed import check_public_paths
from cognito_guard._rules.lookup import members_of, way_of
from cognito_guard._rules.requirement import Guard
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
        guard: Guard,
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
        state = (
            RequestState(self.guard, scope["headers"], principal)
            if principal is not None
            else await self._identify(scope, receive, send, values, digest)
        )
        if state is None:
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
            way = way_of(scope, self.app, self.guard, public_paths=self.public_paths, has_public=internals.has_public)
            if way is None:
                refusal = RequestState(self.guard, scope["headers"], None).refuse(reason, scope)
                app = scope.get("app", self.app)
                await internals.refusals.send(scope, receive, send, error=refusal, apps=(app,))
                return None
            if way.redirect is not None:
                url = URL(scope=dict(members_of(scope)) | {"path": way.redirect})
                await RedirectResponse(str(url))(scope, receive, send)
                return None
            return RequestState(self.guard, scope["headers"], None, Stranger(reason, way))
        return RequestState(self.guard, scope["headers"], principal)

    def _let_in_before(self, scope: Scope) -> Principal | None:
        """Return the caller if an outer pass of this guard has let in this very request."""
        for state in states_of(scope):
            if state.guard is self.guard and state.headers is scope["headers"] and not state.is_over:
                return state.principal
        return None

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
                    await self._internals.verifier.issuers.prefetch()
                except KeysUnavailableError:
                    _log.warning("starting without keys; requests are answered with 503 until the keys can be fetched")
                self._announce()
            elif message["type"] == "lifespan.shutdown.complete":
                # Before the message is sent: servers may end the process right after it.
                await self._internals.verifier.issuers.wind_down()
                self._internals.refusals.settle()
            await send(message)

        await self.app(scope, receive, send_with_keys)
