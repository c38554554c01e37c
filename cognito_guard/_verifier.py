"""From a token to the caller it speaks for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cognito_guard._claims import check_claims, principal_of
from cognito_guard._fetch import Fetch, fetch
from cognito_guard._jws import parse
from cognito_guard._keys import KeyPolicy, KeySet, KeyStatus
from cognito_guard._pool import UserPool
from cognito_guard._principal import Principal
from cognito_guard._reporter import Reporter
from cognito_guard.errors import ConfigurationError, SignatureError


class Verifier:
    """
    Judges access tokens of *pools*, each by that pool's own keys.

    Raises:
        ConfigurationError: No pool, two pools that share an issuer, or a leeway that is no length of time.

    """

    def __init__(
        self,
        pools: Sequence[UserPool],
        *,
        leeway: float,
        key_policy: KeyPolicy,
        reporter: Reporter,
        clock: Callable[[], float] = time.time,
        timer: Callable[[], float] = time.monotonic,
        fetch: Fetch = fetch,
    ) -> None:
        if isinstance(leeway, bool) or not isinstance(leeway, int | float) or not 0 <= leeway < math.inf:
            raise ConfigurationError(f"leeway must be a number of seconds, zero or more, got {leeway!r}")
        self._leeway: Final = leeway
        self._clock: Final = clock
        self._reporter: Final = reporter
        self._pools: Final = _by_issuer(pools)
        self._key_sets: Final = {
            pool: KeySet(pool, key_policy, reporter, fetch=fetch, timer=timer) for pool in self._pools.values()
        }

    async def verify(self, token: str) -> Principal:
        """
        Return who *token* speaks for.

        Raises:
            InvalidTokenError: It is not to be accepted.
            KeysUnavailableError: There are no keys to judge it with.

        """
        kid, claims, signing_input, signature = parse(token)
        # Before any key is looked for, so that a token which could not be good anyway never causes a request.
        pool = check_claims(claims, self._pools, now=self._clock(), leeway=self._leeway)
        keys = self._key_sets[pool]
        key = keys.get(kid) or await keys.find(kid)
        if not key.signed(signing_input, signature):
            raise SignatureError("signature")
        principal = principal_of(claims)
        self._reporter.verified(principal)
        return principal

    async def load(self) -> None:
        """
        Fetch the keys of every pool that has no fresh ones.

        Raises:
            KeysUnavailableError: A pool has no keys, and none could be had.

        """
        for keys in self._key_sets.values():
            await keys.load()

    async def settle(self) -> None:
        """Wait until no fetch is under way."""
        for keys in self._key_sets.values():
            await keys.settle()

    def status(self) -> dict[str, KeyStatus]:
        """Return how the keys of each pool are, by pool id."""
        return {pool.pool_id: keys.status() for pool, keys in self._key_sets.items()}


def _by_issuer(pools: Sequence[UserPool]) -> Mapping[str, UserPool]:
    if not pools or not all(isinstance(pool, UserPool) for pool in pools):
        raise ConfigurationError(
            "CognitoGuard needs at least one user pool: CognitoGuard(UserPool('eu-central-1_AbCdEf123', "
            f"client_ids={{...}})); got {pools!r}"
        )
    if len({pool.pool_id for pool in pools}) < len(pools):
        raise ConfigurationError(
            f"the same user pool is named twice: {pools!r}; put all its client_ids in one UserPool"
        )
    by_issuer: dict[str, UserPool] = {}
    for pool in pools:
        for issuer in pool.issuers:
            if by_issuer.setdefault(issuer, pool) is not pool:
                raise ConfigurationError(f"two user pools claim the issuer {issuer!r}; name each pool once")
    return by_issuer
