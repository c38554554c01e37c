"""Paths sent to real servers: which of them are public."""

from __future__ import annotations

import pytest

from tests.servers.answers import BOTH, FORBIDDEN_CHALLENGE, is_refused
from tests.servers.serving import Serving
from tests.servers.wire import Answer, Wire

pytestmark = pytest.mark.slow

TRICKS = [
    "GET //orders", "GET /orders/", "GET /orders//", "GET /Orders", "GET /ORDERS", "GET /./orders", "GET /orders/.",
    "GET /health/../orders", "GET /health/..//orders", "GET /health/%2e%2e/orders", "GET /health%2f..%2forders",
    "GET /health%5c..%5corders", "GET /health/", "GET //health", "GET /Health", "GET /health;x", "GET /health;/orders",
    "GET /health%3b", "GET /health%00", "GET /health%20", "GET /health%09", "GET /%2e/health", "GET /%2fhealth",
    "GET /health%2f", "GET /health%3f", "GET /health%23", "GET /%2568ealth", "GET /%252e/health", "GET /health%",
    "GET /%ff", "GET /health%c0%af", "GET /%ef%bc%8fhealth", "GET /h\u0435alth",
    "GET /orders?/health", "GET /orders?x=/health", "GET /orders#/health", "GET /orders%23/health",
    "GET /orders;/health",
    "GET health", "GET orders", "GET ?/health", "GET \\health", "GET /..;/health", "GET /mounted/../health",
    "GET /mounted/../orders", "GET /mounted/health/../orders", "GET /mounted", "GET /mounted/", "GET /mounted//health",
    "GET /mounted%2fhealth/", "GET /files/secret.txt", "GET /files/../health", "GET /files/..%2fhealth", "GET /raw",
    "GET /raw/health", "GET /raw/../health", "GET /docs/", "GET /docs/../orders", "GET /openapi.json/x",
    "GET http://evil/orders", "GET http://evil/health/../orders", "GET http://evil", "GET http:///orders",
    "get /orders", "Get /orders", "HEAD /orders", "POST /health", "PUT /health", "TRACE /health", "CONNECT /health",
    "CONNECT evil:80", "QUERY /health", "WEBSOCKET /feed", "WEBSOCKET /open", "OPTIONS *", "OPTIONS /health", "GET *",
    "DELETE /methods", "delete /methods", "DISPATCH /methods", "__INIT__ /methods", "METHOD_NOT_ALLOWED /methods",
    "GET /item/5", "GET /item/x",
]  # fmt: skip
PUBLIC = {"/health", "/mounted/health", "/methods", "/docs", "/openapi.json"}


@BOTH
@pytest.mark.parametrize("trick", TRICKS)
def test_a_stranger_reaches_no_guarded_path(serving: Serving, host: str, trick: str) -> None:
    with Wire(serving.port) as wire:
        wire.send(f"{trick} HTTP/1.1", "Connection: close", host=host)
        status, headers = wire.head()
        body = wire.rest()

    assert b"inside" not in body
    if status in {405, 307}:
        # A public route may answer itself: 405 for the method, or a redirect for the slash.
        target = trick.partition(" ")[2] if status == 405 else headers["location"].partition(host)[2]
        assert target in PUBLIC, (status, headers)
    elif trick.startswith("HEAD"):
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
    else:
        assert is_refused(Answer(status, headers, body)), (status, body)


OVERRIDES = [
    "X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET", "X-Original-URL: /health",
    "X-Rewrite-URL: /health", "X-Original-URI: /health", "X-Forwarded-Prefix: /health", "X-Forwarded-Path: /health",
    "X-Forwarded-Host: x/health?", "X-Forwarded-For: 127.0.0.1", "X-Script-Name: /orders", "Forwarded: host=x/health?",
    "Referer: http://fast/health", "Content-Location: /health", "Origin: http://fast",
    "Access-Control-Request-Method: GET",
]  # fmt: skip


@BOTH
@pytest.mark.parametrize("header", OVERRIDES)
def test_no_header_turns_a_request_into_another(serving: Serving, reader: str, host: str, header: str) -> None:
    assert is_refused(serving.get("/orders", header, host=host))
    assert is_refused(serving.ask("DELETE /methods HTTP/1.1", header, host=host))

    answer = serving.ask("POST /orders HTTP/1.1", header, reader, "Content-Length: 0", host=host)
    assert (answer.status, answer.challenge) == (403, FORBIDDEN_CHALLENGE)


@pytest.mark.parametrize(
    "host", ["x/health?", "x/health#", "x/health", "fast/health?", "@fast/health?", "x\\health?", "x health", ""]
)
def test_no_host_header_changes_the_path(serving: Serving, host: str) -> None:
    """CVE-2026-48710: a Host header could make request.url.path another one."""
    assert is_refused(serving.get("/orders", host=host))


def test_two_host_headers_do_not_open_a_path(serving: Serving) -> None:
    with Wire(serving.port) as wire:
        wire.send("GET /orders HTTP/1.1", "Host: x/health?", "Connection: close")
        status, _ = wire.head()
        assert status in {400, 401}
        assert b"inside" not in wire.rest()


@BOTH
@pytest.mark.parametrize("path", ["/health", "/%68ealth", "/health?", "/health?x=/orders", "/mounted/health"])
def test_the_same_path_is_public_in_every_spelling(serving: Serving, host: str, path: str) -> None:
    assert serving.get(path, host=host).body == b"healthy"


@pytest.mark.parametrize("line", ["GET http://evil/health", "GET /health#/orders", "get /health", "GET /health%0a"])
def test_other_spellings_of_a_public_path_reach_it_or_are_refused(serving: Serving, line: str) -> None:
    answer = serving.ask(f"{line} HTTP/1.1")

    assert answer.body == b"healthy" or answer.status == 405 or is_refused(answer)


def test_an_extra_slash_redirects_only_callers_that_may_know(serving: Serving, reader: str) -> None:
    assert is_refused(serving.get("/orders/"))
    answer = serving.get("/orders/", reader)
    assert (answer.status, answer.headers["location"]) == (307, "http://fast/orders")
