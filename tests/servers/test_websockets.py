"""Websockets through real servers."""

from __future__ import annotations

import json

import pytest

from cognito_guard.local import LocalPool
from tests.servers.answers import BOTH, FORBIDDEN, FORBIDDEN_CHALLENGE, MISSING, READ, WRITE
from tests.servers.serving import Serving
from tests.servers.wire import IN_TIME

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("fast", "/feed"), ("starlette", "/feed"), ("fast", "/decorated"), ("starlette", "/decorated"),
        ("fast", "/depends"), ("fast", "/unknown"), ("fast", "/health"), ("fast", "/orders"), ("fast", "//open"),
        ("fast", "/open/"), ("fast", "/open/../feed"), ("fast", "/docs"),
    ],
)  # fmt: skip
def test_a_websocket_is_refused_with_a_real_401(upgrading: Serving, host: str, path: str) -> None:
    answer = upgrading.deny(path, host=host)

    assert (answer.status, answer.challenge, json.loads(answer.body)) == (401, "Bearer", MISSING)


@pytest.mark.parametrize(("host", "path"), [("fast", "/decorated"), ("starlette", "/decorated"), ("fast", "/depends")])
def test_a_websocket_is_refused_with_a_real_403(upgrading: Serving, issuer: LocalPool, host: str, path: str) -> None:
    answer = upgrading.deny(path, issuer.mint(READ), host=host)

    assert (answer.status, answer.challenge, json.loads(answer.body)) == (403, FORBIDDEN_CHALLENGE, FORBIDDEN)


def test_a_websockets_refusal_says_what_is_wrong_with_the_token(upgrading: Serving, issuer: LocalPool) -> None:
    token = issuer.mint(READ)

    assert upgrading.deny("/feed", token, token).status == 400
    malformed = upgrading.deny("/feed", "x")
    assert (malformed.status, malformed.headers["www-authenticate"].split(",")[0]) == (
        401,
        'Bearer error="invalid_token"',
    )
    unavailable = upgrading.deny("/feed", token, host="dark")
    assert (unavailable.status, unavailable.headers["retry-after"].isdigit()) == (503, True)


@pytest.mark.parametrize(
    ("host", "path"), [("fast", "/feed"), ("starlette", "/feed"), ("fast", "/decorated"), ("starlette", "/decorated")]
)
def test_a_websocket_is_let_in(upgrading: Serving, issuer: LocalPool, host: str, path: str) -> None:
    with upgrading.connect(path, issuer.mint(WRITE), host=host) as feed:
        feed.send("hello")
        assert feed.recv(IN_TIME) == "hello"


def test_a_websocket_has_its_caller_as_a_dependency(upgrading: Serving, issuer: LocalPool) -> None:
    with upgrading.connect("/depends", issuer.mint(WRITE)) as feed:
        assert [feed.recv(IN_TIME)] == [client.client_id for client in issuer.clients]


@BOTH
def test_a_public_websocket_is_open_to_all(upgrading: Serving, issuer: LocalPool, host: str) -> None:
    for tokens in ((), ("x",), (issuer.mint(READ),)):
        with upgrading.connect("/open", *tokens, host=host) as feed:
            feed.send("hello")
            assert feed.recv(IN_TIME) == "hello"


def test_a_websocket_outlives_its_token(upgrading: Serving, issuer: LocalPool) -> None:
    """The guard decides when the connection is opened."""
    token = issuer.mint(READ)
    with upgrading.connect("/feed", token, host="clocked") as feed:
        feed.send("86400")
        assert feed.recv(IN_TIME) == "moved"
        assert upgrading.deny("/feed", token, host="clocked").status == 401
        assert upgrading.get("/orders", f"Authorization: Bearer {token}", host="clocked").status == 401
        feed.send("anybody there?")
        assert feed.recv(IN_TIME) == "still here"
