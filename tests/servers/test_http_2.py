"""The guard works the same over HTTP/2."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset

from tests.servers.answers import FORBIDDEN_CHALLENGE, MISSING
from tests.servers.serving import Serving, servers
from tests.servers.wire import IN_TIME

pytestmark = pytest.mark.slow


class Http2:
    """One HTTP/2 connection, without TLS and without asking first."""

    def __init__(self, port: int) -> None:
        # The client checks nothing: the test decides what is sent.
        config = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self._h2 = H2Connection(config)
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=IN_TIME)
        self._h2.initiate_connection()

    def close(self) -> None:
        self._sock.close()

    def ask(self, *headers: tuple[str, str]) -> tuple[int, dict[str, str], bytes]:
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, headers, end_stream=True)
        status, received, body = 0, {}, b""
        for event in self._events(stream):
            if isinstance(event, ResponseReceived):
                received = {name.decode(): value.decode() for name, value in event.headers or ()}
                status = int(received[":status"])
            elif isinstance(event, DataReceived):
                body += event.data or b""
        return status, received, body

    def _events(self, stream: int) -> Iterator[Event]:
        ended = False
        while not ended:
            self._sock.sendall(self._h2.data_to_send())
            data = self._sock.recv(65_536)
            assert data
            for event in self._h2.receive_data(data):
                ended = ended or (isinstance(event, StreamEnded | StreamReset) and event.stream_id == stream)
                yield event


@pytest.fixture
def http2(serving: Serving) -> Iterator[Http2]:
    connection = Http2(serving.port)
    yield connection
    connection.close()


@pytest.mark.parametrize("serving", servers("hypercorn-asyncio", "hypercorn-trio", "granian"), indirect=True)
def test_http_2_makes_no_difference(http2: Http2, reader: str) -> None:
    def target(path: str, method: str = "GET", authority: str = "fast") -> tuple[tuple[str, str], ...]:
        return ((":method", method), (":scheme", "http"), (":authority", authority), (":path", path))

    bearer = ("authorization", reader.partition(": ")[2])

    assert http2.ask(*target("/health"))[2] == b"healthy"
    assert http2.ask(*target("/orders"), bearer)[2] == b"inside"
    for path, authority in (
        ("/orders", "fast"), ("/orders", "evil"), ("//orders", "fast"), ("/health/../orders", "fast"),
        ("/health;x", "fast"), ("/orders#/health", "fast"), ("/item/5", "fast"),
    ):  # fmt: skip
        status, headers, body = http2.ask(*target(path, authority=authority))
        assert (path, status, headers.get("www-authenticate")) == (path, 401, "Bearer")
        assert json.loads(body) == MISSING
    status, headers, _ = http2.ask(*target("/orders"), bearer, bearer)
    assert (status, headers["www-authenticate"].split(",")[0]) == (400, 'Bearer error="invalid_request"')
    status, headers, _ = http2.ask(*target("/orders", "POST"), bearer)
    assert (status, headers["www-authenticate"]) == (403, FORBIDDEN_CHALLENGE)
    # Nothing of earlier requests is left.
    assert http2.ask(*target("/orders"))[0] == 401
    # 0: granian ignores such a request.
    assert http2.ask(*target("/orders", authority="x/health?"))[0] in {0, 401}
