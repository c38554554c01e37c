"""One request that a guard hands on to the app, and what the app answers."""

from __future__ import annotations

from typing import Final

from starlette.authentication import AuthCredentials, UnauthenticatedUser
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cognito_guard._principal import Principal
from cognito_guard._requests.expiry import until_expiry
from cognito_guard._requests.scope import GuardedScope, SealedScope, is_decided
from cognito_guard._requests.state import SCOPE_KEY, RequestState, current_scope, states_of
from cognito_guard.errors import RefusalError

_FIRST_ERROR_STATUS: Final = 400


class Stranger(UnauthenticatedUser):
    """What `request.user` is on a public route when nobody is known."""


async def hand_on(app: ASGIApp, state: RequestState, scope: Scope, receive: Receive, send: Send) -> None:
    """
    Serve a connection with *app*, in a scope that judges each choice of a route.

    Once the request is refused nothing that *app* sends gets out, save the answer of its own handler for such errors.
    """
    guarded = _enter(scope, state)
    outer_app = scope.get("app", app)
    internals = state.internals
    if state.principal is not None and internals.close_on_expiry and scope["type"] == "websocket":
        receive, send = until_expiry(state.principal, internals.verifier, receive, send)

    # A closure, not a method: the scope holds the state and servers hold scope and send together; a method would make a
    # reference cycle.
    async def send_unless_refused(message: Message) -> None:
        if not state.started:
            if state.anonymous_because is not None and not state.decided and not _is_preflight_answer(message, state):
                state.refuse(state.anonymous_because, guarded)
            if state.refusal is not None and not _is_answer_of_the_app(message, state, state.refusal):
                return
            state.started = True
            guarded.show()
        await send(message)

    previous = current_scope.get()
    current_scope.set(guarded)
    try:
        await app(guarded, receive, send_unless_refused)
    except Exception as error:
        refusal = state.refusal
        if refusal is None:
            raise
        await _answer(state, outer_app, guarded, receive, send)
        # Starlette raises a RuntimeError from a refusal whose answer was kept back here.
        if error is not refusal and error.__cause__ is not refusal:
            raise
    else:
        await _answer(state, outer_app, guarded, receive, send)
    finally:
        # Not reset(), which raises where the server ends the request in another context.
        current_scope.set(previous)
        state.is_over = True


def _enter(scope: Scope, state: RequestState) -> GuardedScope:
    before = states_of(scope)
    # Servers may ask one app after another with the same scope: what is over counts no more.
    scope[SCOPE_KEY] = (*(each for each in before if not each.is_over), state)
    # What an outer middleware of the app's own has put here is left alone.
    if isinstance(scope.get("user"), Principal | Stranger | None) and ("auth" not in scope or before):
        scope["auth"] = AuthCredentials(None if state.principal is None else list(state.principal.scopes))
        scope["user"] = state.principal or Stranger()
    # Shared with middleware outside, which reads request.state when the response passes.
    scope.setdefault("state", {})
    return GuardedScope(scope) if is_decided(scope) else SealedScope(scope)


async def _answer(state: RequestState, app: object, scope: Scope, receive: Receive, send: Send) -> None:
    if state.refusal is not None and not state.started:
        apps = (scope.get("app"), app)
        await state.internals.refusals.send(scope, receive, send, error=state.refusal, apps=apps)


def _is_preflight_answer(message: Message, state: RequestState) -> bool:
    return state.preflight and any(name.startswith(b"access-control-allow-") for name, _ in message.get("headers", ()))


def _is_answer_of_the_app(message: Message, state: RequestState, refusal: RefusalError) -> bool:
    """Return whether a handler that the app registered for refusals sends *message*, which then gets their headers."""
    if not state.left_to_app or message.get("status", 0) < _FIRST_ERROR_STATUS:
        return False
    if message["status"] == refusal.status:
        headers = MutableHeaders(scope=message)
        for name, value in (refusal.headers or {}).items():
            headers.setdefault(name, value)
    return True
