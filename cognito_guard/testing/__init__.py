"""
Fixtures for tests of guarded apps: real tokens, checked by the app's own guard, without a network.

Opt in with `pytest_plugins = ["cognito_guard.testing"]` in `conftest.py`, and override the fixture `guard` to return
the guard of the app. During a test, a `LocalCognito` then replaces that guard's user pools. It signs with its own keys,
under the issuers and for the clients that the guard is set up with. Only the source of the keys and the clock are
replaced. All checks of a token are those of production.

Without pytest, `stand_in` does what the fixtures do.

PYTEST_DONT_REWRITE: this module has no asserts, and a conftest.py may import it before it names it as a plugin.
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
    # Imported at first use: fixtures need pytest, and the others import cognito_guard.local.
    module = "_fixtures" if name in _FIXTURES else _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)


def stand_in(
    guard: CognitoGuard, *, clock: ManualClock | None = None, keys: KeyRing | None = None
) -> AbstractContextManager[StandIn]:
    """
    Replace the user pools of *guard* by a `LocalCognito` during a block. The fixtures use this.

    The guard's keys and verified tokens are put aside during the block and restored after it.

    A block inside another one for the same guard shares the outer stand-in: tokens of both are accepted in both. At the
    end of the inner block, clock, faults and keys are restored. The stand-in ends with the outermost block.

    Args:
        guard: The guard of the app under test.
        clock: The clock to use, for several guards that share one; by default a new one.
        keys: The keys to sign with; by default one set for each pool id, made once in this process.

    Raises:
        ConfigurationError: At the start of the block, if the guard already has a stand-in with another clock or other
            keys.

    """
    from cognito_guard.testing._stand_in import standing_in  # noqa: PLC0415 - imports cognito_guard.local

    return standing_in(guard, keys, clock)
