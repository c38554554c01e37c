"""Websockets that end with the token they were opened with."""

from collections.abc import Callable
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from cognito_guard import CognitoGuard
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalClient, LocalPool

pytestmark = pytest.mark.anyio

MakeGuard = Callable[..., CognitoGuard]

LIFETIME = 60


class Peer:
    """The other end of a websocket: says what it is told to, and keeps what it is told."""

    def __init__(self, *incoming: Message, patience: float | None = None) -> None:
        self._incoming = [{"type": "websocket.connect"}, *incoming]
        self._patience = patience
        self.sent: list[tuple[str, Any]] = []

    async def receive(self) -> Message:
        if not self._incoming:
            await anyio.sleep_forever()
        message = self._incoming.pop(0)
        before = message.pop("before", None)
        if before is not None:
            before()
        return message

    async def send(self, message: Message) -> None:
        self.sent.append((message["type"], message.get("text", message.get("code"))))
        assert message["type"] != "websocket.close" or message["reason"] == "expired"

    async def open(self, app: Any, token: str | None) -> None:
        scope = {
            "type": "websocket",
            "path": "/ws",
            "headers": [] if token is None else [(b"authorization", b"Bearer " + token.encode())],
            "query_string": b"",
            "subprotocols": [],
        }
        await app(scope, self.receive, self.send)


def text(content: str, before: Callable[[], None] | None = None) -> Message:
    return {"type": "websocket.receive", "text": content, "before": before}


def echoing(guard: CognitoGuard, ended: list[int]) -> Starlette:
    @guard.authenticated
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnect as disconnect:
            ended.append(disconnect.code)

    app = Starlette(routes=[WebSocketRoute("/ws", echo)])
    guard.install(app)
    return app


@pytest.fixture
def short(pool: LocalPool, reader: LocalClient) -> str:
    return pool.mint(client_id=reader.client_id, lifetime=LIFETIME)


async def test_a_message_that_comes_after_the_token_expired_closes_the_socket(
    make_guard: MakeGuard, clock: Any, short: str
) -> None:
    ended: list[int] = []
    app = echoing(make_guard(close_on_expiry=True), ended)
    nearly, past = (lambda: clock.advance(LIFETIME - 0.001)), (lambda: clock.advance(0.001))
    peer = Peer(text("one", nearly), text("two"), text("three", past))

    await peer.open(app, short)

    sent = [("websocket.send", "one"), ("websocket.send", "two")]
    assert peer.sent == [("websocket.accept", None), *sent, ("websocket.close", 3000)]
    assert ended == [3000]


async def test_the_leeway_of_the_guard_counts(make_guard: MakeGuard, clock: Any, short: str) -> None:
    app = echoing(make_guard(close_on_expiry=True, leeway=5), [])
    peer = Peer(text("one", lambda: clock.advance(LIFETIME + 4.999)), text("two", lambda: clock.advance(0.001)))

    await peer.open(app, short)

    assert peer.sent[1:] == [("websocket.send", "one"), ("websocket.close", 3000)]


async def test_what_the_app_sends_after_the_token_expired_does_not_get_out(
    make_guard: MakeGuard, clock: Any, short: str
) -> None:
    guard = make_guard(close_on_expiry=True)

    @guard.authenticated
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("one")
        clock.advance(LIFETIME)
        for _ in range(2):
            with pytest.raises((WebSocketDisconnect, RuntimeError)):
                await websocket.send_text("two")

    app = Starlette(routes=[WebSocketRoute("/ws", feed)])
    guard.install(app)
    peer = Peer()
    await peer.open(app, short)

    assert peer.sent == [("websocket.accept", None), ("websocket.send", "one"), ("websocket.close", 3000)]


async def test_an_idle_websocket_is_closed_by_a_timer(
    make_guard: MakeGuard, pool: LocalPool, reader: LocalClient, clock: Any
) -> None:
    """The clock stands a hundredth of a second before the end; the timer is the event loop's."""
    ended: list[int] = []
    app = echoing(make_guard(close_on_expiry=True, clock=Winding(clock)), ended)
    peer = Peer()

    with anyio.fail_after(20):
        await peer.open(app, pool.mint(client_id=reader.client_id, lifetime=LIFETIME))

    assert peer.sent == [("websocket.accept", None), ("websocket.close", 3000)]
    assert ended == [3000]


class Winding:
    """A clock that shows the start once, and from then on nearly, then quite, the end of the token."""

    def __init__(self, clock: Any) -> None:
        self._start = clock.now
        self._looks = 0

    def __call__(self) -> float:
        self._looks += 1
        return float(self._start + (0 if self._looks < 6 else LIFETIME - 0.01 if self._looks < 10 else LIFETIME))


async def test_a_peer_that_has_left_is_not_closed_again(make_guard: MakeGuard, clock: Any, short: str) -> None:
    ended: list[int] = []
    app = echoing(make_guard(close_on_expiry=True), ended)
    gone = {"type": "websocket.disconnect", "code": 1001, "before": lambda: clock.advance(LIFETIME)}

    peer = Peer(gone)
    await peer.open(app, short)

    assert peer.sent == [("websocket.accept", None)]
    assert ended == [1001]


async def test_what_the_app_sends_and_receives_after_the_token_expired_closes_the_socket_once(
    make_guard: MakeGuard, clock: Any, short: str
) -> None:
    guard = make_guard(close_on_expiry=True)
    received: list[Message] = []

    @guard.authenticated
    async def feed(websocket: WebSocket) -> None:
        await websocket.accept()
        clock.advance(LIFETIME)
        with pytest.raises(WebSocketDisconnect):
            await websocket.send_text("one")
        received.append(await websocket.receive())

    app = Starlette(routes=[WebSocketRoute("/ws", feed)])
    guard.install(app)
    peer = Peer()
    await peer.open(app, short)

    assert received == [{"type": "websocket.disconnect", "code": 3000, "reason": "expired"}]
    assert peer.sent == [("websocket.accept", None), ("websocket.close", 3000)]


async def test_requests_and_websockets_without_a_caller_have_no_end(
    make_guard: MakeGuard, clock: Any, short: str
) -> None:
    guard = make_guard(close_on_expiry=True)

    async def slow(request: Request) -> Response:
        clock.advance(2 * LIFETIME)
        return PlainTextResponse(await request.body())

    @guard.public
    async def open_to_all(websocket: WebSocket) -> None:
        await websocket.accept()
        clock.advance(2 * LIFETIME)
        await websocket.send_text("still here")

    app = Starlette(routes=[Route("/", slow, methods=["POST"]), WebSocketRoute("/ws", open_to_all)])
    guard.install(app)
    headers = {"authorization": f"Bearer {short}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.example") as client:
        assert (await client.post("/", headers=headers, content="body")).text == "body"
    peer = Peer()
    await peer.open(app, None)

    assert peer.sent == [("websocket.accept", None), ("websocket.send", "still here")]


async def test_by_default_a_websocket_is_judged_when_it_opens(make_guard: MakeGuard, clock: Any, short: str) -> None:
    ended: list[int] = []
    app = echoing(make_guard(), ended)
    peer = Peer(text("one", lambda: clock.advance(2 * LIFETIME)), {"type": "websocket.disconnect", "code": 1000})

    await peer.open(app, short)

    assert peer.sent == [("websocket.accept", None), ("websocket.send", "one")]


def test_the_option_is_a_switch(make_guard: MakeGuard) -> None:
    with pytest.raises(ConfigurationError, match="close_on_expiry"):
        make_guard(close_on_expiry="yes")
