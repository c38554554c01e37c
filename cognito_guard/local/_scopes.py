"""Resource servers, and the scopes that they define."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cognito_guard._grammar import RESOURCE_SERVER_IDENTIFIER, SCOPE_DESCRIPTION, SCOPE_NAME, Form
from cognito_guard.errors import ConfigurationError

RESOURCE_SERVER_NAME: Final = Form("the name of a resource server", re.compile(r"[\w\s+=,.@-]+"), 256)

MOST_SCOPES_OF_A_SERVER: Final = 100


@dataclass(frozen=True, slots=True)
class ResourceServer:
    """
    An API and the scopes that it defines. Tokens have them as `<identifier>/<name>`.

    Args:
        identifier: 1 to 256 printable ASCII characters without blanks, quotes and backslashes; often a URL.
        scopes: The names of at most 100 scopes, each with a description. A name has the form of an identifier, without
            slashes.
        name: A name for people: 1 to 256 letters, digits, blanks or `+=,.@-`. By default the identifier, with `-` for
            each character that is not allowed in a name.

    Raises:
        ConfigurationError: Cognito would not accept these values.

    """

    identifier: str
    scopes: Mapping[str, str]
    name: str | None = None

    def __post_init__(self) -> None:
        RESOURCE_SERVER_IDENTIFIER.check(self.identifier)
        if not isinstance(self.scopes, Mapping):
            raise ConfigurationError("scopes must map the names of scopes to descriptions")
        if len(self.scopes) > MOST_SCOPES_OF_A_SERVER:
            raise ConfigurationError(
                f"a resource server has at most {MOST_SCOPES_OF_A_SERVER} scopes, got {len(self.scopes)}"
            )
        for name, description in self.scopes.items():
            SCOPE_NAME.check(name)
            SCOPE_DESCRIPTION.check(description)
        name = re.sub(r"[^\w\s+=,.@-]", "-", self.identifier) if self.name is None else self.name
        object.__setattr__(self, "name", RESOURCE_SERVER_NAME.check(name))
        object.__setattr__(self, "scopes", MappingProxyType(dict(self.scopes)))

    @property
    def full_names(self) -> tuple[str, ...]:
        """The scopes as written in tokens."""
        return tuple(f"{self.identifier}/{name}" for name in self.scopes)


def scope_claim(scopes: Iterable[str]) -> str | None:
    """
    Return the value of `scope`: *scopes* without duplicates, in Cognito's order; None if there are none.

    Cognito's order is that of a Java `HashSet`, not the requested one. The size of the set depends on the number of
    members. A member's place is its folded hash modulo that size.
    """
    members = tuple(dict.fromkeys(scopes))
    size = 16
    while size < int(len(members) / 0.75) + 1:
        size *= 2

    def place(scope: str) -> int:
        code = 0
        for character in scope:
            code = (31 * code + ord(character)) & 0xFFFFFFFF
        return (code ^ code >> 16) & (size - 1)

    return " ".join(sorted(members, key=place)) or None
