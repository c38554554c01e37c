"""Resource servers and the scopes they define."""

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
    An API and the scopes it defines, in tokens written `<identifier>/<name>`.

    Args:
        identifier: 1 to 256 printable ASCII characters without blank, quote and backslash; often a URL.
        scopes: The names of at most 100 scopes with a description of each. A name is formed as the identifier is, and
            has no slash.
        name: What people call it: 1 to 256 letters, digits, blanks or `+=,.@-`. By default the identifier, with a `-`
            for each character that a name may not have.

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
        """The scopes as they stand in tokens."""
        return tuple(f"{self.identifier}/{name}" for name in self.scopes)


def scope_claim(scopes: Iterable[str]) -> str | None:
    """
    Return the value of `scope`: each of *scopes* once, in the order in which Cognito puts them; None without any.

    That is the order of a Java `HashSet`, not the one they were asked for in. The set is sized for the number of its
    members, and a member's place is its hash, folded, modulo that size.
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
