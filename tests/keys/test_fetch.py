"""Which answers are accepted. Every server here is a real one, on loopback."""

from __future__ import annotations

import gc
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognito_guard._keys.fetch import MAX_LENGTH, FetchError
from cognito_guard._keys.get import get as fetch
from tests.keys.hosts import on_this_machine

pytestmark = pytest.mark.usefixtures("nothing_in_the_environment")

BODY = b'{"keys": []}'
SOON = 0.25
"""Seconds after which a fetch that gets nowhere is given up."""

AT_LEISURE = 20.0


@pytest.fixture(scope="module", autouse=True)
def collecting_is_quick() -> None:
    """Objects from before these tests are left out of the collections between them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """No thread and, since warnings are errors, no socket and no event loop."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    left = set(threading.enumerate()) - before
    list(map(partial(threading.Thread.join, timeout=AT_LEISURE), left))
    assert not any(thread.is_alive() for thread in left)


def test_the_body_of_a_plain_200_is_returned(server: Any) -> None:
    server.answer(BODY)

    assert fetch(server.url, AT_LEISURE) == BODY


def test_it_asks_for_uncompressed_json_and_names_itself(server: Any) -> None:
    server.answer(BODY)

    fetch(server.url + "?a=b", AT_LEISURE)

    (head,) = server.heads
    assert head.startswith(b"GET /jwks.json?a=b HTTP/1.1\r\n")
    for line in (
        b"Accept: application/jwk-set+json, application/json",
        b"Accept-Encoding: identity",
        b"User-Agent: cognito-guard",
        b"Connection: close",
    ):
        assert b"\r\n" + line + b"\r\n" in head


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 300, 304, 400, 401, 403, 404, 429, 500, 502, 503, 599])
def test_any_other_status_is_refused(server: Any, status: int) -> None:
    server.answer(b"" if status in {204, 304} else BODY, status=f"{status} Something")

    with pytest.raises(FetchError, match=f"^status {status} instead of 200$"):
        fetch(server.url, AT_LEISURE)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(make_server: Callable[[], Any], status: int) -> None:
    server, target = make_server(), make_server()
    target.answer(BODY)
    server.answer(b"", f"Location: {target.url}", status=f"{status} Elsewhere")

    with pytest.raises(FetchError, match=f"^status {status} instead of 200$"):
        fetch(server.url, AT_LEISURE)

    assert target.heads == []


def test_an_error_status_does_not_wait_for_its_body(server: Any) -> None:
    server.answer(b"", status="503 Service Unavailable", length=1_000)

    with pytest.raises(FetchError, match="503"):
        fetch(server.url, AT_LEISURE)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(lambda server: None, id="silence"),
        pytest.param(lambda server: server.say(*[bytes([byte]) for byte in HEAD + BODY], every=0.05), id="head-drip"),
        pytest.param(lambda server: server.say(HEAD, *[b" "] * 12, every=0.1), id="body-drip"),
        pytest.param(
            lambda server: server.say(CHUNKED, *[b"0"] * 99, every=0.05),
            id="chunk-drip",
        ),
        pytest.param(
            lambda server: server.say(b"HTTP/1.1 200 OK\r\n\r\n", *[b" "] * 99, every=0.05), id="endless-drip"
        ),
    ],
)
def test_one_deadline_bounds_all_of_it(server: Any, play: Callable[[Any], None]) -> None:
    play(server)
    started = time.monotonic()

    with pytest.raises(FetchError, match=r"^no complete answer from 127\.0\.0\.1:\d+ within 0\.25 s$"):
        fetch(server.url, SOON)

    assert SOON <= time.monotonic() - started < AT_LEISURE


def test_a_handshake_that_hangs_is_given_up_and_its_connection_closed(server: Any) -> None:
    """The server says nothing until the client has closed; the fixture waits for that."""
    with pytest.raises(FetchError, match=r"^no TLS handshake with 127\.0\.0\.1:\d+ within 0\.25 s$"):
        fetch(server.url.replace("http:", "https:"), SOON)


@pytest.fixture
def full() -> Iterator[int]:
    """A port that neither accepts nor refuses connections: its queue has room for one, and is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for conn in (first, second):
            conn.settimeout(0)
            conn.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", "cognito.example"], ids=["an-address", "a-name"])
def test_a_host_that_does_not_accept_connections_is_given_up(full: int, host: str) -> None:
    """The look-up of its name, if there was one, is over and not to blame."""
    with pytest.raises(FetchError, match=rf"^no connection to {host}:{full} within 0\.25 s$"):
        fetch(f"http://{host}:{full}/", SOON, resolve=on_this_machine)


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What waits for it waits until the test is over, even if the test fails."""
    over = threading.Event()
    yield over
    over.set()


def test_a_look_up_that_hangs_is_given_up(server: Any, stuck: threading.Event) -> None:
    before = set(threading.enumerate())

    def resolve(*args: Any, **hints: Any) -> list[Any]:
        stuck.wait()
        return socket.getaddrinfo(*args, **hints)

    with pytest.raises(FetchError, match=r"^the look-up of localhost gave no answer within 0\.25 s$"):
        fetch(f"http://localhost:{server.port}/", SOON, resolve=resolve)

    (look_up,) = set(threading.enumerate()) - before
    assert (look_up.name, look_up.daemon) == ("cognito-guard look-up", True)


def test_a_look_up_that_fails_is_reported(server: Any) -> None:
    def resolve(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(FetchError, match=r"^the look-up of cognito\.example failed: Name or service not known$"):
        fetch(f"http://cognito.example:{server.port}/", AT_LEISURE, resolve=resolve)


def test_a_refused_connection_is_reported(refusing: int) -> None:
    with pytest.raises(FetchError, match=rf"^no connection to 127\.0\.0\.1:{refusing}: Connection refused$"):
        fetch(f"http://127.0.0.1:{refusing}/", AT_LEISURE)


def test_64_kib_are_accepted(server: Any) -> None:
    server.answer(b" " * MAX_LENGTH)

    assert fetch(server.url, AT_LEISURE) == b" " * 65_536


@pytest.mark.parametrize(
    "head",
    [
        pytest.param("Content-Length: 65537\r\n", id="announced"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\n8000\r\n" + " " * 0x8000 + "\r\n8001\r\n", id="in-chunks"),
        pytest.param("", id="until-it-closes"),
    ],
)
def test_one_byte_more_is_too_long(server: Any, head: str) -> None:
    server.say(f"HTTP/1.1 200 OK\r\n{head}\r\n".encode(), b" " * (MAX_LENGTH + 1))

    with pytest.raises(FetchError, match="longer than 65536 bytes"):
        fetch(server.url, AT_LEISURE)


def test_a_body_without_end_is_read_no_further(server: Any) -> None:
    """It never gets to the end of what the server would send."""
    sent = 0

    def play(conn: socket.socket) -> None:
        nonlocal sent
        conn.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sent += conn.send(b" " * 1_000)

    server.play = play

    with pytest.raises(FetchError, match="longer than 65536 bytes"):
        fetch(server.url, AT_LEISURE)
    # Only what the kernel buffers on both sides.
    assert sent < 20_000_000


def test_chunks_are_put_together(server: Any) -> None:
    server.say(CHUNKED, b'5\r\n{"key\r\n', b'7\r\ns": []}\r\n0\r\n\r\n')

    assert fetch(server.url, AT_LEISURE) == BODY


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body)


@pytest.mark.parametrize("name", ["gzip", "GZIP"])
def test_gzip_is_accepted_although_not_asked_for(server: Any, name: str) -> None:
    server.answer(gzipped(BODY), f"Content-Encoding: {name}")

    assert fetch(server.url, AT_LEISURE) == BODY


@pytest.mark.parametrize(("length", "taken"), [(MAX_LENGTH, True), (MAX_LENGTH + 1, False)])
def test_64_kib_is_the_limit_after_decompression(server: Any, length: int, taken: bool) -> None:
    server.answer(gzipped(b" " * length), "Content-Encoding: gzip")

    if taken:
        assert fetch(server.url, AT_LEISURE) == b" " * length
    else:
        with pytest.raises(FetchError, match="longer than 65536 bytes"):
            fetch(server.url, AT_LEISURE)


def test_a_gzip_bomb_is_not_inflated(server: Any) -> None:
    """Sixty MB in 64 KiB; inflating them would show."""
    bomb = gzipped(bytes(60_000_000))
    assert len(bomb) < MAX_LENGTH
    server.answer(bomb, "Content-Encoding: gzip")
    tracemalloc.start()
    try:
        with pytest.raises(FetchError, match="longer than 65536 bytes"):
            fetch(server.url, AT_LEISURE)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 5_000_000


BROKEN = [
    pytest.param(gzipped(BODY)[:-9], "gzip", "truncated", id="gzip-cut-in-its-data"),
    pytest.param(gzipped(BODY)[:-1], "gzip", "truncated", id="gzip-cut-in-its-checksum"),
    pytest.param(b"", "gzip", "truncated", id="gzip-of-nothing"),
    pytest.param(gzipped(BODY)[:-8] + bytes(8), "gzip", "says it is gzip, but is not", id="gzip-wrong-checksum"),
    pytest.param(BODY, "gzip", "says it is gzip, but is not", id="no-gzip"),
    pytest.param(zlib.compress(BODY), "gzip", "says it is gzip, but is not", id="zlib-for-gzip"),
    pytest.param(zlib.compress(BODY), "deflate", "content encoding", id="deflate"),
    pytest.param(BODY, "br", "content encoding", id="br"),
    pytest.param(gzipped(gzipped(BODY)), "gzip, gzip", "content encoding", id="gzip-twice"),
    pytest.param(BODY, "\N{LATIN SMALL LETTER E WITH ACUTE}", "content encoding", id="no-ascii"),
]


@pytest.mark.parametrize(("body", "encoding", "reason"), BROKEN)
def test_a_broken_or_unknown_encoding_is_refused(server: Any, body: bytes, encoding: str, reason: str) -> None:
    server.answer(body, f"Content-Encoding: {encoding}")

    with pytest.raises(FetchError, match=reason):
        fetch(server.url, AT_LEISURE)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"SSH-2.0-OpenSSH_9.6\r\n", id="another-protocol"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="cut-in-the-head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + BODY, id="cut-in-the-body"),
        pytest.param(CHUNKED + b"5\r\n{", id="cut-in-a-chunk"),
        pytest.param(CHUNKED + b"xyz\r\n", id="no-chunk"),
        pytest.param(CHUNKED + b"-5\r\n12345\r\n0\r\n\r\n", id="chunk-below-0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", id="length-below-0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", id="length-no-number"),
        pytest.param(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200_000, id="endless-head"),
    ],
)
def test_an_answer_that_is_not_http_is_refused_without_being_quoted(server: Any, answer: bytes) -> None:
    server.say(answer)

    with pytest.raises(FetchError, match=r"^the answer from 127\.0\.0\.1:\d+ is cut short or not HTTP$"):
        fetch(server.url, AT_LEISURE)


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe\x00\x01", b"", b"200 OK", b"HTTP/2 200", b"HTTP/1.1 2000 OK", b"HTTP/1.1 +20 OK", b" HTTP/1.1 200 OK"],
)
def test_an_answer_without_a_status_line_is_refused(server: Any, line: bytes) -> None:
    server.say(line + b"\r\nContent-Length: 12\r\n\r\n" + BODY)

    with pytest.raises(FetchError, match=r"^the answer from 127\.0\.0\.1:\d+ is cut short or not HTTP$"):
        fetch(server.url, AT_LEISURE)


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.1 200 \xe9"]
)
def test_the_words_beside_a_status_do_not_matter(server: Any, line: bytes) -> None:
    server.say(line + b"\r\n\r\n" + BODY)

    assert fetch(server.url, AT_LEISURE) == BODY


def test_an_unrequested_transfer_encoding_is_refused(server: Any) -> None:
    server.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")

    with pytest.raises(FetchError, match="cut short or not HTTP"):
        fetch(server.url, AT_LEISURE)


def test_bytes_after_the_body_are_neither_read_nor_waited_for(server: Any, stuck: threading.Event) -> None:
    """A server may keep the connection open, whatever it was asked."""

    def play(conn: socket.socket) -> None:
        conn.sendall(HEAD + BODY + b"HTTP/1.1 500 Oh\r\n\r\n")
        stuck.wait()

    server.play = play

    assert fetch(server.url, AT_LEISURE) == BODY


@given(st.binary(max_size=200), st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", HEAD, CHUNKED]))
def test_any_answer_gives_a_body_or_our_error(server: Any, noise: bytes, start: bytes) -> None:
    server.say(start + noise)

    with suppress(FetchError):
        assert len(fetch(server.url, AT_LEISURE)) <= MAX_LENGTH


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http://", "nonsense", "http://127.0.0.1:99999/", "http://[::1/"])
def test_a_url_that_cannot_be_fetched_raises_our_error(url: str) -> None:
    with pytest.raises(FetchError, match=r"^the request failed: "):
        fetch(url, AT_LEISURE)


def test_an_unreachable_address_does_not_use_up_the_time(server: Any, full: int) -> None:
    """Such as IPv6 on a machine that has an IPv6 address, but no route."""
    server.answer(BODY)

    def resolve(host: str, port: int, **hints: Any) -> list[Any]:
        (entry,) = socket.getaddrinfo("127.0.0.1", port, **hints)
        return [(*entry[:4], ("127.0.0.1", full)), (*entry[:4], ("127.0.0.1", server.port))]

    assert fetch(f"http://localhost:{server.port}/", AT_LEISURE, resolve=resolve) == BODY


@pytest.fixture
def proxy(make_server: Callable[..., Any], certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A proxy with every host behind it, and an environment that names it."""
    proxy = make_server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def play(conn: socket.socket) -> None:
        conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(conn, server_side=True) as secured:
            proxy.heads.append(secured.recv(65_536))
            secured.sendall(HEAD + BODY)

    proxy.play = play
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    return proxy


URL = "https://cognito.example/jwks.json"


def test_the_proxy_of_the_environment_is_used(proxy: Any) -> None:
    assert fetch(URL, AT_LEISURE) == BODY

    connect, get = proxy.heads
    assert connect.startswith(b"CONNECT cognito.example:443 HTTP/1.1\r\nHost: cognito.example:443\r\n")
    assert get.startswith(b"GET /jwks.json HTTP/1.1\r\nHost: cognito.example\r\n")


@pytest.mark.parametrize(
    ("name", "scheme", "user", "sent"),
    [
        pytest.param("HTTPS_PROXY", "", "", b"", id="no-scheme"),
        pytest.param("ALL_PROXY", "http://", "", b"", id="for-all"),
        pytest.param("HTTPS_PROXY", "http://", "me:p%40ss@", b"Basic bWU6cEBzcw==", id="user-and-password"),
        pytest.param("HTTPS_PROXY", "http://", "me@", b"Basic bWU6", id="user-alone"),
    ],
)
def test_a_proxy_may_be_named_in_several_ways(
    proxy: Any, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str, user: str, sent: bytes
) -> None:
    monkeypatch.delenv("HTTPS_PROXY")
    monkeypatch.setenv(name, f"{scheme}{user}127.0.0.1:{proxy.port}")

    assert fetch("https://cognito.example:8443/", AT_LEISURE) == BODY

    assert proxy.heads[0].startswith(b"CONNECT cognito.example:8443 HTTP/1.1\r\n")
    _, _, credentials = proxy.heads[0].partition(b"Proxy-Authorization: ")
    assert credentials.removesuffix(b"\r\n\r\n") == sent


def test_a_proxy_cannot_insert_its_own_answer(proxy: Any) -> None:
    """An answer before the handshake does not come from the host."""

    def play(conn: socket.socket) -> None:
        conn.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n" + HEAD + b'{"keys": 00}')
        honest(conn)

    honest = proxy.play
    proxy.play = play

    with suppress(FetchError):
        assert fetch(URL, AT_LEISURE) == BODY


def test_a_proxy_does_not_replace_the_certificate_of_the_host(proxy: Any) -> None:
    with pytest.raises(FetchError, match="Hostname mismatch"):
        fetch("https://elsewhere.example/", AT_LEISURE)


def test_the_refusal_of_a_proxy_is_reported(proxy: Any) -> None:
    proxy.answer(b"", status="407 Proxy Authentication Required")

    with pytest.raises(FetchError, match=r"^the proxy's status 407 instead of 200$"):
        fetch(URL, AT_LEISURE)


def test_a_proxy_that_hangs_is_given_up(proxy: Any) -> None:
    proxy.play = proxy.hang

    with pytest.raises(FetchError, match="no complete answer"):
        fetch(URL, SOON)


@pytest.mark.parametrize("url", ["https://127.0.0.1:{port}/", "https://direct.example:{port}/"])
def test_loopback_and_no_proxy_go_past_the_proxy(
    proxy: Any, tls_server: Any, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("NO_PROXY", "direct.example")

    with suppress(FetchError):
        assert fetch(url.format(port=tls_server.port), AT_LEISURE, resolve=on_this_machine) == BODY

    assert proxy.heads == []


@pytest.mark.parametrize("value", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://127.0.0.1:many"])
def test_a_proxy_that_cannot_be_used_is_a_failed_fetch(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)

    with pytest.raises(FetchError, match=r"^the proxy that the environment names cannot be used$"):
        fetch(URL, AT_LEISURE)


def test_concurrent_fetches_do_not_disturb_each_other(make_server: Callable[[], Any]) -> None:
    servers = [make_server() for _ in range(8)]
    bodies: dict[str, bytes] = {}
    for number, server in enumerate(servers):
        server.answer(str(number).encode())

    def run(url: str) -> None:
        bodies[url] = fetch(url, AT_LEISURE)

    threads = [threading.Thread(target=partial(run, server.url)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [bodies[server.url] for server in servers] == [str(number).encode() for number in range(8)]
