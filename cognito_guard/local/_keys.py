"""The key pairs that sign tokens."""

from __future__ import annotations

import base64
import secrets
import threading
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from cognito_guard.errors import ConfigurationError

_KID_BYTES: Final = 32  # 44 characters of base64, like Cognito's


class SigningKey:
    """
    An RSA key pair and its `kid`, for RS256.

    The pair is made at its first use, which takes about 100 ms. To make it only once, pass one key to several pools, or
    keep it for a whole test run.

    Args:
        kid: The name under which the key is published; random by default.
        private_key: The key itself; a new one of 2048 bits by default.

    """

    __slots__ = ("_lock", "_private_key", "kid")

    def __init__(self, *, kid: str | None = None, private_key: RSAPrivateKey | None = None) -> None:
        self.kid: Final = base64.b64encode(secrets.token_bytes(_KID_BYTES)).decode() if kid is None else kid
        self._private_key = private_key
        self._lock: Final = threading.Lock()

    @property
    def private_key(self) -> RSAPrivateKey:
        """The private key, the same at each call."""
        with self._lock:
            if self._private_key is None:
                self._private_key = generate_private_key(public_exponent=65537, key_size=2048)
            return self._private_key

    def prepare(self) -> None:
        """Make the pair if it does not exist yet."""
        self.private_key  # noqa: B018 - made by being looked at

    def sign(self, message: bytes) -> bytes:
        """Return the RS256 signature of *message* (RFC 7518 section 3.3)."""
        return self.private_key.sign(message, PKCS1v15(), SHA256())

    def jwk(self) -> dict[str, str]:
        """Return the public key as a JWK, with the members in Cognito's order."""
        numbers = self.private_key.public_key().public_numbers()
        return {
            "alg": "RS256",
            "e": _base64url_uint(numbers.e),
            "kid": self.kid,
            "kty": "RSA",
            "n": _base64url_uint(numbers.n),
            "use": "sig",
        }

    def public_pem(self) -> bytes:
        """Return the public key as PEM (SubjectPublicKeyInfo)."""
        return self.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def private_pem(self) -> bytes:
        """Return the private key as PEM (PKCS #8, not encrypted). `from_pem` reads it."""
        return self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @classmethod
    def from_pem(cls, kid: str, pem: bytes) -> SigningKey:
        """
        Return a key with this name and this private RSA key.

        Raises:
            ConfigurationError: *pem* does not contain an unencrypted RSA key.

        """
        try:
            key = load_pem_private_key(pem, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(f"the private key {kid!r} cannot be read") from error
        if not isinstance(key, RSAPrivateKey):
            raise ConfigurationError(f"the private key {kid!r} is not an RSA key")
        return cls(kid=kid, private_key=key)

    def __repr__(self) -> str:
        return f"SigningKey(kid={self.kid!r})"


@dataclass(frozen=True, slots=True)
class PoolKeys:
    """The two keys of a user pool: Cognito signs access tokens and ID tokens with different ones."""

    access: SigningKey = field(default_factory=SigningKey)
    identity: SigningKey = field(default_factory=SigningKey)


def base64url(data: bytes) -> str:
    """Return *data* in the base64url of JOSE: without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _base64url_uint(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big"))
