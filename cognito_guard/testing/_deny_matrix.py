"""Every route of an app, called with every token that it must refuse, and with one that it must accept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypedDict, Unpack

from starlette.types import ASGIApp

from cognito_guard._requests.installed import installed_on
from cognito_guard.audit import RouteEntry, routes
from cognito_guard.errors import ConfigurationError
from cognito_guard.testing._asgi_call import call
from cognito_guard.testing._deny_tokens import Attempt, Mint, Tokens

_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class DenyCall:
    """
    One call of one route.

    Attributes:
        route: What was called.
        token: What with, in words.
        expected: 401 or 403, which a guard must refuse it with, or None if no guard may refuse it.
        status: How it was answered; 101 for a websocket that was accepted, 403 for one that was closed instead, None if
            there was no answer in time.
        refused: The status that a guard refused it with, or None if none did. An app's own 401, 403 or closed websocket
            is no refusal. An app that shapes refusals may answer with another status.
        reason: Why the guard refused it; see `cognito_guard.errors`.

    """

    route: RouteEntry
    token: str
    expected: int | None
    status: int | None
    refused: int | None
    reason: str | None

    @property
    def is_hole(self) -> bool:
        """Whether a call got through that a guard must refuse, or the other way round."""
        return self.refused != self.expected

    def __str__(self) -> str:
        if self.refused is not None:
            shaped = "" if self.status == self.refused else f", shaped as {self.status} by the app"
            found = f"{self.refused} {self.reason} by a guard{shaped}"
        else:
            found = "no answer in time" if self.status is None else f"{self.status} by the app"
        expected = "no refusal" if self.expected is None else f"{self.expected} by a guard"
        return f"{self.route.method} {self.route.path} with {self.token}: {found}, expected {expected}"


class Progress(NamedTuple):
    """
    How far the matrix is.

    Attributes:
        number: The number of the route that is called next, from 1.
        total: How many routes there are.
        route: The route.

    """

    number: int
    total: int
    route: RouteEntry

    def __str__(self) -> str:
        return f"{self.number} of {self.total}: {self.route.method} {self.route.path}"


class MatrixOptions(TypedDict, total=False):
    """What `deny_matrix` and `assert_no_holes` take by name; see `deny_matrix`."""

    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    host: str
    scheme: Literal["http", "https"]
    reach: bool | Callable[[RouteEntry], bool]
    timeout: float
    progress: Callable[[Progress], object]


async def deny_matrix(app: ASGIApp, mint: Mint, **options: Unpack[MatrixOptions]) -> list[DenyCall]:
    """
    Call every route of *app* with no token, a bad one, one without each thing it requires, and one with all of it.

    The routes are those that `cognito_guard.audit` lists, so the matrix covers routes that are added later. Nothing is
    sent but headers. The last of the calls to each route reaches the app's handler, so its side effects are real.

    Whether a guard refused a call is learnt from the guard, not from the status: the app's own 401 or 403 is none.

    All tokens are of a user, whom a route for machines alone must refuse. The matrix does not know which caller meets
    `require_that`, so it leaves out the last call to such a route.

    Args:
        app: The app, with its guard installed.
        mint: Signs tokens that this guard accepts, such as `cognito_stand_in.mint_user`.
        **options: By name:

            parameters: Values for parameters in paths, by name; others are `1`.
            headers: Headers to send with each call, such as an API key that the app asks for besides.
            host: The `Host` header, `testserver` by default; a `Host` route has its own.
            scheme: `http` (the default) or `https`.
            reach: Whether to make the last call, the one that reaches the handler. A function decides for each route.
            timeout: Seconds after which a call is given up, 5 by default. A handler that is no coroutine runs in a
                thread, which cannot be stopped, and is waited for.
            progress: Called with a `Progress` before each route; `print` will do.

    Raises:
        ConfigurationError: The headers hold `Authorization` or `Host`.

    """
    headers = options.get("headers", {})
    for name in headers:
        if name.lower() in {"authorization", "host"}:
            raise ConfigurationError(
                f"headers cannot hold {name}: the matrix sends tokens itself, and host= sets the Host header"
            )
    reach = options.get("reach", True)
    progress = options.get("progress")
    entries = routes(app)
    tokens = Tokens(mint, entries, [installed.guard for installed in installed_on(app)])
    calls: list[DenyCall] = []
    for number, route in enumerate(entries, 1):
        if progress is not None:
            progress(Progress(number, len(entries), route))
        reached = reach(route) if callable(reach) else reach
        attempts = [each for each in tokens.attempts(route) if reached or each.expected is not None]
        calls += [await _made(app, route, attempt, options) for attempt in attempts]
    return calls


async def assert_no_holes(app: ASGIApp, mint: Mint, **options: Unpack[MatrixOptions]) -> None:
    """
    Pass if every call of the `deny_matrix` came out as it must; takes what that takes.

    Raises:
        AssertionError: One did not; the message lists them.
        ConfigurationError: As `deny_matrix`.

    """
    calls = await deny_matrix(app, mint, **options)
    holes = [call for call in calls if call.is_hole]
    if holes:
        raise AssertionError("\n".join(["Routes that are not guarded as they say:", *map(str, holes), *_hints(calls)]))


async def _made(app: ASGIApp, route: RouteEntry, attempt: Attempt, options: MatrixOptions) -> DenyCall:
    parameters = options.get("parameters", {})
    host, slash, path = re.sub(r"{(\w+)}", lambda match: parameters.get(match[1], "1"), route.path).partition("/")
    authorization = {} if attempt.token is None else {"authorization": f"Bearer {attempt.token}"}
    outcome = await call(
        app,
        # An app that cannot be inspected is called with GET.
        method={"WEBSOCKET": None, "*": "GET"}.get(route.method, route.method),
        scheme=options.get("scheme", "http"),
        host=host or options.get("host", "testserver"),
        path=slash + path,
        headers=[*options.get("headers", {}).items(), *authorization.items()],
        timeout=options.get("timeout", 5.0),
    )
    refused, reason = (None, None) if outcome.refusal is None else (outcome.refusal.status, outcome.refusal.reason)
    return DenyCall(route, attempt.name, attempt.expected, outcome.status, refused, reason)


def _hints(calls: Sequence[DenyCall]) -> list[str]:
    """Return what may have kept calls from the routes they were for."""
    hints = []
    statuses = {call.status for call in calls}
    if len(statuses) == 1 and all(call.refused is None for call in calls):
        hints.append(
            f"No call reached a guard: all were answered with {statuses.pop()}. If the app checks the host, the scheme "
            "or a header first, give host=, scheme= or headers=."
        )
    if any(call.is_hole and call.status == _NOT_FOUND and "{" in call.route.path for call in calls):
        hints.append("404 may mean that a parameter in the path needs another value than 1; give parameters=.")
    return hints
