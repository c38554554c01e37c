"""From headers to a bearer token (RFC 6750)."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognito_guard._requests.bearer import authorization, bearer_token, fault_of
from cognito_guard.errors import (
    BearerError,
    ExpiredTokenError,
    InvalidRequestError,
    KeysUnavailableError,
    MalformedTokenError,
    MissingTokenError,
    RefusalError,
)

LONGEST = "a" * 8192


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (b"Bearer abc", "abc"),
        (b"bearer abc", "abc"),
        (b"BEARER abc", "abc"),
        (b"Bearer   abc", "abc"),
        (b"Bearer Xabc", "Xabc"),
        (b"Bearer a.b-c_d~e+f/g==", "a.b-c_d~e+f/g=="),
        (b"Bearer " + LONGEST.encode(), LONGEST),
        (b"Bearer a b\xff", "a b\xff"),
    ],
)
def test_a_bearer_token_is_found(value: bytes, token: str) -> None:
    assert bearer_token([value], 8192) == token


@pytest.mark.parametrize("value", [b"", b"Basic abc", b"Bearerabc", b"Bearer\tabc", b"Digest Bearer abc", b" Bearer a"])
def test_another_scheme_is_not_a_bearer_token(value: bytes) -> None:
    with pytest.raises(MissingTokenError):
        bearer_token([value], 8192)


def test_without_a_header_there_is_no_bearer_token() -> None:
    with pytest.raises(MissingTokenError):
        bearer_token(
            authorization([(b"cookie", b"authorization=Bearer abc"), (b"x-authorization", b"Bearer abc")]), 8192
        )


@pytest.mark.parametrize("value", [b"Bearer", b"bearer", b"Bearer ", b"Bearer   "])
def test_a_scheme_without_a_token_is_an_invalid_request(value: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        bearer_token([value], 8192)

    assert caught.value.reason == "malformed_header"


@pytest.mark.parametrize(
    "token",
    [
        "=",
        "=abc",
        "a=b",
        "a b",
        "a,b",
        '"abc"',
        "abc ",
        "ab\tc",
        "abc\n",
        "abc\x00",
        "abc\r\nX: y",
        "\xc3\xa4",
        "a, Bearer b",
    ],
)
def test_credentials_that_are_not_one_token68_are_an_invalid_request(token: str) -> None:
    error = fault_of(token, MalformedTokenError("malformed"))

    assert isinstance(error, InvalidRequestError)
    assert error.reason == "malformed_header"


@pytest.mark.parametrize(
    ("token", "error"),
    [
        ("a.b-c_d~e+f/g==", MalformedTokenError("malformed")),
        ("abc", ExpiredTokenError()),
        ("a b", KeysUnavailableError(1)),
    ],
)
def test_a_refused_token_keeps_its_own_error(token: str, error: RefusalError) -> None:
    assert fault_of(token, error) is error


@pytest.mark.parametrize("second", [b"Bearer abc", b"Bearer def", b"Basic abc", b""])
def test_two_headers_are_an_invalid_request(second: bytes) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        bearer_token([b"Bearer abc", second], 8192)

    assert caught.value.reason == "repeated_header"


@pytest.mark.parametrize("length", [8193, 1_000_000])
def test_a_token_over_eight_kibibytes_is_refused_unread(length: int) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        bearer_token([b"Bearer " + b"\xff" * length], 8192)

    assert caught.value.reason == "oversized"


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"Authorization", b"accept"]),
            st.sampled_from([b"Bearer abc"]) | st.binary(max_size=40).map(lambda rest: b"Bearer " + rest),
        )
    )
)
def test_any_headers_give_a_token_or_a_refusal(headers: list[tuple[bytes, bytes]]) -> None:
    with suppress(BearerError):
        token = bearer_token(authorization(headers), 8192)
        assert b"Bearer " + token.encode("latin-1") == re.sub(b" +", b" ", dict(headers)[b"authorization"], count=1)
