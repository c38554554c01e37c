"""
The fixtures, and the option that says how long they live.

`cognito_guard.testing` names this module as its plugin. PYTEST_DONT_REWRITE: this module has no asserts, and a
conftest.py may import it before it names it as a plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import pytest

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.testing import stand_in
from cognito_guard.testing._between_tests import MADE_UP_POOL, BetweenTests
from cognito_guard.testing._caller import Caller
from cognito_guard.testing._clock import ManualClock
from cognito_guard.testing._hostile import HostileTokens

if TYPE_CHECKING:
    # Imported when a fixture is used, so that naming this module as a plugin is cheap.
    from cognito_guard.local import LocalCognito
    from cognito_guard.testing._drills import KeyDrills
    from cognito_guard.testing._stand_in import StandIn

_Scope: TypeAlias = Literal["function", "module", "session"]

_OPTION: Final = "cognito_guard_fixture_scope"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `cognito_guard_fixture_scope` to pytest's configuration file."""
    parser.addini(_OPTION, "how long the fixtures of cognito_guard live: function, module or session", "string", "")


def pytest_configure(config: pytest.Config) -> None:
    """
    Check the option.

    Raises:
        UsageError: It is not one of the three scopes.

    """
    value = config.getini(_OPTION)
    if value and value not in get_args(_Scope):
        raise pytest.UsageError(f"{_OPTION} must be one of {', '.join(get_args(_Scope))}; got {value!r}")


def _scope(fixture_name: str, config: pytest.Config) -> _Scope:  # noqa: ARG001 - pytest passes both by name
    try:
        scope: _Scope = config.getini(_OPTION) or "function"
    except ValueError:
        # If a nested conftest.py imports the fixtures, it is too late to add an option.
        return "function"
    return scope


@pytest.fixture(scope=_scope)
def guard() -> CognitoGuard:
    """
    The guard under test. Override it to return your app's: `from orders.app import guard`, or `guard_of(app)`.

    By default it is a guard for a made-up user pool, to build an app with.
    """
    return CognitoGuard(UserPool(MADE_UP_POOL, client_ids={"1testing0client0000000000"}))


@pytest.fixture(scope=_scope)
def cognito_stand_in(guard: CognitoGuard, pytestconfig: pytest.Config) -> Iterator[StandIn]:
    """What `stand_in(guard)` yields; the fixtures below are parts of it."""
    with stand_in(guard) as cognito, _registered(pytestconfig, BetweenTests(cognito)):
        yield cognito


@contextmanager
def _registered(config: pytest.Config, plugin: object) -> Iterator[None]:
    config.pluginmanager.register(plugin)
    try:
        yield
    finally:
        config.pluginmanager.unregister(plugin)


@pytest.fixture(scope=_scope)
def local_cognito(cognito_stand_in: StandIn) -> LocalCognito:
    """The `LocalCognito` whose pools replace those of `guard`. It mints tokens, has faults and records requests."""
    return cognito_stand_in.cognito


@pytest.fixture(scope=_scope)
def clock(cognito_stand_in: StandIn) -> ManualClock:
    """The clock by which tokens are issued and checked, and keys age. It stands still until it is moved."""
    return cognito_stand_in.clock


@pytest.fixture(scope=_scope)
def auth_headers(cognito_stand_in: StandIn) -> Callable[..., dict[str, str]]:
    """`auth_headers("orders/order.read", client_id=...)` returns headers with a token: see `StandIn.headers`."""
    return cognito_stand_in.headers


@pytest.fixture(scope=_scope)
def as_(cognito_stand_in: StandIn) -> Callable[..., Caller]:
    """`as_("a client id", scopes=[...])` returns a `Caller`, for `auth=` of any HTTP client: see `StandIn.caller`."""
    return cognito_stand_in.caller


@pytest.fixture(scope=_scope)
def hostile_tokens(cognito_stand_in: StandIn) -> HostileTokens:
    """Tokens that must be refused, by name, each with the status and the reason: `hostile_tokens["expired"]`."""
    return cognito_stand_in.hostile


@pytest.fixture(scope=_scope)
def key_drills(cognito_stand_in: StandIn) -> KeyDrills:
    """Rotation, withdrawal and outage in one line each: `key_drills.rotate()`, `.withdraw()`, `with .outage():`."""
    return cognito_stand_in.drills
