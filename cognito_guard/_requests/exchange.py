"""Passes one request to the app, and its answer back."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from cognito_guard._authentication import NO_CREDENTIALS, Anonymous, credentials_of
from cognito_guard._principal import Principal
from cognito_guard._requests.bearer import authorization
from cognito_guard._requests.internals import internals_of
from cognito_guard._requests.scope import GuardedScope, behind
from cognito_guard._requests.state import SCOPE_KEY, RequestState, Stranger
from cognito_guard.errors import RefusalError

_FIRST_REDIRECT: Final = 300
"""From this status on, an answer refuses: it is a redirect to a login page, or an error."""


def gate(state: RequestState, guarded: Scope, send: Send) -> Send:
    """Return the `send` for the app. After a refusal, it drops everything that the app sends."""

    # A closure, not a method: the scope holds the state and servers hold scope and send together; a method would make a
    # reference cycle. A plain function, because a coroutine would add a frame to each message.
    def send_unless_refused(message: Message) -> Awaitable[None]:
        stranger = state.stranger
        if stranger is None and state.refusal is None:
            state.started = True
            return send(message)
        if not state.started and stranger is not None and not (stranger.arrived or _allows(stranger, message)):
            state.refuse(stranger.because, guarded)
        if state.refusal is not None and not state.is_answered:
            if not _is_answer_of_the_app(message, state, state.refusal):
                return _nothing()
            state.is_answered = True
        state.started = True
        return send(message)

    return send_unless_refused


def enter(scope: Scope, state: RequestState) -> GuardedScope:
    """Return the scope for the app: *scope* with the caller, which judges each choice of a route."""
    principal = state.principal
    states = (state,)
    is_nested = SCOPE_KEY in scope
    if is_nested:
        # Servers may call several apps in turn with the same scope. Finished passes do not count any more.
        states = (*(each for each in scope[SCOPE_KEY] if _counts(each, scope)), state)
        is_ours = isinstance(scope.get("user"), Principal | Anonymous)
    else:
        # Do not replace what an outer middleware of the app has set.
        is_ours = "user" not in scope and "auth" not in scope
    scope[SCOPE_KEY] = states
    if is_ours:
        scope["user"] = principal or Anonymous()
        scope["auth"] = NO_CREDENTIALS if principal is None else credentials_of(principal.scopes)
    if "state" not in scope:
        # Before the copy, so that outer middleware sees what the app puts into it, in whatever way it does.
        scope["state"] = {}
    guarded = behind(scope, states) if is_nested or principal is None else GuardedScope(scope)
    guarded.outer = scope
    return guarded


def _counts(state: RequestState, scope: Scope) -> bool:
    """Return whether an outer pass still counts for the request with *scope*."""
    stranger = state.stranger
    # A stranger's public handler may send further requests with other credentials.
    left = stranger is not None and stranger.arrived and authorization(scope["headers"]) != authorization(state.headers)
    return not state.is_over and not left


async def answer(state: RequestState, app: object, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a refused request, unless *app*, or an app inside it, has done so."""
    if state.refusal is not None and not state.is_answered:
        apps = (scope.get("app"), app)
        refusals = internals_of(state.guard).refusals
        await refusals.send(scope, receive, send, error=state.refusal, apps=apps, is_open=state.started)


def is_only(error: Exception, refusal: RefusalError | None) -> bool:
    """Return whether *error* has no other cause than *refusal*."""
    if refusal is None:
        return False
    if isinstance(error, ExceptionGroup):
        return error.split(lambda each: each is refusal)[1] is None
    # Starlette raises a RuntimeError from a refusal if the answer to it was dropped here.
    return error is refusal or error.__cause__ is refusal


async def _nothing() -> None:
    pass


def _allows(stranger: Stranger, message: Message) -> bool:
    """Return whether *message* begins the answer of a `CORSMiddleware` to a preflight."""
    return stranger.way.is_preflight and any(
        name.startswith(b"access-control-allow-") for name, _ in message.get("headers", ())
    )


def _is_answer_of_the_app(message: Message, state: RequestState, refusal: RefusalError) -> bool:
    """Return whether a handler that the app registered for refusals sends *message*, which then gets their headers."""
    if not state.left_to_app or message.get("status", 0) < _FIRST_REDIRECT:
        return False
    if message["status"] == refusal.status:
        headers: Any = MutableHeaders(scope=message)
        for name, value in (refusal.headers or {}).items():
            headers.setdefault(name, value)
    return True
