"""Calls every route of an app with the tokens that it must refuse, and with one that it must accept."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, TypedDict, Unpack

from starlette.types import ASGIApp

from cognito_guard._rules.installed import installed_on
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
        route: The route that was called.
        token: The token, as text for people.
        expected: The status with which a guard must refuse the call, 401 or 403; None if no guard may refuse it.
        status: The status of the answer. 101: a websocket was accepted. 403: it was closed instead. None: there was no
            answer in time.
        refused: The status with which a guard refused the call; None if none did. An app's own 401, 403 or closed
            websocket does not count. If the app shapes refusals, `status` may differ.
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
        """Whether a guard did not refuse a call that it must refuse, or refused one that it must not."""
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
    The progress of the matrix.

    Attributes:
        number: The number of the route that is called next, from 1.
        total: The number of routes.
        route: The route.

    """

    number: int
    total: int
    route: RouteEntry

    def __str__(self) -> str:
        return f"{self.number} of {self.total}: {self.route.method} {self.route.path}"


class MatrixOptions(TypedDict, total=False):
    """The keyword options of `deny_matrix` and `assert_no_holes`; see `deny_matrix`."""

    parameters: Mapping[str, str]
    headers: Mapping[str, str]
    host: str
    scheme: Literal["http", "https"]
    reach: bool | Callable[[RouteEntry], bool]
    timeout: float
    progress: Callable[[Progress], object]


async def deny_matrix(app: ASGIApp, mint: Mint, **options: Unpack[MatrixOptions]) -> list[DenyCall]:
    """
    Call every route of *app* without a token, with a bad one, and with tokens that lack one requirement or none.

    The routes are those that `cognito_guard.audit` lists, so the matrix covers routes that are added later. Only
    headers are sent. The last call of each route reaches the app's handler, so its side effects are real.

    The guard itself reports whether it refused a call; the status does not count. The app's own 401 or 403 is not a
    refusal.

    All tokens are users' tokens, so a route for machines only must refuse all of them. The matrix does not know which
    caller meets a `require_that`, so it leaves out the last call of such a route.

    Args:
        app: The app, with its guard installed.
        mint: Signs tokens that this guard accepts, such as `cognito_stand_in.mint_user`.
        **options: Keyword options:

            parameters: Values for parameters in paths, by name; others are `1`.
            headers: Headers to send with each call, such as an API key that the app also needs.
            host: The `Host` header, `testserver` by default; a `Host` route has its own.
            scheme: `http` (the default) or `https`.
            reach: Whether to make the last call, which reaches the handler. A function of the route decides for each
                route.
            timeout: Seconds after which a call is cancelled, 5 by default. A handler that is not a coroutine function
                runs in a thread. That cannot be stopped, so the matrix waits for it.
            progress: Called with a `Progress` before each route, such as `print`.

    Raises:
        ConfigurationError: The headers contain `Authorization` or `Host`.

    """
    headers = options.get("headers", {})
    for name in headers:
        if name.lower() in {"authorization", "host"}:
            raise ConfigurationError(
                f"headers cannot contain {name}: the matrix sends tokens itself, and host= sets the Host header"
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
    Raise if a call of the `deny_matrix` had a wrong result. Takes the same arguments.

    Raises:
        AssertionError: At least one did; the message lists them.
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
        # An app whose routes cannot be inspected is called with GET.
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
    """Return hints why calls may not have reached their routes."""
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
