"""
Fixtures for the tests of guarded apps: real tokens, judged by the app's own guard, without network.

Opt in with `pytest_plugins = ["cognito_guard.testing"]` in `conftest.py`, and override the fixture `guard` to return
the guard of the app. For the length of a test a `LocalCognito` then takes the place of that guard's user pools: it
signs with keys of its own, under the issuers and for the clients that the guard is set up with. Only where keys come
from and what time it is are replaced; whatever judges a token in production judges it in the test.

PYTEST_DONT_REWRITE: nothing is asserted here, and a conftest.py may import from here what it names as a plugin.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import pytest

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.testing._caller import Caller
from cognito_guard.testing._clock import ManualClock
from cognito_guard.testing._deny_matrix import DenyCall, assert_no_holes, deny_matrix
from cognito_guard.testing._hostile import HOSTILE_TOKENS, TOKENS_FOR_ANOTHER_API, HostileToken, HostileTokens
from cognito_guard.testing._installed import guard_of

if TYPE_CHECKING:
    # Imported when a fixture is used: a run that names this module as a plugin, and no more, does not pay for them.
    from cognito_guard.local import LocalCognito
    from cognito_guard.testing._drills import KeyDrills
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
    "StandIn",
    "as_",
    "assert_no_holes",
    "auth_headers",
    "clock",
    "deny_matrix",
    "guard",
    "guard_of",
    "hostile_tokens",
    "key_drills",
    "local_cognito",
    "stand_in",
]


def __getattr__(name: str) -> Any:
    """Import what annotations may name, and little else asks for."""
    if name not in {"KeyDrills", "KeyRing", "StandIn"}:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("cognito_guard.testing._stand_in"), name)


def stand_in(guard: CognitoGuard, *, keys: KeyRing | None = None) -> AbstractContextManager[StandIn]:
    """
    Have a `LocalCognito` take the place of the user pools of *guard* for a block. The fixtures are made of this.

    What the guard remembers, keys and verified tokens, is set aside for the block and comes back after it.

    Args:
        guard: Of the app under test. Blocks for one guard may not overlap in time.
        keys: To sign with, made once for many blocks; new ones by default.

    """
    from cognito_guard.testing._stand_in import standing_in  # noqa: PLC0415 - see above

    return standing_in(guard, keys)


@pytest.fixture
def guard() -> CognitoGuard:
    """
    The guard under test. Override it to return your app's: `from orders.app import guard`, or `guard_of(app)`.

    Without that it is a guard to build an app with, set up for a user pool that does not exist.
    """
    return CognitoGuard(UserPool("eu-central-1_Testing00", client_ids={"1testing0client0000000000"}))


@pytest.fixture(scope="session", name="cognito_key_ring")
def _key_ring() -> KeyRing:
    """RSA keys, made when they are first needed and once per run: making one takes a tenth of a second."""
    from cognito_guard.testing._stand_in import KeyRing  # noqa: PLC0415 - see above

    return KeyRing()


@pytest.fixture(name="cognito_stand_in")
def _standing_in(guard: CognitoGuard, cognito_key_ring: KeyRing) -> Iterator[StandIn]:
    """What the fixtures below are parts of."""
    with stand_in(guard, keys=cognito_key_ring) as standing_in:
        yield standing_in


@pytest.fixture
def local_cognito(cognito_stand_in: StandIn) -> LocalCognito:
    """The `LocalCognito` whose pools stand in for those of `guard`. It mints tokens, has faults, notes requests."""
    return cognito_stand_in.cognito


@pytest.fixture
def clock(cognito_stand_in: StandIn) -> ManualClock:
    """The time by which tokens are issued and judged, and keys grow old. It stands still until it is moved."""
    return cognito_stand_in.clock


@pytest.fixture
def auth_headers(cognito_stand_in: StandIn) -> Callable[..., dict[str, str]]:
    """`auth_headers("orders/order.read", client_id=...)` returns headers with a token: see `StandIn.headers`."""
    return cognito_stand_in.headers


@pytest.fixture
def as_(cognito_stand_in: StandIn) -> Callable[..., Caller]:
    """`as_("a client id", scopes=[...])` returns a `Caller`, for `auth=` of any HTTP client: see `StandIn.caller`."""
    return cognito_stand_in.caller


@pytest.fixture
def hostile_tokens(cognito_stand_in: StandIn) -> HostileTokens:
    """Tokens that must be refused, by name, each with the status and the reason: `hostile_tokens["expired"]`."""
    return cognito_stand_in.hostile


@pytest.fixture
def key_drills(cognito_stand_in: StandIn) -> KeyDrills:
    """Rotation, withdrawal and outage in one line each: `key_drills.rotate()`, `.withdraw()`, `with .outage():`."""
    return cognito_stand_in.drills
