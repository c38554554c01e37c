"""Doubles of all the user pools of a guard, and what tests do with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from cognito_guard import CognitoGuard
from cognito_guard.local import LocalCognito, PoolKeys
from cognito_guard.testing._caller import Caller
from cognito_guard.testing._clock import ManualClock
from cognito_guard.testing._double import Double
from cognito_guard.testing._drills import KeyDrills
from cognito_guard.testing._fetch import InProcessFetch, sleep
from cognito_guard.testing._hostile import HostileTokens
from cognito_guard.testing._takeover import pools_of, taken_over


class KeyRing(defaultdict[object, PoolKeys]):
    """Key pairs for any number of purposes, each made when it is first asked for."""

    def __init__(self) -> None:
        super().__init__(PoolKeys)


class StandIn:
    """
    What the fixtures are parts of.

    Attributes:
        cognito: Serves the doubles of the guard's pools.
        clock: What the guard and the doubles go by.
        hostile: Tokens that the guard must refuse.
        drills: What may happen to keys.

    """

    def __init__(self, guard: CognitoGuard, keys: KeyRing, clock: ManualClock) -> None:
        self._doubles: Final = [
            Double(pool, keys["pool", number], clock) for number, pool in enumerate(pools_of(guard))
        ]
        self.cognito: Final = LocalCognito(*(double.local for double in self._doubles), sleep=sleep)
        self.clock: Final = clock
        self.hostile: Final = HostileTokens(self._doubles[0], keys["foreign"])
        self.drills: Final = KeyDrills(guard, self.cognito, clock, keys)

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
            *scopes: What it grants, in short as well if the pool has one resource server. By default nothing that a
                route requires: for a guard with `resource_servers`, `<resource server>/no.such.scope`.
            client_id: The client it was issued to; by default one that the guard accepts.
            username: The user who signed in at the client; by default none did, as in machine-to-machine calls.
            groups: The groups of that user.
            lifetime: After how many seconds it expires.
            **claims: Claims to replace or to add, such as a pre-token-generation trigger does. One that is None is
                left out.

        Raises:
            ConfigurationError: There are groups, but no user.

        """
        double = next((double for double in self._doubles if double.accepts(client_id)), self._doubles[0])
        return double.token(*scopes, client_id=client_id, username=username, groups=groups, lifetime=lifetime, **claims)

    def headers(self, *scopes: str, **options: Any) -> dict[str, str]:
        """Return the headers that carry a token; for arguments see `token`."""
        return {"Authorization": f"Bearer {self.token(*scopes, **options)}"}

    def caller(self, client_id: str | None = None, *, scopes: Collection[str] = (), **options: Any) -> Caller:
        """Return a caller who gets a token anew for each request; for arguments see `token`."""
        return Caller(lambda: self.token(*scopes, client_id=client_id, **options))


@contextmanager
def standing_in(guard: CognitoGuard, keys: KeyRing | None) -> Iterator[StandIn]:
    """Have doubles take the place of the pools of *guard* for a block."""
    clock = ManualClock()
    stand_in = StandIn(guard, KeyRing() if keys is None else keys, clock)
    paths = {url: f"/{pool.pool_id}/.well-known/jwks.json" for pool in pools_of(guard) for url in pool.jwks_urls}
    with taken_over(guard, fetch=InProcessFetch(stand_in.cognito, paths), clock=clock):
        yield stand_in
