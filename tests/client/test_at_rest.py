"""What a store holds of tokens: nothing that anybody can read without the secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from cognito_guard.client import (
    ClientCredentials,
    FileStore,
)
from cognito_guard.client._seal import Seal, _derived
from cognito_guard.client._token import Token
from cognito_guard.local import LocalClient

Make = Callable[..., ClientCredentials]
Settle = Callable[[], None]


@pytest.fixture
def token(clock: Any) -> Token:
    return Token("header.payload.signature", clock(), clock() + 3600, 0.75)


def test_a_sealed_token_opens_again(token: Token) -> None:
    sealed = Seal(["secret"], "key", 0.75).close(token)

    assert Seal(["secret"], "key", 0.72).open(sealed) == token
    assert b"payload" not in sealed


def test_what_is_stored_holds_neither_token_nor_secret(
    make_client: Make, timer: Any, reader: LocalClient, tmp_path: Path, clock: Any
) -> None:
    token = make_client(store=FileStore(tmp_path / "tokens", clock=clock)).token_sync()

    content = (tmp_path / "tokens").read_text()
    assert not any(part in content for part in [*token.split("."), reader.secret, reader.client_id])


@pytest.mark.parametrize(
    ("closing", "opening"),
    [(["new", "old"], ["old", "new"]), (["old"], ["new", "old"]), (["new", "old"], ["new"])],
)
def test_either_of_two_secrets_opens(token: Token, closing: list[str], opening: list[str]) -> None:
    assert Seal(opening, "key", 0.75).open(Seal(closing, "key", 0.75).close(token)) == token


def test_another_secret_does_not_open(token: Token) -> None:
    assert Seal(["other"], "key", 0.75).open(Seal(["secret"], "key", 0.75).close(token)) is None
    assert Seal(["old"], "key", 0.75).open(Seal(["new", "old"], "key", 0.75).close(token)) is None


def test_an_entry_that_was_copied_to_another_key_does_not_open(token: Token) -> None:
    assert Seal(["secret"], "another", 0.75).open(Seal(["secret"], "key", 0.75).close(token)) is None


@pytest.mark.parametrize("damaged", [b"", b"nonsense", b"\xff", b"gAAAAA"])
def test_a_damaged_entry_does_not_open(token: Token, damaged: bytes) -> None:
    seal = Seal(["secret"], "key", 0.75)

    assert seal.open(damaged) is None
    assert seal.open(seal.close(token)[:-1]) is None
    assert seal.open(seal.close(token)[1:]) is None


GOOD = {"key": "key", "token": "a.b.c", "bought_at": 1000.0, "expires_at": 4600.0}


def test_content_of_this_version_opens() -> None:
    assert Seal(["secret"], "key", 0.75).open(sealed_by_hand(GOOD)) == Token("a.b.c", 1000.0, 4600.0, 0.75)


@pytest.mark.parametrize(
    "content",
    [
        [],
        "text",
        GOOD | {"token": "a b"},
        GOOD | {"bought_at": "soon"},
        GOOD | {"bought_at": None},
        GOOD | {"bought_at": float("-inf")},
        GOOD | {"bought_at": float("nan")},
        GOOD | {"expires_at": 1000.0},
        GOOD | {"expires_at": 1000.0 + 86401},
        {"key": "key", "token": "a.b.c", "bought_at": 1000.0},
    ],
    ids=str,
)
def test_content_of_another_version_does_not_open(content: object) -> None:
    assert Seal(["secret"], "key", 0.75).open(sealed_by_hand(content)) is None


def sealed_by_hand(content: object) -> bytes:
    return Fernet(_derived("secret")).encrypt(json.dumps(content).encode())
