"""Faults that can be switched on, and lifted again while requests wait."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

import anyio
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from cognito_guard.errors import ConfigurationError

_POLL_INTERVAL: Final = 0.05  # seconds between two looks: a fault may be lifted from any thread


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    One way in which an answer is wrong.

    Attributes:
        delay: Seconds before the answer.
        hangs: Do not answer until the fault is lifted or the caller disconnects.
        status: Answer with this status, 200 to 599, without key or token.
        bad_json: Answer with JSON that is cut off.

    Raises:
        ConfigurationError: The delay is negative or infinite, or the status is not an HTTP status.

    """

    delay: float = 0.0
    hangs: bool = False
    status: int | None = None
    bad_json: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.delay < math.inf:
            raise ConfigurationError(f"delay must be a number of seconds, 0 or more; got {self.delay!r}")
        if self.status is not None and self.status not in range(200, 600):
            raise ConfigurationError(f"status must be 200 to 599, got {self.status!r}")


class Faults:
    """
    The faults that are switched on. Set an attribute to a `Fault` to switch one on, to None to lift it.

    Attributes:
        jwks: The fault of the key set.
        token: The fault of the token endpoint and of `GetClientToken`.

    """

    def __init__(self, sleep: Callable[[float], Awaitable[object]] = anyio.sleep) -> None:
        self.jwks: Fault | None = None
        self.token: Fault | None = None
        self._sleep: Final = sleep

    def clear(self) -> None:
        """Lift all faults."""
        self.jwks = self.token = None

    async def disturb(self, route: Literal["jwks", "token"], receive: Receive) -> Response | None:
        """
        Wait as long as the fault of *route* says, and return its answer; None to answer as usual.

        Args:
            route: The name of the attribute.
            receive: The ASGI receive of a request whose body has been read.

        """
        fault: Fault | None = getattr(self, route)
        if fault is None:
            return None

        async def hold() -> None:
            await self._sleep(fault.delay)
            while fault.hangs and getattr(self, route) is fault:
                await self._sleep(_POLL_INTERVAL)

        if await _has_left_during(hold, receive):
            return NoAnswer()
        if fault.bad_json:
            return Response('{"keys":[{', fault.status or 200, media_type="application/json")
        if fault.status:
            return JSONResponse({"message": "A fault is switched on."}, fault.status)
        return None


class NoAnswer(Response):
    """Sends nothing, because the caller has disconnected."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """End the request."""


async def _has_left_during(hold: Callable[[], Awaitable[None]], receive: Receive) -> bool:
    left = False

    async def watch() -> None:
        nonlocal left
        while (await receive())["type"] != "http.disconnect":
            pass
        left = True
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        await hold()
        tasks.cancel_scope.cancel()
    return left
