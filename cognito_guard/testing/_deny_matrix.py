"""Every route of an app, called with every token that must not do, and with one that must."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, Protocol

import anyio
import anyio.lowlevel
from starlette.types import ASGIApp, Message

from cognito_guard._requests.conditions import Condition, Granted, InGroup
from cognito_guard.audit import RouteEntry, routes

_DENIED: Final = {401, 403}


class Mint(Protocol):
    """Signs user tokens, as `LocalCognito.mint_user` and `LocalPool.mint_user` do."""

    def __call__(self, username: str, /, *scopes: str, groups: list[str]) -> str:
        """Return an access token that grants *scopes*, of a user in *groups*."""
        ...


@dataclass(frozen=True, slots=True)
class DenyCall:
    """
    One call of one route.

    Attributes:
        route: What was called.
        token: What with, in words.
        expected: 401, 403, or None where the caller has to get through.
        status: What came of it; 101 for a websocket that was accepted.

    """

    route: RouteEntry
    token: str
    expected: int | None
    status: int

    @property
    def is_hole(self) -> bool:
        """Whether a call got through that must not, or the other way round."""
        if self.expected is None:
            return self.status in _DENIED
        return self.status != self.expected

    def __str__(self) -> str:
        expected = "not to be refused" if self.expected is None else str(self.expected)
        return f"{self.route.method} {self.route.path} with {self.token}: {self.status}, expected {expected}"


async def deny_matrix(
    app: ASGIApp, mint: Mint, *, parameters: Mapping[str, str] | None = None, reach: bool = True
) -> list[DenyCall]:
    """
    Call every route of *app* with no token, a bad one, one without each thing it requires, and one with all of it.

    What is called is what `cognito_guard.audit` lists: the matrix has a row for every route there is, also for those
    that come tomorrow. Nothing is sent but headers; what answers the last of the calls to each route is the app's
    handler, so its side effects are real.

    Args:
        app: The app, with its guard installed.
        mint: Signs tokens that this guard accepts, such as `local_cognito.mint_user`.
        parameters: Values for parameters in paths; others are `1`.
        reach: Whether to make the last call, which gets through to the handler.

    """
    calls: list[DenyCall] = []
    for route in routes(app):
        for token, value, expected in _tokens(route, mint):
            if expected is not None or reach:
                status = await _status(app, route, value, parameters or {})
                calls.append(DenyCall(route, token, expected, status))
    return calls


async def assert_no_holes(
    app: ASGIApp, mint: Mint, *, parameters: Mapping[str, str] | None = None, reach: bool = True
) -> None:
    """
    Pass if every call of the `deny_matrix` came out as it must; takes what that takes.

    Raises:
        AssertionError: One did not; the message lists them.

    """
    holes = [call for call in await deny_matrix(app, mint, parameters=parameters, reach=reach) if call.is_hole]
    if holes:
        raise AssertionError("\n".join(["routes that are not guarded as they say:", *map(str, holes)]))


def _tokens(route: RouteEntry, mint: Mint) -> Iterator[tuple[str, str | None, int | None]]:
    scopes = route.scopes
    conditions = [each.condition for each in route.requirements]
    groups = {name for each in conditions if isinstance(each, InGroup) for name in each.names}

    def token_without(missing: Collection[str]) -> str:
        # Without any scope it would be a token of a sign-in by API, which has one.
        held = sorted(scopes.difference(missing)) or ["none/none"]
        return mint("ada", *held, groups=sorted(groups.difference(missing)))

    everything = token_without(())
    yield "no token", None, None if route.public else 401
    if not route.public:
        yield "a tampered token", everything[:-6] + "AAAAAA", 401
        for requirement in route.requirements:
            for missing in _lacking(requirement.condition):
                yield f"a token without {' and '.join(sorted(missing))}", token_without(missing), 403
    yield "a token that grants it", everything, None


def _lacking(condition: Condition) -> list[frozenset[str]]:
    """Return sets of names without any one of which a caller does not meet *condition*."""
    if isinstance(condition, InGroup):
        return [condition.names]
    if not isinstance(condition, Granted):
        return []
    # A token must lack one scope of each alternative.
    choices = (frozenset(choice) for choice in product(*map(sorted, condition.alternatives)))
    return sorted(dict.fromkeys(choices), key=sorted)


async def _status(app: ASGIApp, route: RouteEntry, token: str | None, parameters: Mapping[str, str]) -> int:
    host, slash, path = re.sub(r"{(\w+)}", lambda match: parameters.get(match[1], "1"), route.path).partition("/")
    headers = [(b"host", (host or "testserver").encode())]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    kind = "websocket" if route.method == "WEBSOCKET" else "http"
    scope: dict[str, Any] = {
        "type": kind,
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http" if kind == "http" else "ws",
        "method": "GET" if route.method == "*" else route.method,
        "path": slash + path,
        "raw_path": (slash + path).encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "server": ("testserver", 80),
        "client": ("testclient", 50000),
        "extensions": {"websocket.http.response": {}},
        "subprotocols": [],
        "state": {},
    }
    incoming = iter([{"type": "http.request"} if kind == "http" else {"type": "websocket.connect"}])
    statuses: list[int] = []

    async def receive() -> Message:
        return next(incoming, {"type": f"{kind}.disconnect", "code": 1000})

    async def send(message: Message) -> None:
        statuses.append(message.get("status", 101 if message["type"] == "websocket.accept" else 403))
        # Whatever else there is to be said may go on for ever.
        answered.cancel()
        await anyio.lowlevel.checkpoint()

    # What a handler makes of an empty request is not for the matrix to judge.
    with anyio.CancelScope() as answered, suppress(Exception):
        await app(scope, receive, send)
    return statuses[0] if statuses else 500
