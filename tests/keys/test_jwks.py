"""Which keys of a key set are usable. Each unusable member is a usable one with one change."""

from __future__ import annotations

import base64
import inspect
import itertools
import json
import sys
from collections.abc import Mapping
from hashlib import sha1, sha256
from types import MappingProxyType
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from cognito_guard._keys.jwks import Key, NoUsableKeyError, parse_jwks, usable_keys
from cognito_guard.local import PoolKeys, SigningKey


def base64url(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


def modulus(bits: int) -> int:
    """An odd number of so many bits. A verifier cannot know whether it has two prime factors."""
    return (1 << bits) - 1


@pytest.fixture(scope="module")
def good(pool_keys: PoolKeys) -> Mapping[str, str]:
    return MappingProxyType(pool_keys.access.jwk())


@pytest.fixture(scope="module")
def other(pool_keys: PoolKeys) -> Mapping[str, str]:
    return MappingProxyType(pool_keys.identity.jwk())


ABSENT: Any = object()

UNUSABLE = [
    pytest.param({"kty": "EC"}, id="EC"),
    pytest.param({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}, id="EC-with-its-own-members"),
    pytest.param({"kty": "oct", "k": "c2VjcmV0"}, id="oct"),
    pytest.param({"kty": "OKP", "crv": "Ed25519", "x": "AQ"}, id="OKP"),
    pytest.param({"kty": "rsa"}, id="kty-in-lower-case"),
    pytest.param({"kty": ABSENT}, id="no-kty"),
    pytest.param({"kty": ["RSA"]}, id="kty-a-list"),
    pytest.param({"use": "enc"}, id="for-encryption"),
    pytest.param({"use": ""}, id="use-empty"),
    pytest.param({"use": None}, id="use-null"),
    pytest.param({"alg": "RS512"}, id="RS512"),
    pytest.param({"alg": "PS256"}, id="PS256"),
    pytest.param({"alg": "HS256"}, id="HS256"),
    pytest.param({"alg": "none"}, id="none"),
    pytest.param({"alg": None}, id="alg-null"),
    pytest.param({"key_ops": ["encrypt"]}, id="key_ops-without-verify"),
    pytest.param({"key_ops": []}, id="key_ops-empty"),
    pytest.param({"key_ops": "verify"}, id="key_ops-a-string"),
    pytest.param({"n": base64url(modulus(1024))}, id="1024-bits"),
    pytest.param({"n": base64url(modulus(2047))}, id="2047-bits"),
    pytest.param({"n": ""}, id="n-empty"),
    pytest.param({"n": ABSENT}, id="no-n"),
    pytest.param({"n": 5}, id="n-a-number"),
    pytest.param({"n": "A"}, id="n-not-base64"),
    pytest.param({"n": "\N{SNOWMAN}" * 400}, id="n-not-ASCII"),
    pytest.param({"e": base64url(1)}, id="e-1"),
    pytest.param({"e": base64url(2)}, id="e-2"),
    pytest.param({"e": base64url(65536)}, id="e-even"),
    pytest.param({"e": "AA"}, id="e-0"),
    pytest.param({"e": base64url(modulus(4096))}, id="e-above-n"),
    pytest.param({"e": ""}, id="e-empty"),
    pytest.param({"e": ABSENT}, id="no-e"),
    pytest.param({"e": 65537}, id="e-a-number"),
    pytest.param({"kid": ABSENT}, id="no-kid"),
    pytest.param({"kid": ""}, id="kid-empty"),
    pytest.param({"kid": 7}, id="kid-a-number"),
    pytest.param({"kid": None}, id="kid-null"),
    pytest.param({"kid": ["a"]}, id="kid-a-list"),
    *(pytest.param({name: "AQAB"}, id=f"private-{name}") for name in ("d", "p", "q", "dp", "dq", "qi", "oth")),
]


def changed(member: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**member, **change}.items() if value is not ABSENT}


@pytest.mark.parametrize("change", UNUSABLE)
def test_an_unusable_member_is_ignored(
    good: Mapping[str, str], other: Mapping[str, str], change: Mapping[str, Any]
) -> None:
    odd = changed(good, change)

    for members in ([odd, other], [other, odd]):
        assert set(usable_keys({"keys": members})) == {other["kid"]}


@pytest.mark.parametrize("change", UNUSABLE)
def test_a_set_with_only_unusable_members_is_refused(good: Mapping[str, str], change: Mapping[str, Any]) -> None:
    with pytest.raises(NoUsableKeyError, match="holds no usable key"):
        usable_keys({"keys": [changed(good, change)]})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="as-cognito-writes-it"),
        pytest.param({"use": ABSENT}, id="no-use"),
        pytest.param({"alg": ABSENT}, id="no-alg"),
        pytest.param({"key_ops": ["verify"]}, id="key_ops-verify"),
        pytest.param({"key_ops": ["sign", "verify"]}, id="key_ops-sign-and-verify"),
        pytest.param({"n": base64url(modulus(2048))}, id="2048-bits"),
        pytest.param({"n": base64url(modulus(4096))}, id="4096-bits"),
        pytest.param({"e": base64url(3)}, id="e-3"),
        pytest.param({"x5t": "abc", "x5c": ["abc"], "issued": {"at": 1}}, id="members-nobody-knows"),
    ],
)
def test_a_member_for_rs256_is_usable(good: Mapping[str, str], change: Mapping[str, Any]) -> None:
    assert set(usable_keys({"keys": [changed(good, change)]})) == {good["kid"]}


@pytest.mark.parametrize("odd", [None, 1, "key", [], [["kid", "a"]], {}, True])
def test_a_member_that_is_not_an_object_is_ignored(good: Mapping[str, str], odd: object) -> None:
    assert set(usable_keys({"keys": [odd, good, odd]})) == {good["kid"]}


def test_of_two_different_keys_under_one_name_neither_is_trusted(
    good: Mapping[str, str], other: Mapping[str, str]
) -> None:
    impostor = changed(other, {"kid": good["kid"]})

    for members in ([good, impostor, other], [impostor, good, other], [good, impostor, good, other]):
        assert set(usable_keys({"keys": members})) == {other["kid"]}
    with pytest.raises(NoUsableKeyError):
        usable_keys({"keys": [good, impostor]})


def test_the_same_key_twice_under_one_name_is_that_key(good: Mapping[str, str]) -> None:
    assert set(usable_keys({"keys": [good, changed(good, {"use": ABSENT})]})) == {good["kid"]}


def test_a_key_under_two_names_has_both(good: Mapping[str, str]) -> None:
    assert set(usable_keys({"keys": [good, changed(good, {"kid": "another"})]})) == {good["kid"], "another"}


def test_an_unusable_key_of_the_same_name_does_not_affect_a_good_one(good: Mapping[str, str]) -> None:
    assert set(usable_keys({"keys": [changed(good, {"use": "enc"}), good]})) == {good["kid"]}


def test_a_key_tells_its_own_signatures_from_all_others(pool_keys: PoolKeys) -> None:
    keys = parse_jwks(json.dumps({"keys": [pool_keys.access.jwk(), pool_keys.identity.jwk()]}).encode())
    key = keys[pool_keys.access.kid]
    signature = pool_keys.access.sign(b"message")

    assert key.signed(b"message", signature)
    assert key.signed(b"another message", signature) is False
    assert key.signed(b"message", signature[:-1]) is False
    assert key.signed(b"message", b"") is False
    assert key.signed(b"message", pool_keys.identity.sign(b"message")) is False


def test_keys_are_equal_if_their_material_is(good: Mapping[str, str], other: Mapping[str, str]) -> None:
    (first,) = usable_keys({"keys": [good]}).values()
    (again,) = usable_keys({"keys": [changed(good, {"kid": "another"})]}).values()
    (different,) = usable_keys({"keys": [other]}).values()
    (other_exponent,) = usable_keys({"keys": [changed(good, {"e": base64url(3)})]}).values()

    assert first == again
    assert hash(first) == hash(again)
    assert first not in {different, other_exponent}
    assert first != good


# What a SHA-256 signature holds (RFC 8017 section 9.2): 00 01, padding, 00, and this before the digest.
DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
DIGEST = sha256(b"message").digest()


def encoded_message(
    content: bytes, *, head: bytes = b"\x00\x01", padding: bytes | None = None, tail: bytes = b""
) -> bytes:
    rest = b"\x00" + content + tail
    return head + (b"\xff" * (256 - len(head) - len(rest)) if padding is None else padding) + rest


def raw_signature(key: SigningKey, message: bytes) -> bytes:
    """The signature of any number, without padding."""
    numbers = key.private_key.private_numbers()
    return pow(int.from_bytes(message), numbers.d, numbers.public_numbers.n).to_bytes(256)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(encoded_message(DIGEST_INFO + DIGEST, padding=b"\xff" * 8, tail=bytes(194)), id="garbage-behind"),
        pytest.param(encoded_message(DIGEST_INFO + DIGEST, tail=b"\x00"), id="one-byte-behind"),
        pytest.param(encoded_message(DIGEST_INFO + DIGEST, padding=b"\xff" * 201 + b"\xfe"), id="padding-ends-wrong"),
        pytest.param(encoded_message(DIGEST_INFO + DIGEST, padding=b"\x00" * 202), id="no-padding"),
        pytest.param(encoded_message(DIGEST_INFO + DIGEST, head=b"\x00\x02"), id="padded-for-encryption"),
        pytest.param(encoded_message(DIGEST_INFO + DIGEST, head=b"\x00\x00"), id="block-type-0"),
        pytest.param(encoded_message(DIGEST), id="digest-alone"),
        pytest.param(encoded_message(DIGEST_INFO + DIGEST[:-1]), id="digest-cut-short"),
        pytest.param(encoded_message(DIGEST_INFO), id="no-digest"),
        pytest.param(encoded_message(b""), id="nothing"),
        pytest.param(
            encoded_message(bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + DIGEST), id="no-parameters"
        ),
        pytest.param(
            encoded_message(bytes.fromhex("308131300d060960864801650304020105000420") + DIGEST),
            id="length-in-long-form",
        ),
        pytest.param(
            encoded_message(bytes.fromhex("3031300d060960864801650304020205000420") + DIGEST), id="another-algorithm"
        ),
        pytest.param(
            encoded_message(bytes.fromhex("3021300906052b0e03021a05000414") + sha1(b"message").digest()),  # noqa: S324 - refused
            id="SHA-1",
        ),
    ],
)
def test_a_signature_holds_exactly_what_must_have_been_signed(pool_keys: PoolKeys, message: bytes) -> None:
    """All are made with the right key. Each has fooled a verifier that parsed the signed content."""
    key = usable_keys({"keys": [pool_keys.access.jwk()]})[pool_keys.access.kid]
    signature = raw_signature(pool_keys.access, message)

    assert len(message) == 256
    assert key.signed(b"message", signature) is False
    with pytest.raises(InvalidSignature):
        pool_keys.access.private_key.public_key().verify(signature, b"message", PKCS1v15(), SHA256())


def test_the_content_that_must_have_been_signed_is_that_of_a_signature(pool_keys: PoolKeys) -> None:
    """Otherwise the forgeries above would be refused for another reason."""
    signature = raw_signature(pool_keys.access, encoded_message(DIGEST_INFO + DIGEST))

    assert signature == pool_keys.access.sign(b"message")


def test_a_signature_is_as_long_as_its_key(pool_keys: PoolKeys) -> None:
    """A zero in front changes no number: without a look at the length, one token could be spelled in several ways."""
    key = usable_keys({"keys": [pool_keys.access.jwk()]})[pool_keys.access.kid]
    messages = (str(number).encode() for number in itertools.count())
    message, signature = next(
        (message, signature)
        for message, signature in ((message, pool_keys.access.sign(message)) for message in messages)
        if signature[0] == 0
    )

    assert key.signed(message, signature)
    assert key.signed(message, signature[1:]) is False
    assert key.signed(message, b"\x00" + signature) is False


def test_a_signature_is_a_number_below_the_modulus(pool_keys: PoolKeys) -> None:
    key = usable_keys({"keys": [pool_keys.access.jwk()]})[pool_keys.access.kid]
    modulus_of_key = pool_keys.access.private_key.public_key().public_numbers().n
    messages = (str(number).encode() for number in itertools.count())
    signed = ((message, int.from_bytes(pool_keys.access.sign(message))) for message in messages)
    message, number = next((message, number) for message, number in signed if number + modulus_of_key < 1 << 2048)

    assert key.signed(message, number.to_bytes(256))
    assert key.signed(message, (number + modulus_of_key).to_bytes(256)) is False


@given(signature=st.binary(min_size=250, max_size=260) | st.binary(max_size=8))
def test_any_bytes_are_judged(pool_keys: PoolKeys, signature: bytes) -> None:
    key = usable_keys({"keys": [pool_keys.access.jwk()]})[pool_keys.access.kid]

    assert key.signed(b"message", signature) is False


@pytest.mark.parametrize("bits", [2048, 2049, 2050, 2055, 2056, 3072])
def test_real_keys_of_other_sizes_verify(bits: int) -> None:
    signer = SigningKey(kid="a", private_key=generate_private_key(public_exponent=65537, key_size=bits))

    assert usable_keys({"keys": [signer.jwk()]})["a"].signed(b"message", signer.sign(b"message"))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"<html>", id="html"),
        pytest.param(b'{"keys": [', id="truncated"),
        pytest.param(b"\xff\xfe\xff", id="no-utf-8"),
        pytest.param(b'{"keys": ' + b"9" * 5_000 + b"}", id="a-number-beyond-all-limits"),
    ],
)
def test_a_document_that_is_not_json_is_refused(document: bytes) -> None:
    with pytest.raises(NoUsableKeyError, match="is not JSON"):
        parse_jwks(document)


def test_deep_nesting_is_refused_even_if_the_parser_accepts_it() -> None:
    with pytest.raises(NoUsableKeyError):
        parse_jwks(b'{"keys":' * 7_000 + b"1" + b"}" * 7_000)


@pytest.mark.parametrize("member", [[], {}], ids=["lists", "objects"])
@pytest.mark.parametrize(("number", "accepted"), [(1_000, True), (1_001, False)])
def test_a_key_set_holds_a_thousand_lists_and_objects_and_no_more(
    good: Mapping[str, str], member: object, number: int, accepted: bool
) -> None:
    # The set, its two lists and the key are four.
    document = json.dumps({"keys": [dict(good)], "more": [member] * (number - 4)}).encode()

    if accepted:
        assert set(parse_jwks(document)) == {good["kid"]}
    else:
        with pytest.raises(NoUsableKeyError, match="nested too deep"):
            parse_jwks(document)


def test_a_caller_deep_in_its_stack_gets_an_answer_too() -> None:
    """The parser calls itself for each list; how many calls are left is up to who called."""

    def look(calls: int) -> None:
        if calls:
            look(calls - 1)
        else:
            parse_jwks(b"[" * 900 + b"]" * 900)

    depth = len(inspect.stack(0))
    # Newer Pythons count the parser's calls apart, and find that this is no object.
    with pytest.raises(NoUsableKeyError, match=r"is not (JSON|a JSON object)$"):
        look(sys.getrecursionlimit() - depth - 100)


@pytest.mark.parametrize("document", [b"null", b"1", b'"keys"', b"[]", b'[{"keys": []}]', b"NaN"])
def test_json_that_is_not_an_object_is_refused(document: bytes) -> None:
    with pytest.raises(NoUsableKeyError, match="is not a JSON object"):
        parse_jwks(document)


@pytest.mark.parametrize(
    "jwks", [{}, {"keys": None}, {"keys": []}, {"keys": {}}, {"keys": "keys"}, {"keys": 1}, {"Keys": []}]
)
def test_a_set_without_keys_is_refused(jwks: dict[str, Any]) -> None:
    with pytest.raises(NoUsableKeyError, match="holds no usable key"):
        parse_jwks(json.dumps(jwks).encode())


def test_a_saved_key_set_may_be_a_tuple_of_read_only_mappings(good: Mapping[str, str]) -> None:
    assert set(usable_keys(MappingProxyType({"keys": (good,)}))) == {good["kid"]}


def check(document: bytes) -> None:
    """Keys or our error; never another exception, and never a key that cannot verify."""
    try:
        keys = parse_jwks(document)
    except NoUsableKeyError:
        return
    assert keys
    for kid, key in keys.items():
        assert isinstance(kid, str)
        assert isinstance(key, Key)
        assert kid
        assert key.signed(b"message", b"\x01" * 256) is False


@given(st.binary(max_size=2_000))
def test_any_bytes_give_keys_or_our_error(document: bytes) -> None:
    check(document)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)


@given(ANY_JSON | st.fixed_dictionaries({"keys": ANY_JSON | st.lists(ANY_JSON)}))
def test_any_json_gives_keys_or_our_error(content: object) -> None:
    check(json.dumps(content).encode())


NAMES = ("kty", "kid", "use", "alg", "n", "e", "key_ops", "d")
NUMBERS = st.integers(min_value=0, max_value=1 << 2100).map(base64url)


@given(
    changes=st.lists(
        st.dictionaries(st.sampled_from(NAMES), ANY_JSON | NUMBERS | st.just("same"), max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_any_change_to_good_members_gives_keys_or_our_error(
    good: Mapping[str, str], changes: list[dict[str, Any]]
) -> None:
    check(json.dumps({"keys": [{**good, **change} for change in changes]}).encode())
