"""The segments of a token: base64url in one spelling only, and JSON that no stack is too small for."""

from __future__ import annotations

import base64
import json
import string

import pytest

from cognito_guard._keys.jwks import NoUsableKeyError, parse_jwks
from cognito_guard._tokens.jws import KnownHeaders, parse
from cognito_guard.errors import MalformedTokenError

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


def encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def token(payload: bytes = b"{}", signature: str = "AQAB", **header: object) -> bytes:
    head = json.dumps({"alg": "RS256", "kid": "k"} | header).encode()
    return f"{encode(head)}.{encode(payload)}.{signature}".encode()


@pytest.mark.parametrize(("start", "spare_bits"), [("AQA", 0), ("AQ", 2), ("A", 4)])
def test_the_last_character_of_a_segment_has_one_spelling(start: str, spare_bits: int) -> None:
    """RFC 4648 section 3.5: bits of it that belong to no byte are zero."""
    taken = []
    for number, character in enumerate(ALPHABET):
        try:
            parse(token(signature="AQAB" + start + character), KnownHeaders())
        except MalformedTokenError:
            assert number % (1 << spare_bits) != 0, character
        else:
            taken.append(character)

    assert taken == list(ALPHABET[:: 1 << spare_bits])


@pytest.mark.parametrize("length", [1, 5, 9])
def test_a_single_character_is_not_a_byte(length: int) -> None:
    with pytest.raises(MalformedTokenError):
        parse(token(signature="A" * length), KnownHeaders())


@pytest.mark.parametrize("pair", ["[]", "{}"])
@pytest.mark.parametrize("where", ["header", "payload"])
def test_lists_and_objects_are_counted_before_json_is_parsed(pair: str, where: str) -> None:
    """Side by side, so that no recursion limit refuses them."""

    def made(count: int) -> bytes:
        content = json.loads(f"[{','.join([pair] * (count - 2))}]")
        return token(x=content) if where == "header" else token(json.dumps({"x": content}).encode())

    parse(made(500), KnownHeaders())
    with pytest.raises(MalformedTokenError) as caught:
        parse(made(501), KnownHeaders())
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("pair", ["[]", "{}"])
def test_lists_and_objects_of_a_key_set_are_counted_too(pair: str) -> None:
    def document(count: int) -> bytes:
        return f'{{"keys": [{",".join([pair] * (count - 2))}]}}'.encode()

    with pytest.raises(NoUsableKeyError, match="no usable key"):
        parse_jwks(document(1_000))
    with pytest.raises(NoUsableKeyError, match="nested too deep"):
        parse_jwks(document(1_001))
