"""Bodies and streams through real servers."""

from __future__ import annotations

from itertools import count

import pytest

from cognito_guard.local import LocalPool
from tests.servers.answers import FORBIDDEN_CHALLENGE, WRITE, is_refused
from tests.servers.serving import Serving
from tests.servers.wire import Wire

pytestmark = pytest.mark.slow

KEYS = count()


@pytest.mark.parametrize("path", ["/json", "/orders"])
def test_a_caller_without_the_scope_is_refused_before_the_body(serving: Serving, reader: str, path: str) -> None:
    """The headers announce 100 MB; not a byte of them is ever sent."""
    with Wire(serving.port) as wire:
        wire.send(
            f"POST {path} HTTP/1.1",
            reader,
            "Content-Type: application/json",
            "Content-Length: 100000000",
            "Expect: 100-continue",
        )
        answer = wire.answer()

    assert (answer.status, answer.challenge) == (403, FORBIDDEN_CHALLENGE)


def test_a_caller_that_disconnects_in_the_body_does_not_affect_others(serving: Serving, writer: str) -> None:
    for _ in range(3):
        with Wire(serving.port) as wire:
            wire.send(
                "POST /json HTTP/1.1",
                writer,
                "Content-Type: application/json",
                "Content-Length: 1000",
                body=b'{"item": ',
            )

    body = b'{"item": "book"}'
    answer = serving.ask(
        "POST /json HTTP/1.1", writer, "Content-Type: application/json", f"Content-Length: {len(body)}", body=body
    )
    assert (answer.status, answer.body) == (200, b'"inside"')


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        ("/stream/", b"first", b"last"),
        ("/events/", b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n'),
        ("/lines/", b'{"n":1}\n', b'{"n":2}\n'),
    ],
)
def test_the_first_chunk_comes_before_the_last_is_made(
    serving: Serving, issuer: LocalPool, reader: str, path: str, first: bytes, last: bytes
) -> None:
    key = f"{next(KEYS)}"
    assert is_refused(serving.get(path + key))
    without = serving.get(path + key, f"Authorization: Bearer {issuer.mint(WRITE)}")
    assert without.status == 403

    with Wire(serving.port) as wire:
        wire.send(f"GET {path}{key} HTTP/1.1", reader)
        assert wire.head()[0] == 200
        assert wire.chunk() == first
        opened = serving.ask(f"POST /gate/{key} HTTP/1.1", "Content-Length: 0")
        assert opened.status == 200
        assert wire.chunk() == last
        assert wire.chunk() == b""


def test_background_tasks_run_after_the_answer(serving: Serving, reader: str) -> None:
    key = f"{next(KEYS)}"
    serving.ask(f"POST /gate/{key} HTTP/1.1", "Content-Length: 0")
    with Wire(serving.port) as wire:
        wire.send(f"GET /stream/{key} HTTP/1.1", reader)
        assert wire.head()[0] == 200
        assert [wire.chunk(), wire.chunk(), wire.chunk()] == [b"first", b"last", b""]

    assert serving.get(f"/wait/done%20{key}").status == 200


def test_a_stream_ends_when_its_reader_goes_away(serving: Serving, reader: str) -> None:
    key = f"{next(KEYS)}"
    with Wire(serving.port) as wire:
        wire.send(f"GET /stream/{key} HTTP/1.1", reader)
        assert wire.head()[0] == 200
        assert wire.chunk() == b"first"

    serving.ask(f"POST /gate/{key} HTTP/1.1", "Content-Length: 0")
    assert serving.get(f"/wait/gone%20{key}").status == 200
