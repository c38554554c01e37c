"""A JSON Web Key Set (RFC 7517), and its usable keys: RSA keys that verify RS256."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

MIN_KEY_BITS: Final = 2048
"""RFC 7518 section 3.3."""

MAX_BRACKETS: Final = 1_000
"""Most lists and objects in a key set. CPython 3.13 parses 10,000 nested ones. On a thread with a stack of less than
1 MiB, that crashes the process."""

_PADDING: Final = PKCS1v15()
# RFC 8017 section 9.2, note 1: the prefix of a SHA-256 digest.
_DIGEST_INFO: Final = bytes.fromhex("3031300d060960864801650304020105000420")
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})  # RFC 7518 section 6.3.2


class NoUsableKeyError(ValueError):
    """The document is not a key set, or has no key that verifies RS256."""


class Key:
    """One public key of a pool. Keys are equal if their material is equal; the `kid` does not count."""

    __slots__ = ("_length", "_numbers", "_public")

    def __init__(self, public: RSAPublicKey) -> None:
        self._public: Final = public
        self._numbers: Final = public.public_numbers()
        self._length: Final = (public.key_size + 7) // 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and self._numbers == other._numbers

    def __hash__(self) -> int:
        return hash(self._numbers)

    def signed(self, signing_input: bytes, signature: bytes) -> bool:
        """
        Return whether this key made *signature* over *signing_input* (RSASSA-PKCS1-v1_5 with SHA-256).

        RFC 8017 section 8.2.2: check the length and compare the whole recovered content, parse nothing.
        """
        # verify() does the same, but a tenth of its time goes into looking up what SHA256() stands for.
        if len(signature) != self._length:
            return False
        try:
            signed = self._public.recover_data_from_signature(signature, _PADDING, None)
        except InvalidSignature:
            return False
        return signed == _DIGEST_INFO + sha256(signing_input).digest()


def parse_jwks(document: bytes) -> dict[str, Key]:
    """
    Return the usable keys of a JSON *document*, by `kid`.

    Raises:
        NoUsableKeyError: It has no usable key.

    """
    if document.count(b"[") + document.count(b"{") > MAX_BRACKETS:
        raise NoUsableKeyError("the answer is nested too deep")
    try:
        content = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise NoUsableKeyError("the answer is not JSON") from error
    if not isinstance(content, Mapping):
        raise NoUsableKeyError("the answer is not a JSON object")
    return usable_keys(content)


def usable_keys(jwks: Mapping[str, Any]) -> dict[str, Key]:
    """
    Return the usable keys of *jwks*, by `kid`.

    Ignored are members that are not an RSA public key for RS256 signatures with a `kid` and at least `MIN_KEY_BITS`
    bits. Two different keys with the same `kid` are both ignored, because the token does not say which one is meant.

    Raises:
        NoUsableKeyError: It has no usable key.

    """
    members = jwks.get("keys")
    found: dict[str, Key] = {}
    ambiguous: set[str] = set()
    for member in members if isinstance(members, list | tuple) else ():
        key = _key(member)
        if key is not None and found.setdefault(member["kid"], key) != key:
            ambiguous.add(member["kid"])
    usable = {kid: key for kid, key in found.items() if kid not in ambiguous}
    if not usable:
        raise NoUsableKeyError("the key set holds no usable key")
    return usable


def _key(member: object) -> Key | None:
    if not isinstance(member, Mapping) or not _meant_for_rs256(member):
        return None
    try:
        public = cast("RSAPublicKey", RSAAlgorithm.from_jwk({name: member[name] for name in ("kty", "n", "e")}))
    except ValueError:
        return None
    return Key(public) if public.key_size >= MIN_KEY_BITS else None


def _meant_for_rs256(member: Mapping[str, Any]) -> bool:
    operations = member.get("key_ops", ["verify"])
    return (
        member.get("kty") == "RSA"
        and member.get("use", "sig") == "sig"
        and member.get("alg", "RS256") == "RS256"
        and isinstance(operations, list)
        and "verify" in operations
        and all(isinstance(member.get(name), str) and member[name] for name in ("kid", "n", "e"))
        and _PRIVATE_MEMBERS.isdisjoint(member)
    )
