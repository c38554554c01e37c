"""Closes websockets when the token that opened them expires."""

from __future__ import annotations

from starlette.types import Message, Receive, Scope, Send

from cognito_guard._deadline import within
from cognito_guard._principal import Principal
from cognito_guard._refusals.response import UNAUTHORIZED
from cognito_guard._tokens.verifier import Verifier


def until_expiry(
    scope: Scope, principal: Principal | None, verifier: Verifier, receive: Receive, send: Send
) -> tuple[Receive, Send]:
    """
    Return *receive* and *send* of a websocket that close it, with code 3000, once the token of *principal* has expired.

    Both read the guard's clock. A timer closes an idle websocket. For an HTTP request, or a websocket without a caller,
    they are returned unchanged.
    """
    if scope["type"] != "websocket" or principal is None:
        return receive, send
    closed = False

    async def close() -> None:
        nonlocal closed
        if not closed:
            closed = True
            await send({"type": "websocket.close", "code": UNAUTHORIZED, "reason": "expired"})

    async def receive_until_expiry() -> Message:
        while (left := verifier.seconds_left(principal)) > 0:
            message = await within(left, receive)
            if message and (verifier.seconds_left(principal) > 0 or message["type"] == "websocket.disconnect"):
                return message
        await close()
        return {"type": "websocket.disconnect", "code": UNAUTHORIZED, "reason": "expired"}

    async def send_until_expiry(message: Message) -> None:
        if verifier.seconds_left(principal) <= 0:
            await close()
            # Starlette turns this into a WebSocketDisconnect.
            raise OSError("the access token has expired")
        await send(message)

    return receive_until_expiry, send_until_expiry
