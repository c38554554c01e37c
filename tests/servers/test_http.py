"""Requests to real servers: what their tokens grant, and what no header opens."""

from __future__ import annotations

import json
import socket

import pytest

from tests.servers.answers import BOTH, FORBIDDEN, FORBIDDEN_CHALLENGE, MISSING, is_refused
from tests.servers.serving import Serving
from tests.servers.wire import Wire

pytestmark = pytest.mark.slow


@BOTH
def test_a_request_is_answered_by_what_its_token_grants(serving: Serving, reader: str, writer: str, host: str) -> None:
    post = "POST /orders HTTP/1.1"

    assert serving.get("/orders", reader, host=host).body == b"inside"
    assert serving.ask(post, writer, "Content-Length: 5", body=b"books", host=host).body == b"inside 5"

    missing = serving.get("/orders", host=host)
    assert (missing.status, missing.challenge, json.loads(missing.body)) == (401, "Bearer", MISSING)

    refused = serving.ask(post, reader, "Content-Length: 0", host=host)
    assert (refused.status, refused.challenge) == (403, FORBIDDEN_CHALLENGE)
    assert json.loads(refused.body) == FORBIDDEN
    assert refused.headers["content-type"] == "application/json"

    forged = serving.get("/orders", reader[:-4] + "AAAA", host=host)
    assert forged.status == 401
    assert forged.challenge == (
        'Bearer error="invalid_token", error_description="The signature of the access token does not match."'
    )


def test_without_keys_nobody_is_told_that_the_token_is_bad(serving: Serving, reader: str) -> None:
    answer = serving.get("/orders", reader, host="dark")

    assert (answer.status, answer.challenge) == (503, None)
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert json.loads(answer.body)["error"] == "temporarily_unavailable"
    assert is_refused(serving.get("/orders", host="dark"))


@BOTH
def test_two_authorization_headers_are_refused(serving: Serving, reader: str, host: str) -> None:
    for headers in ((reader, reader), (reader, "Authorization: Basic eDp4"), (reader.lower(), reader)):
        answer = serving.get("/orders", *headers, host=host)
        assert (answer.status, answer.challenge) == (
            400,
            'Bearer error="invalid_request", error_description="The Authorization header was sent more than once."',
        )


HOSTILE_HEADERS = [
    pytest.param(b"Authorization: Bearer %s\0", id="nul"),
    pytest.param(b"Authorization: Bearer\t%s", id="tab-between"),
    pytest.param(b"Authorization: Bearer %s\xff", id="8-bit"),
    pytest.param(b"Authorization: Bearer \xff\xfe", id="8-bit-alone"),
    pytest.param(b"Authorization: Bearer %s, Bearer %s", id="list"),
    pytest.param(b"Authorization: Bearer %s\rX: y", id="bare-cr"),
    pytest.param(b"Authorization : Bearer %s", id="space-before-colon"),
    pytest.param(b"Authorization: Bearer%s", id="no-blank"),
    pytest.param(b"Authorization: Bearer", id="no-token"),
    pytest.param(b"Authorization: Bearer %s x", id="two-words"),
    pytest.param(b'Authorization: Bearer "%s"', id="quoted"),
    pytest.param(b"Authorization: Basic %s", id="basic"),
    pytest.param(b"Authorization: %s", id="no-scheme"),
    pytest.param(b"X-Authorization: Bearer %s", id="another-name"),
    pytest.param(b"Proxy-Authorization: Bearer %s", id="for-the-proxy"),
    pytest.param(b"Cookie: access_token=%s", id="cookie"),
    pytest.param(b"Authorization: Bearer " + b"x" * 9_000, id="9-kb"),
    pytest.param(b"Authorization: Bearer " + b"x" * 60_000, id="60-kb"),
    pytest.param(b"Authorization: Bearer " + b"a." * 4_000, id="dots"),
]


@BOTH
@pytest.mark.parametrize("header", HOSTILE_HEADERS)
def test_a_header_that_is_no_bearer_token_opens_nothing(
    serving: Serving, reader: str, host: str, header: bytes
) -> None:
    """The servers refuse some of them before the guard sees them."""
    answer = serving.ask(
        "GET /orders HTTP/1.1", header.replace(b"%s", reader.removeprefix("Authorization: Bearer ").encode()), host=host
    )

    assert answer.status in {400, 401}
    assert b"inside" not in answer.body


@pytest.mark.parametrize(
    "header", [b"authorization:bearer %s", b"AUTHORIZATION: BEARER %s", b"Authorization:\t Bearer  %s \t"]
)
def test_case_and_blanks_around_do_not_matter(serving: Serving, reader: str, header: bytes) -> None:
    header = header.replace(b"%s", reader.removeprefix("Authorization: Bearer ").encode())

    assert serving.ask("GET /orders HTTP/1.1", header).body == b"inside"


def test_a_folded_header_is_one_header_or_a_bad_request(serving: Serving, reader: str) -> None:
    answer = serving.get("/orders", reader.replace("Bearer ", "Bearer\r\n "))

    assert (answer.status, answer.body) in {(200, b"inside"), (400, b"")}


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/orders", 401)])
def test_http_1_0_makes_no_difference(serving: Serving, path: str, status: int) -> None:
    assert serving.ask(f"GET {path} HTTP/1.0").status == status


@BOTH
def test_pipelined_requests_are_each_answered_for_themselves(serving: Serving, reader: str, host: str) -> None:
    with Wire(serving.port) as wire:
        first = f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        second = f"GET /orders HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        third = f"GET /orders HTTP/1.1\r\nHost: {host}\r\n{reader}\r\n\r\n".encode()
        wire.sock.sendall(first + second + third + second)

        assert wire.answer().body == b"healthy"
        assert is_refused(wire.answer())
        assert wire.answer().body == b"inside"
        assert is_refused(wire.answer())


@BOTH
def test_a_token_is_good_for_one_request(serving: Serving, reader: str, host: str) -> None:
    with Wire(serving.port) as wire:
        for _ in range(2):
            wire.send("GET /orders HTTP/1.1", reader, host=host)
            assert wire.answer().body == b"inside"
            wire.send("GET /orders HTTP/1.1", host=host)
            assert is_refused(wire.answer())
            wire.send("POST /orders HTTP/1.1", reader, "Content-Length: 0", host=host)
            assert wire.answer().status == 403


SMUGGLED = "GET /orders HTTP/1.1\r\nHost: fast\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["Content-Length: 5", "Transfer-Encoding: chunked"], id="both-lengths"),
        pytest.param(["Content-Length: 0", "Content-Length: 5"], id="two-lengths"),
        pytest.param(["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], id="two-encodings"),
        pytest.param(["Transfer-Encoding: xchunked"], id="another-encoding"),
        pytest.param(["Transfer-Encoding : chunked"], id="space-before-colon"),
        pytest.param(["Content-Length: +5"], id="plus"),
    ],
)
def test_a_request_hidden_in_another_is_not_let_in_by_it(serving: Serving, headers: list[str]) -> None:
    with Wire(serving.port) as wire:
        wire.send("GET /health HTTP/1.1", *headers, body=b"0\r\n\r\n" + SMUGGLED.encode())
        wire.sock.shutdown(socket.SHUT_WR)

        assert b"inside" not in wire.rest()


def test_a_request_in_a_body_is_none(serving: Serving) -> None:
    with Wire(serving.port) as wire:
        wire.send("GET /health HTTP/1.1", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED.encode())
        assert wire.answer().body == b"healthy"
        wire.send("GET /orders HTTP/1.1", "Connection: close")
        assert wire.answer().status == 401
        assert wire.rest() == b""
