"""
Fixtures for the tests of guarded apps: real tokens, judged by the app's own guard, without network.

Opt in with `pytest_plugins = ["cognito_guard.testing"]` in `conftest.py`, and override the fixture `guard` to return
the guard of the app. For the length of a test a `LocalCognito` then takes the place of that guard's user pools: it
signs with keys of its own, under the issuers and for the clients that the guard is set up with. Only where keys come
from and what time it is are replaced; whatever judges a token in production judges it in the test.

Without pytest, `stand_in` does what the fixtures do.

PYTEST_DONT_REWRITE: nothing is asserted here, and a conftest.py may import from here what it names as a plugin.
"""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

from cognito_guard import CognitoGuard
from cognito_guard.testing._caller import Caller
from cognito_guard.testing._clock import ManualClock
from cognito_guard.testing._deny_matrix import DenyCall, Progress, assert_no_holes, deny_matrix
from cognito_guard.testing._hostile import HOSTILE_TOKENS, TOKENS_FOR_ANOTHER_API, HostileToken, HostileTokens
from cognito_guard.testing._installed import guard_of

if TYPE_CHECKING:
    from cognito_guard.testing._drills import KeyDrills
    from cognito_guard.testing._fixtures import (
        as_,
        auth_headers,
        clock,
        cognito_stand_in,
        guard,
        hostile_tokens,
        key_drills,
        local_cognito,
    )
    from cognito_guard.testing._stand_in import KeyRing, StandIn

__all__ = [
    "HOSTILE_TOKENS",
    "TOKENS_FOR_ANOTHER_API",
    "Caller",
    "DenyCall",
    "HostileToken",
    "HostileTokens",
    "KeyDrills",
    "KeyRing",
    "ManualClock",
    "Progress",
    "StandIn",
    "as_",
    "assert_no_holes",
    "auth_headers",
    "clock",
    "cognito_stand_in",
    "deny_matrix",
    "guard",
    "guard_of",
    "hostile_tokens",
    "key_drills",
    "local_cognito",
    "stand_in",
]

pytest_plugins: list[str] = ["cognito_guard.testing._fixtures"]

_MODULES: Final = {"KeyDrills": "_drills", "KeyRing": "_stand_in", "StandIn": "_stand_in"}
_FIXTURES: Final = {
    "as_",
    "auth_headers",
    "clock",
    "cognito_stand_in",
    "guard",
    "hostile_tokens",
    "key_drills",
    "local_cognito",
}


def __getattr__(name: str) -> Any:
    # Imported when asked for: fixtures need pytest, and the others import cognito_guard.local.
    module = "_fixtures" if name in _FIXTURES else _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def stand_in(
    guard: CognitoGuard, *, clock: ManualClock | None = None, keys: KeyRing | None = None
) -> AbstractContextManager[StandIn]:
    """
    Have a `LocalCognito` take the place of the user pools of *guard* for a block. The fixtures are made of this.

    What the guard remembers, keys and verified tokens, is set aside for the block and comes back after it.

    A block within another for the same guard shares the stand-in of the outer one: tokens of both are accepted in both.
    When the inner block ends, clock, faults and keys are again what they were before it. The stand-in ends with the
    last block.

    Args:
        guard: Of the app under test.
        clock: What to go by, for several guards that share a clock; by default a new one.
        keys: To sign with; by default those that were made once in this process, by pool id.

    Raises:
        ConfigurationError: On entering the block, if the guard has a stand-in with another clock or other keys.

    """
    from cognito_guard.testing._stand_in import standing_in  # noqa: PLC0415 - imports cognito_guard.local

    return standing_in(guard, keys, clock)
