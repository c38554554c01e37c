"""The parts of a token: which headers are accepted, and what is remembered of them."""

from __future__ import annotations

import base64
import inspect
import json
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from cognito_guard import CognitoGuard, UserPool
from cognito_guard._keys.policy import KeyPolicy
from cognito_guard._report.reporter import Reporter
from cognito_guard._tokens.jws import KnownHeaders, parse
from cognito_guard._tokens.verifier import Verifier
from cognito_guard.errors import ConfigurationError, InvalidTokenError, MalformedTokenError
from cognito_guard.local import LocalPool, SigningKey

pytestmark = pytest.mark.anyio

MakeVerifier = Callable[..., Verifier]


@pytest.fixture
def make_verifier(user_pool: UserPool, clock: Any, timer: Any, fetch: Any) -> MakeVerifier:
    """Make what a guard judges tokens with, with options to taste."""

    def make(**options: Any) -> Verifier:
        return Verifier(
            [user_pool],
            leeway=0,
            token_cache=10,
            key_policy=KeyPolicy(),
            reporter=Reporter(None),
            clock=clock,
            timer=timer,
            fetch=fetch,
            **options,
        )

    return make


def segment(document: bytes) -> str:
    return base64.urlsafe_b64encode(document).rstrip(b"=").decode()


def token_of(header: bytes, payload: bytes = b"{}") -> bytes:
    return f"{segment(header)}.{segment(payload)}.AQAB".encode()


HEADER = b'{"kid":"k","alg":"RS256"}'


async def test_a_type_need_not_be_named(guard: CognitoGuard, pool: LocalPool) -> None:
    """Cognito names none."""
    await guard.verify(pool.mint())


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT"])
async def test_the_types_of_access_tokens_are_accepted(guard: CognitoGuard, pool: LocalPool, typ: str) -> None:
    await guard.verify(pool.mint(headers={"typ": typ}))


@pytest.mark.parametrize(
    "typ", ["", "JWS", "JOSE", "id+jwt", "dpop+jwt", "logout+jwt", "application/jwt", "at+jwt ", "at", 5, ["JWT"], {}]
)
async def test_any_other_type_is_refused(guard: CognitoGuard, pool: LocalPool, fetch: Any, typ: Any) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        await guard.verify(pool.mint(headers={"typ": typ}))

    assert caught.value.reason == "token_type"
    assert fetch.calls == 0


def test_null_is_not_a_type() -> None:
    with pytest.raises(MalformedTokenError) as caught:
        parse(token_of(b'{"kid":"k","alg":"RS256","typ":null}'), {})

    assert caught.value.reason == "token_type"


@pytest.mark.parametrize("value", [b"true", b"false", b"null", b"5"])
def test_a_payload_that_may_not_be_encoded_is_refused(value: bytes) -> None:
    """RFC 7797: with b64 the signature is over something else."""
    with pytest.raises(MalformedTokenError) as caught:
        parse(token_of(b'{"kid":"k","alg":"RS256","b64":' + value + b"}"), {})

    assert caught.value.reason == "critical_header"


def test_the_parts_come_apart() -> None:
    payload = b'{"a": [1]}'
    header, kid, document, claims, signing_input, signature = parse(token_of(HEADER, payload), {})

    assert (header, kid) == (segment(HEADER).encode(), "k")
    assert (document, claims) == (payload, {"a": [1]})
    assert signing_input == token_of(HEADER, payload).rpartition(b".")[0]
    assert signature == b"\x01\x00\x01"


def test_a_header_that_is_known_is_not_read_again() -> None:
    assert parse(token_of(b"no header"), {segment(b"no header").encode(): "k"})[1] == "k"


def test_known_headers_are_few() -> None:
    known = KnownHeaders()

    for number in range(64):
        known.remember(b"%d" % number, "k")
    assert len(known) == 64
    known.remember(b"0", "k")
    assert len(known) == 64

    known.remember(b"64", "k")
    assert dict(known) == {b"64": "k"}


async def test_a_header_is_remembered_once_its_signature_was_good(make_verifier: MakeVerifier, pool: LocalPool) -> None:
    verifier = make_verifier()
    stranger = SigningKey(kid=pool.keys.access.kid)
    claims = json.loads(base64.urlsafe_b64decode(pool.mint().split(".")[1] + "=="))

    for number in range(100):
        for token in (
            pool.sign(claims, key=stranger, headers={"number": number}),
            pool.mint(headers={"kid": f"stranger-{number}"}),
            pool.mint(headers={"number": number}, client_id="another"),
        ):
            with pytest.raises(InvalidTokenError):
                await verifier.verify(token)
    assert not verifier.known_headers

    good = pool.mint()
    await verifier.verify(good)
    assert dict(verifier.known_headers) == {good.split(".")[0].encode(): pool.keys.access.kid}


@pytest.mark.parametrize(
    ("document", "accepted"),
    [
        (b'{"a":' + b"[" * 499 + b"]" * 499 + b"}", True),
        (b'{"a":' + b"[" * 500 + b"]" * 500 + b"}", False),
        (b'{"a":[' + b",".join([b"{}"] * 498) + b"]}", True),
        (b'{"a":[' + b",".join([b"{}"] * 499) + b"]}", False),
    ],
)
def test_the_number_of_lists_and_objects_is_limited(document: bytes, accepted: bool) -> None:
    if accepted:
        assert parse(token_of(HEADER, document), {})[3] == json.loads(document)
    else:
        with pytest.raises(MalformedTokenError):
            parse(token_of(HEADER, document), {})


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_thread_with_a_small_stack_survives_any_nesting(opening: bytes) -> None:
    """CPython 3.13 goes 10,000 levels deep, for which such a thread has no stack."""
    refusals: list[str] = []

    def look() -> None:
        for token in (
            token_of(b'{"a":' + opening * 6000),
            token_of(HEADER, b'{"a":' + opening * 6000),
            token_of(HEADER, b'{"a":' + opening * 490),
        ):
            try:
                parse(token, {})
            except MalformedTokenError as error:
                refusals.append(error.reason)

    before = threading.stack_size(128 * 1024)
    try:
        thread = threading.Thread(target=look)
        thread.start()
    finally:
        threading.stack_size(before)
    thread.join()

    assert refusals == ["malformed"] * 3


def test_a_caller_deep_in_its_stack_gets_an_answer_too() -> None:
    """The parser calls itself for each list; how many calls are left is up to who called."""
    token = token_of(HEADER, b'{"a":' + b"[" * 490 + b"]" * 490 + b"}")

    def look(calls: int) -> None:
        if calls:
            look(calls - 1)
        else:
            parse(token, {})

    depth = len(inspect.stack(0))
    with suppress(MalformedTokenError):  # newer Pythons count calls of their own code apart
        look(sys.getrecursionlimit() - depth - 100)


@pytest.mark.parametrize("limit", [1024, 20_000])
async def test_the_longest_token_may_be_set(make_verifier: MakeVerifier, pool: LocalPool, limit: int) -> None:
    verifier = make_verifier(max_token_length=limit)
    token = pool.mint()
    # Three characters of filler are four of the token.
    filler = (limit - len(token)) // 4 * 3 - 20
    while len(pool.mint(filler="x" * (filler + 1))) <= limit:
        filler += 1

    assert verifier.max_token_length == limit
    await verifier.verify(pool.mint(filler="x" * filler))
    with pytest.raises(MalformedTokenError) as caught:
        await verifier.verify(pool.mint(filler="x" * (filler + 1)))
    assert caught.value.reason == "oversized"


async def test_a_stand_in_accepts_tokens_of_the_same_length(
    make_verifier: MakeVerifier, fetch: Any, clock: Any
) -> None:
    verifier = make_verifier(max_token_length=20_000).with_seams(fetch=fetch, clock=clock, timer=clock)

    assert verifier.max_token_length == 20_000


@pytest.mark.parametrize("length", [1023, 1024 * 1024 + 1, 0, -1, 8192.0, True, "8192", None])
def test_max_token_length_is_a_number_of_characters(make_verifier: MakeVerifier, length: Any) -> None:
    with pytest.raises(
        ConfigurationError, match="max_token_length must be a number of characters from 1024 to 1048576"
    ):
        make_verifier(max_token_length=length)


@pytest.mark.parametrize("length", [1024, 1024 * 1024])
def test_the_bounds_of_the_longest_token_are_inclusive(make_verifier: MakeVerifier, length: int) -> None:
    assert make_verifier(max_token_length=length).max_token_length == length
