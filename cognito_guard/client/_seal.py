"""Encrypts tokens for a store, so that access to the store is not enough to use them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any, Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cognito_guard.client._answer import is_token
from cognito_guard.client._token import LONGEST_LIFE, Token

_PURPOSE: Final = b"cognito_guard.client: tokens at rest, 1"


class Seal:
    """
    Encrypts tokens under a key derived from the client secret (HKDF-SHA256, RFC 5869; Fernet).

    With two secrets, the first encrypts and both decrypt, so a fleet continues to share during a rotation.

    Args:
        secrets: The client's one or two secrets.
        key: The cache key. It is part of the plaintext, so an entry that is copied to another key cannot be opened.
        fraction: The part of a token's life after which this process renews it.

    """

    def __init__(self, secrets: Sequence[str], key: str, fraction: float) -> None:
        self._fernet: Final = MultiFernet([Fernet(_derived(secret)) for secret in secrets])
        self._key: Final = key
        self._fraction: Final = fraction

    def close(self, token: Token) -> bytes:
        """Return *token*, encrypted."""
        content = {
            "key": self._key,
            "token": token.value,
            "bought_at": token.bought_at,
            "expires_at": token.expires_at,
        }
        return self._fernet.encrypt(json.dumps(content).encode())

    def open(self, sealed: bytes) -> Token | None:
        """Return the token in *sealed*; None if it was not sealed for this key with one of these secrets."""
        try:
            content: dict[str, Any] = json.loads(self._fernet.decrypt(sealed))
            token = Token(
                str(content["token"]),
                bought_at=float(content["bought_at"]),
                expires_at=float(content["expires_at"]),
                fraction=self._fraction,
            )
            same_key = content["key"] == self._key
        except (InvalidToken, ValueError, TypeError, LookupError, RecursionError):
            return None
        life = token.expires_at - token.bought_at
        # Only a process that knows the secret can have written this, but its version of this package may differ.
        sound = is_token(token.value) and math.isfinite(token.bought_at) and 0 < life <= LONGEST_LIFE
        return token if same_key and sound else None


def _derived(secret: str) -> bytes:
    derived = HKDF(SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret.encode())
    return base64.urlsafe_b64encode(derived)
