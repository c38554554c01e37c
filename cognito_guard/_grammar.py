"""The grammar of scopes and of Cognito's names, and its limits (API reference of `cognito-idp`)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from cognito_guard.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Form:
    """The form of one kind of name: a pattern for the whole of it, and how many characters it may have."""

    what: str
    pattern: re.Pattern[str]
    longest: int
    shortest: int = 1

    def check(self, value: str) -> str:
        """
        Return *value* as it is.

        Raises:
            ConfigurationError: It is not a string, too short, too long, or has a character that is not allowed.

        """
        if not isinstance(value, str):
            raise ConfigurationError(f"{self.what} must be a string, got {type(value).__name__}")
        if not self.shortest <= len(value) <= self.longest:
            raise ConfigurationError(
                f"{self.what} must have {self.shortest} to {self.longest} characters, got {len(value)}"
            )
        if not self.pattern.fullmatch(value):
            raise ConfigurationError(f"{self.what} must match {self.pattern.pattern}")
        return value


# No blank, quote or backslash: a scope token of RFC 6749 section 3.3.
_PRINTABLE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
_WORD: Final = re.compile(r"[\w+]+", re.ASCII)

RESOURCE_SERVER_IDENTIFIER: Final = Form("the identifier of a resource server", _PRINTABLE, 256)
SCOPE_NAME: Final = Form("the name of a scope", re.compile(r"[\x21\x23-\x2E\x30-\x5B\x5D-\x7E]+"), 256)
SCOPE_DESCRIPTION: Final = Form("the description of a scope", re.compile(r".+", re.DOTALL), 256)
SCOPE: Final = Form("a scope", _PRINTABLE, 256)
CLIENT_ID: Final = Form("a client id", _WORD, 128)
CLIENT_NAME: Final = Form("the name of a client", re.compile(r"[\w\s+=,.@-]+"), 128)
CLIENT_SECRET: Final = Form("a client secret", _WORD, longest=64, shortest=24)


def check_strings(option: str, values: Collection[str], *, most: int | None = None) -> tuple[str, ...]:
    """
    Return *values* in their order, each once.

    Raises:
        ConfigurationError: It is a single string, not a collection of strings, or has more than *most* members.

    """
    # A string is a collection too: scopes="a/b" would quietly be the three scopes "a", "/" and "b".
    if isinstance(values, str) or not isinstance(values, Collection):
        raise ConfigurationError(f"{option} must be a collection of strings, such as a list")
    if not all(isinstance(value, str) for value in values):
        raise ConfigurationError(f"{option} must hold strings only")
    if most is not None and len(values) > most:
        raise ConfigurationError(f"{option} must be at most {most}, got {len(values)}")
    return tuple(dict.fromkeys(values))


def check_scope(scope: object) -> str:
    """
    Return *scope*, if it is one scope token.

    Raises:
        ConfigurationError: It is not.

    """
    if not isinstance(scope, str) or not _PRINTABLE.fullmatch(scope):
        raise ConfigurationError(
            f"{scope!r} is not a scope; expected one '<resource server>/<scope>' per argument, "
            "without blanks, quotes and backslashes, such as require('orders/order.read', 'orders/order.write')"
        )
    return scope
