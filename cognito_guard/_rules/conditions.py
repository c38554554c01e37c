"""The conditions of routes, as plain values. Each decides whether a caller meets it, and has a name."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from starlette.requests import HTTPConnection

from cognito_guard._principal import Principal

Predicate = Callable[[Principal, Any], bool]

_log: Final = logging.getLogger("cognito_guard")


class Condition(Protocol):
    """One condition for a caller. Values with equal content are equal."""

    @property
    def reason(self) -> str:
        """The `reason` of the `InsufficientScopeError` for a caller that does not meet it."""
        ...

    @property
    def needs_request(self) -> bool:
        """Whether it needs the request."""
        ...

    def is_met_by(self, principal: Principal, conn: HTTPConnection | None, /) -> bool:
        """Return whether *principal* meets it. *conn* is the request, if there is one."""
        ...

    def as_data(self) -> dict[str, Any]:
        """Return it as one member of a JSON object."""
        ...


@dataclass(frozen=True, slots=True)
class Granted:
    """
    The token grants one of several sets of scopes.

    Attributes:
        alternatives: The sets. One set means "all of these", several sets of one scope mean "any of these", and one
            empty set means any valid token.

    """

    alternatives: frozenset[frozenset[str]]
    reason = "scope"
    needs_request = False

    def is_met_by(self, principal: Principal, _conn: HTTPConnection | None) -> bool:
        """Return whether the token grants one of the sets."""
        granted = principal.scopes
        for names in self.alternatives:  # noqa: SIM110 - any() takes four times as long
            if names <= granted:
                return True
        return False

    @property
    def names(self) -> frozenset[str]:
        """Every scope in the sets."""
        return frozenset[str]().union(*self.alternatives)

    def as_data(self) -> dict[str, Any]:
        """Return it as one member of a JSON object."""
        return {"scopes": sorted(map(sorted, self.alternatives))}

    def __str__(self) -> str:
        return " or ".join(sorted(" and ".join(sorted(names)) for names in self.alternatives)) or "any valid token"


ANY_TOKEN: Final = Granted(frozenset({frozenset()}))
"""Any valid token."""


@dataclass(frozen=True, slots=True)
class InGroup:
    """The caller is a user in at least one of *names* (`cognito:groups`)."""

    names: frozenset[str]
    reason = "group"
    needs_request = False

    def is_met_by(self, principal: Principal, _conn: HTTPConnection | None) -> bool:
        """Return whether the user is in one of the groups."""
        return not self.names.isdisjoint(principal.groups)

    def as_data(self) -> dict[str, Any]:
        """Return it as one member of a JSON object."""
        return {"groups": sorted(self.names)}

    def __str__(self) -> str:
        return f"group {' or '.join(sorted(self.names))}"


@dataclass(frozen=True, slots=True)
class CallerIs:
    """The caller is a machine, or is a user."""

    machine: bool
    reason = "caller"
    needs_request = False

    def is_met_by(self, principal: Principal, _conn: HTTPConnection | None) -> bool:
        """Return whether the caller is of that kind."""
        return principal.is_machine if self.machine else principal.username is not None

    def as_data(self) -> dict[str, Any]:
        """Return it as one member of a JSON object."""
        return {"caller": "machine" if self.machine else "user"}

    def __str__(self) -> str:
        return "machines only" if self.machine else "users only"


@dataclass(frozen=True, slots=True)
class That:
    """
    *predicate* returns True for the caller and the request.

    Any other result is a refusal. An exception is a refusal too, and is logged.
    """

    predicate: Predicate
    label: str
    reason = "condition"
    needs_request = True

    def is_met_by(self, principal: Principal, conn: HTTPConnection | None) -> bool:
        """Return whether the predicate returned True itself."""
        try:
            return self.predicate(principal, conn) is True
        except Exception:  # noqa: BLE001 - of the app's own; it refuses
            _log.exception("the condition %r raised an exception, so the request is refused", self.label)
            return False

    def as_data(self) -> dict[str, Any]:
        """Return it as one member of a JSON object."""
        return {"condition": self.label}

    def __str__(self) -> str:
        return self.label
