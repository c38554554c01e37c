"""Ids and secrets that follow from names, so they are the same after each restart without a file."""

from __future__ import annotations

import hashlib
import secrets
import string
from typing import Final

CLIENT_ID_LENGTH: Final = 26  # like Cognito's
SECRET_LENGTH: Final = 52  # like Cognito's

_ALPHABET: Final = string.ascii_lowercase + string.digits


def derived_word(length: int, *names: str) -> str:
    """
    Return *length* letters and digits that depend only on *names*.

    Everyone who knows the names can compute them. That is no risk here: everyone who can reach a local Cognito gets any
    token anyway.
    """
    number = int.from_bytes(hashlib.sha512("\0".join(names).encode()).digest(), "big")
    letters = ""
    while len(letters) < length:
        number, place = divmod(number, len(_ALPHABET))
        letters += _ALPHABET[place]
    return letters


def random_word(length: int) -> str:
    """Return *length* random letters and digits."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))
