"""The parts of a guard that requests need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cognito_guard._refusals.response import Refusals
from cognito_guard._rules.requirement import Guard
from cognito_guard._tokens.verifier import Verifier


@dataclass(slots=True, eq=False, kw_only=True)
class Internals:
    """
    The parts of one guard.

    Attributes:
        verifier: Judges tokens. Tests replace it, to replace clock and keys.
        refusals: Answers refused requests.
        check: Called with an app before it serves. Raises `ConfigurationError` if it must not serve.
        announce: Called with an app that has started.
        close_on_expiry: Whether websockets are closed when their token expires.
        has_public: Whether any handler or app is marked public.
        scope_descriptions: The description of each scope.

    """

    verifier: Verifier
    refusals: Refusals
    check: Callable[[object], None]
    announce: Callable[[object], None]
    close_on_expiry: bool
    has_public: bool = False
    scope_descriptions: dict[str, str] = field(default_factory=dict)


def internals_of(guard: Guard) -> Internals:
    """Return the parts of *guard*."""
    internals: Internals = guard._internals  # noqa: SLF001 - private to users of the package, not to its modules
    return internals
