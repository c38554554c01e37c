"""The least that a verification can cost: only the RSA check, with its input prepared."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.pool import Material
from benchmarks.rounds import Case, in_turn

BARE: Final = "bare RSA-2048 check (cryptography)"


class Signed(NamedTuple):
    """A token, and the inputs of its RSA check."""

    token: str
    signing_input: bytes
    signature: bytes


def signed_parts(material: Material) -> tuple[RSAPublicKey, list[Signed]]:
    """Return the key of all tokens, and the inputs of each."""
    header = json.loads(_decoded(material.tokens[0].partition(".")[0]))
    jwk = next(key for key in json.loads(material.jwks)["keys"] if key["kid"] == header["kid"])
    halves = ((token, *token.rsplit(".", 1)) for token in material.tokens)
    return public_key(jwk), [
        Signed(token, signing_input.encode(), _decoded(signature)) for token, signing_input, signature in halves
    ]


def bare_case(material: Material, calls: int) -> Case:
    """Return the case that all others are compared with, over the same tokens."""
    public, signed = signed_parts(material)
    padding, digest = PKCS1v15(), SHA256()
    turns = in_turn(signed, calls)

    async def run() -> None:
        for _, signing_input, signature in next(turns):
            public.verify(signature, signing_input, padding, digest)

    return Case(BARE, run, calls)


def public_key(jwk: dict[str, str]) -> RSAPublicKey:
    """Return the RSA key of a JWK."""
    e, n = (int.from_bytes(_decoded(jwk[name])) for name in ("e", "n"))
    return RSAPublicNumbers(e, n).public_key()


def sync_case(name: str, check: Callable[[str], object], material: Material, calls: int) -> Case:
    """Return the case of a plain function of a token."""
    turns = in_turn(material.tokens, calls)

    async def run() -> None:
        for token in next(turns):
            check(token)

    return Case(name, run, calls)


def async_case(name: str, check: Callable[[str], Coroutine[Any, Any, object]], material: Material, calls: int) -> Case:
    """Return the case of a coroutine function of a token."""
    turns = in_turn(material.tokens, calls)

    async def run() -> None:
        for token in next(turns):
            await check(token)

    return Case(name, run, calls)


def _decoded(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
