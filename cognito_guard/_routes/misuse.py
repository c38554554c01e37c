"""Ways of writing a FastAPI route that look guarded and are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from cognito_guard._fastapi import actual_route, dependencies_of, is_api_route, unresolved_annotations
from cognito_guard._requests.internals import HasInternals

_INSTEAD: Final = {
    "require": "Depends(guard.require('orders/order.read'))",
    "require_any": "Depends(guard.require_any('orders/order.read', 'orders/order.write'))",
    "require_groups": "Depends(guard.require_groups('admins'))",
    "require_that": "Depends(guard.require_that(predicate, 'label'))",
    "verify": "Depends(guard.authenticated)",
    "public": "@guard.public below the route decorator",
}
"""What to write in place of `Depends(guard.<name>)`."""

WRITE_A_REQUIREMENT: Final = "write Depends(guard.authenticated), or Depends(guard.require('orders/order.read'))"


def misuse_of(route: Any, handler: Callable[..., Any]) -> Iterator[str]:
    """Yield what is wrong with the dependencies and annotations of a FastAPI *route*, a sentence each."""
    for call, _ in dependencies_of(route, {}):
        owner = getattr(call, "__self__", call)
        if isinstance(owner, HasInternals):
            name = getattr(call, "__name__", None)
            if name is None:
                yield f"Depends(guard) asks for nothing; {WRITE_A_REQUIREMENT}"
            elif name in _INSTEAD:
                yield f"Depends(guard.{name}) asks for nothing; write {_INSTEAD[name]}"
    if is_api_route(actual_route(route)):
        for annotation in unresolved_annotations(handler):
            yield (
                f"FastAPI cannot resolve the annotation {annotation!r}, and takes a dependency for a query parameter; "
                "define what it names at module level, or leave out `from __future__ import annotations`"
            )
