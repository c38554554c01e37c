"""Ways of writing a FastAPI route that look guarded and are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from cognito_guard._fastapi import actual_route, dependencies_of, is_api_route, unresolved_annotations
from cognito_guard._rules.marks import innermost
from cognito_guard._rules.requirement import Guard, Requirement

_INSTEAD: Final = {
    "require": "write Depends(guard.require('orders/order.read'))",
    "require_any": "write Depends(guard.require_any('orders/order.read', 'orders/order.write'))",
    "require_groups": "write Depends(guard.require_groups('admins'))",
    "require_that": "write Depends(guard.require_that(predicate, 'label'))",
    "verify": "write Depends(guard.authenticated)",
    "public": "write @guard.public below the route decorator",
}
"""What to write instead of `Depends(guard.<name>)`."""

_HARMLESS: Final = {"principal", "status"}
"""Methods of a guard that may be a dependency, although they require nothing."""

WRITE_A_REQUIREMENT: Final = "write Depends(guard.authenticated), or Depends(guard.require('orders/order.read'))"


def misuse_of(route: Any, handler: Callable[..., Any]) -> Iterator[str]:
    """Yield sentences that say what is wrong with the dependencies and annotations of a FastAPI *route*."""
    for call, _ in dependencies_of(route, ()):
        method = innermost(call)
        owner, name = getattr(method, "__self__", method), getattr(method, "__name__", None)
        if isinstance(owner, Requirement) and owner is not method:
            yield f"Depends(requirement.{name}) asks for nothing; write Depends(requirement)"
        elif isinstance(owner, Guard) and name not in _HARMLESS:
            written = "Depends(guard)" if name is None else f"Depends(guard.{name})"
            yield f"{written} asks for nothing; {_INSTEAD.get(name or '', WRITE_A_REQUIREMENT)}"
    if is_api_route(actual_route(route)):
        for annotation in unresolved_annotations(handler):
            yield (
                f"FastAPI cannot resolve the annotation {annotation!r}, so it reads a dependency from the query; "
                "define what it names at module level, or leave out `from __future__ import annotations`"
            )
