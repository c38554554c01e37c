"""One deadline for a GET: what has arrived by then is read, what has not is given up, and the error says what to do."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from cognito_guard import ANY_CLIENT, CognitoGuard, UserPool
from cognito_guard._keys.fetch import FetchError, built_in
from cognito_guard._keys.get import get
from cognito_guard._keys.loop import OVERTIME, OneJobLoop
from cognito_guard.errors import KeysUnavailableError
from tests.keys.gate import IN_TIME
from tests.keys.hosts import nowhere, on_this_machine

pytestmark = pytest.mark.usefixtures("nothing_in_the_environment")

BODY = b'{"keys": []}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n" + BODY
SOON = 0.25
AT_LEISURE = 20.0


class StarvedTimer:
    """The clock of a thread that gets no processor time from its request until long after *said* has arrived."""

    def __init__(self, server: Any, said: bytes) -> None:
        self._asked = server.asked
        self._late = 0.0
        self._said = said
        server.play = self._play
        self._sent = threading.Event()

    def _play(self, conn: socket.socket) -> None:
        conn.sendall(self._said)
        self._sent.set()
        conn.recv(1)

    def __call__(self) -> float:
        if self._asked.is_set() and not self._late:
            assert self._sent.wait(IN_TIME)
            self._late = 1_000.0
        return time.monotonic() + self._late


def test_an_answer_that_has_arrived_is_not_judged_late(server: Any) -> None:
    assert get(server.url, AT_LEISURE, timer=StarvedTimer(server, ANSWER)) == BODY


@pytest.mark.parametrize("said", [ANSWER[:20], ANSWER[:-1]], ids=["half-a-head", "almost-all"])
def test_an_answer_that_has_not_arrived_is_given_up_as_soon_as_it_is_late(server: Any, said: bytes) -> None:
    started = time.monotonic()

    with pytest.raises(FetchError, match="no complete answer"):
        get(server.url, AT_LEISURE, timer=StarvedTimer(server, said))

    assert time.monotonic() - started < AT_LEISURE / 2


def test_an_answer_without_end_does_not_keep_the_thread(server: Any) -> None:
    """Bytes are always there to be read, but never too many of them: interim answers do not count for the length."""

    def play(conn: socket.socket) -> None:
        while True:
            conn.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    server.play = play
    started = time.monotonic()

    with pytest.raises(FetchError, match="no complete answer"):
        get(server.url, SOON)

    assert SOON + OVERTIME <= time.monotonic() - started < AT_LEISURE


def test_a_fetch_that_is_late_before_it_connects_is_given_up(server: Any) -> None:
    """Such as in a process that was stopped between the two."""
    seconds = itertools.count(step=100.0)

    with pytest.raises(FetchError, match=r"^no complete answer from \W*within 20 s$"):
        get(server.url, AT_LEISURE, timer=lambda: next(seconds))


def test_no_other_limit_ends_a_fetch_before_its_deadline(server: Any, timer: Any) -> None:
    """HTTP clients have limits of their own, by default of 5 seconds for each step."""
    server.answer(BODY)

    def resolve(_: Any, port: int, **hints: Any) -> list[Any]:
        timer.advance(19.0)
        return on_this_machine(_, port, **hints)

    url = server.url.replace("127.0.0.1", "localhost")

    assert get(url, AT_LEISURE, resolve=resolve, timer=timer) == BODY


def test_a_loop_keeps_the_real_clock_while_tests_freeze_time() -> None:
    """What freezes time replaces attributes of modules; a default argument is out of its reach."""
    loop = OneJobLoop()
    try:
        assert loop.time() == pytest.approx(time.monotonic(), abs=60)
        assert time.monotonic in (OneJobLoop.__init__.__defaults__ or ())
    finally:
        loop.close()


def test_the_built_in_get_is_made_ready_for_its_urls() -> None:
    for urls in (["http://127.0.0.1/"], ["https://cognito.example/"], []):
        assert built_in(urls) is get


def answering(status: str, body: bytes = b"") -> Callable[[Any], tuple[str, dict[str, Any]]]:
    def prepare(server: Any) -> tuple[str, dict[str, Any]]:
        server.answer(body, status=status)
        return server.url, {}

    return prepare


def plain_http_for_tls(server: Any) -> tuple[str, dict[str, Any]]:
    server.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    return server.url.replace("http:", "https:"), {}


OUTAGES = [
    pytest.param(lambda _: ("http://cognito.example/", {"resolve": nowhere}), "look-up", "region", id="look-up"),
    pytest.param(plain_http_for_tls, "TLS handshake", "SSL_CERT_FILE", id="tls"),
    pytest.param(answering("400 Bad Request"), "status 400", "the user pool exists", id="no-such-pool"),
    pytest.param(answering("404 Not Found"), "status 404", "the user pool exists", id="not-found"),
    pytest.param(answering("403 Forbidden"), "status 403", "proxy or firewall", id="forbidden"),
    pytest.param(answering("302 Found"), "status 302", "proxy or firewall", id="login-page"),
    pytest.param(answering("429 Slow Down"), "status 429", "AWS Health", id="too-many"),
    pytest.param(answering("499 Whatever"), "status 499", "proxy or firewall", id="499"),
    pytest.param(answering("500 Oh"), "status 500", "AWS Health", id="500"),
    pytest.param(answering("200 OK", b" " * 65_537), "longer", "jwks_url", id="too-long"),
    pytest.param(answering("200 OK\r\nContent-Encoding: br"), "content encoding", "proxy or firewall", id="encoding"),
]


@pytest.mark.parametrize(("prepare", "error", "advice"), OUTAGES)
def test_a_failure_says_what_to_look_at(
    server: Any, prepare: Callable[[Any], tuple[str, dict[str, Any]]], error: str, advice: str
) -> None:
    url, options = prepare(server)

    with pytest.raises(FetchError, match=error) as caught:
        get(url, AT_LEISURE, **options)

    assert advice in caught.value.advice


def test_a_refused_connection_says_to_check_the_way_out(refusing: int) -> None:
    with pytest.raises(FetchError, match="no connection") as caught:
        get(f"http://127.0.0.1:{refusing}/", AT_LEISURE)

    assert "security group" in caught.value.advice


def test_silence_before_the_handshake_is_no_fault_of_the_key_set(server: Any) -> None:
    with pytest.raises(FetchError) as caught:
        get(server.url.replace("http:", "https:"), SOON)

    assert "security group" in caught.value.advice


def test_the_refusal_of_a_proxy_says_which_variable_names_it(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answer(b"", status="407 Proxy Authentication Required")
    monkeypatch.setenv("HTTPS_PROXY", server.url)

    with pytest.raises(FetchError, match="the proxy's status 407") as caught:
        get("https://cognito.example/", AT_LEISURE)

    assert "HTTPS_PROXY" in caught.value.advice


def test_a_connection_that_is_reset_during_the_answer_is_reported(server: Any) -> None:
    def play(conn: socket.socket) -> None:
        conn.sendall(ANSWER[:-1])
        # Closing it resets the connection.
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    server.play = play

    with pytest.raises(FetchError, match=r"^the answer from 127\.0\.0\.1:\d+ is cut short or not HTTP$"):
        get(server.url, AT_LEISURE)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        ("127.0.0.1", "255.255.255.255", "Connection refused"),
        ("255.255.255.255", "127.0.0.1", "Network is unreachable"),
    ],
    ids=["refused-first", "unreachable-first"],
)
def test_of_several_attempts_to_connect_the_first_is_reported(
    refusing: int, first: str, second: str, reason: str
) -> None:
    """No connection can be made to the broadcast address."""

    def resolve(_: Any, port: int, **hints: Any) -> list[Any]:
        (entry,) = on_this_machine(_, port, **hints)
        return [(*entry[:4], (host, port)) for host in (first, second)]

    with pytest.raises(FetchError, match=rf"^no connection to localhost:{refusing}: {reason}$"):
        get(f"http://localhost:{refusing}/", AT_LEISURE, resolve=resolve)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError("nobody knows"), "the connection was closed"),
        (OSError(0, "nobody knows"), os.strerror(0)),
        (OSError(None, "nobody knows"), os.strerror(0)),
    ],
    ids=["no-number", "zero", "a-text-alone"],
)
def test_an_error_without_a_number_is_not_quoted(server: Any, error: OSError, reason: str) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        raise error

    with pytest.raises(FetchError, match=rf"^no connection to localhost:\d+: {reason}$"):
        get(server.url.replace("127.0.0.1", "localhost"), AT_LEISURE, resolve=resolve)


def test_a_guard_without_a_fetch_of_its_own_asks_the_network(
    make_guard: Callable[..., CognitoGuard], refusing: int
) -> None:
    pool = UserPool("eu-west-1_Own", client_ids=ANY_CLIENT, jwks_url=f"http://127.0.0.1:{refusing}/keys")
    guard = make_guard(pool, fetch=None)

    with pytest.raises(KeysUnavailableError):
        asyncio.run(guard.prefetch())

    assert f"no connection to 127.0.0.1:{refusing}" in str(guard.status()["eu-west-1_Own"]["last_error"])
