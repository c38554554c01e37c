"""Test doubles of all user pools of a guard, and the tools that tests use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from cognito_guard import CognitoGuard
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalCognito, PoolKeys
from cognito_guard.testing._caller import Caller
from cognito_guard.testing._clock import ManualClock
from cognito_guard.testing._double import Double
from cognito_guard.testing._drills import KeyDrills
from cognito_guard.testing._fetch import InProcessFetch, sleep
from cognito_guard.testing._hostile import HostileTokens
from cognito_guard.testing._snapshot import snapshot
from cognito_guard.testing._takeover import Takeover, pools_of


class KeyRing(defaultdict[object, PoolKeys]):
    """Key pairs by name. Each is made at its first use."""

    def __init__(self) -> None:
        super().__init__(PoolKeys)


class StandIn:
    """
    The object that the fixtures are parts of.

    Attributes:
        guard: The guard whose pools are replaced.
        cognito: Serves the doubles of the guard's pools.
        clock: The clock of the guard and of the doubles.
        hostile: Tokens that the guard must refuse.
        drills: Rotation, withdrawal and outage of keys.
        tokens_made: How many tokens `token`, `headers`, `caller` and `mint_user` made.
        times_judged: Counts the tokens with an issuer of its pools that the guard has checked; a token may count more
            than once.
        blocks: How many open `stand_in` blocks share it.

    """

    def __init__(self, guard: CognitoGuard, keys: KeyRing, clock: ManualClock) -> None:
        # By pool id, so that two guards of one pool accept each other's tokens.
        self._doubles: Final = [Double(pool, keys["pool", pool.pool_id], clock) for pool in pools_of(guard)]
        self.guard: Final = guard
        self.keys: Final = keys
        self.cognito: Final = LocalCognito(*(double.local for double in self._doubles), sleep=sleep)
        self.clock: Final = clock
        self.hostile: Final = HostileTokens(
            self._doubles[0], keys["foreign"], longest=internals_of(guard).verifier.max_token_length
        )
        self.drills: Final = KeyDrills(guard, self.cognito, clock, keys)
        self.tokens_made: int = 0
        self.times_judged: int = 0
        self.blocks: int = 0
        paths = {url: f"/{pool.pool_id}/.well-known/jwks.json" for pool in pools_of(guard) for url in pool.jwks_urls}
        self._takeover: Final = Takeover(
            guard, fetch=InProcessFetch(self.cognito, paths), clock=self._clock_of_the_guard, timer=clock.timer
        )

    def token(
        self,
        *scopes: str,
        client_id: str | None = None,
        username: str | None = None,
        groups: Collection[str] = (),
        lifetime: int = 60 * 60,
        **claims: Any,
    ) -> str:
        """
        Return an access token.

        Args:
            *scopes: The scopes that it grants; short ones too if the pool has one resource server. By default it has no
                scope that a route requires; for a guard with `resource_servers` it has `<resource
                server>/no.such.scope`.
            client_id: The client it was issued to; by default one that the guard accepts.
            username: The user who signed in. By default there is no user, as in machine-to-machine calls.
            groups: The groups of that user.
            lifetime: Seconds after which it expires.
            **claims: Claims to replace or add, as a pre-token-generation trigger does. A claim that is None is left
                out.

        Raises:
            ConfigurationError: There are groups, but no user.

        """
        self.tokens_made += 1
        double = next((double for double in self._doubles if double.accepts(client_id)), self._doubles[0])
        return double.token(*scopes, client_id=client_id, username=username, groups=groups, lifetime=lifetime, **claims)

    def headers(self, *scopes: str, **options: Any) -> dict[str, str]:
        """Return the headers with a token. Takes the arguments of `token`."""
        return {"Authorization": f"Bearer {self.token(*scopes, **options)}"}

    def caller(self, client_id: str | None = None, *, scopes: Collection[str] = (), **options: Any) -> Caller:
        """Return a caller that gets a new token for each request. Takes the arguments of `token`."""
        return Caller(lambda: self.token(*scopes, client_id=client_id, **options))

    def mint_user(self, username: str, /, *scopes: str, groups: Collection[str] = (), **options: Any) -> str:
        """Return an access token of a user, for `deny_matrix`. Takes the arguments of `token`."""
        return self.token(*scopes, username=username, groups=groups, **options)

    def remember(self) -> Callable[[], None]:
        """
        Return a function that restores the present state of clock, faults and keys.

        The guard then also forgets its keys and verified tokens, as at the start of a block.
        """
        restore = snapshot(self.clock, self.cognito, self.drills)

        def restore_and_forget() -> None:
            restore()
            self._takeover.forget()

        return restore_and_forget

    def end(self) -> None:
        """Restore the guard's own clock, keys and verified tokens."""
        self._takeover.end()

    def _clock_of_the_guard(self) -> float:
        # The guard reads the clock only when it checks a token whose issuer it knows.
        self.times_judged += 1
        return self.clock()


_keys_of_this_process: Final = KeyRing()
_running: Final[dict[CognitoGuard, StandIn]] = {}


@contextmanager
def standing_in(guard: CognitoGuard, keys: KeyRing | None, clock: ManualClock | None) -> Iterator[StandIn]:
    """Replace the pools of *guard* by doubles during a block; see `cognito_guard.testing.stand_in`."""
    stand_in = _running.get(guard)
    if stand_in is None:
        keys = _keys_of_this_process if keys is None else keys
        stand_in = _running[guard] = StandIn(guard, keys, ManualClock() if clock is None else clock)
    elif (keys is not None and keys is not stand_in.keys) or (clock is not None and clock is not stand_in.clock):
        raise ConfigurationError(
            "this guard has a stand-in already, with another clock or other keys; call stand_in(guard) without clock "
            "and keys to share it, or end its block first"
        )
    restore = stand_in.remember()
    stand_in.blocks += 1
    try:
        yield stand_in
    finally:
        stand_in.blocks -= 1
        if stand_in.blocks:
            restore()
        else:
            del _running[guard]
            stand_in.end()
