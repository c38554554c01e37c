"""The issuers whose tokens are accepted, and the keys of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from cognito_guard._keys.fetch import Fetch, built_in
from cognito_guard._keys.key_set import KeySet
from cognito_guard._keys.policy import KeyPolicy, KeyStatus
from cognito_guard._pool import UserPool
from cognito_guard._report.reporter import Reporter
from cognito_guard.errors import ConfigurationError, KeysUnavailableError

SHUTDOWN_PATIENCE: Final = 0.5
"""The longest time, in seconds, that a shutdown waits for fetches of keys."""


class Trusted(NamedTuple):
    """A pool whose tokens are accepted, and its keys."""

    pool: UserPool
    keys: KeySet


class Issuers:
    """
    The issuers of *pools*, each with that pool's own keys.

    Args:
        pools: The user pools.
        policy: See `KeyPolicy`.
        reporter: Is told about each attempt to fetch keys.
        fetch: Gets the document behind a URL, instead of the built-in GET.
        timer: Monotonic clock, in seconds.
        on_withdrawal: Called when a key is dropped or replaced.

    Attributes:
        named: The pool and its keys, by issuer.

    Raises:
        ConfigurationError: The same pool is there twice, or two pools share an issuer.

    """

    def __init__(
        self,
        pools: Sequence[UserPool],
        policy: KeyPolicy,
        reporter: Reporter,
        *,
        fetch: Fetch | None,
        timer: Callable[[], float],
        on_withdrawal: Callable[[], None],
    ) -> None:
        if len({pool.pool_id for pool in pools}) < len(pools):
            raise ConfigurationError(
                f"the same user pool is named twice: {pools!r}; put all its client_ids in one UserPool"
            )
        if fetch is None:
            fetch = built_in(url for pool in pools for url in pool.jwks_urls)
        self._all: Final = [
            Trusted(pool, KeySet(pool, policy, reporter, fetch=fetch, timer=timer, on_withdrawal=on_withdrawal))
            for pool in pools
        ]
        self.named: Final = _by_issuer(self._all)

    async def prefetch(self) -> None:
        """
        Fetch the keys of all pools that have none; see `CognitoGuard.prefetch`.

        Raises:
            KeysUnavailableError: A pool has no keys, and none could be fetched.

        """
        for trusted in self._all:
            # Start all fetches before waiting for one.
            trusted.keys.refresh_if_due()
        failures: list[KeysUnavailableError] = []
        for trusted in self._all:
            try:
                await trusted.keys.load()
            except KeysUnavailableError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    async def settle(self) -> None:
        """Wait until no fetch of keys is under way; at most `KeyPolicy.timeout` for each pool."""
        for trusted in self._all:
            await trusted.keys.settle()

    async def wind_down(self) -> None:
        """
        Wait a moment for the fetches under way. Daemon threads finish those that take longer.

        The wait is short because Mangum shuts an app down after each call of an AWS Lambda function: during an outage,
        each call would wait for a fetch.
        """
        for trusted in self._all:
            await trusted.keys.settle(SHUTDOWN_PATIENCE / len(self._all))

    def status(self) -> dict[str, KeyStatus]:
        """Return the state of each pool's keys, by pool id, ready for JSON. Made for a readiness check."""
        return {trusted.pool.pool_id: trusted.keys.status() for trusted in self._all}


def _by_issuer(trusted: Sequence[Trusted]) -> Mapping[str, Trusted]:
    by_issuer: dict[str, Trusted] = {}
    for each in trusted:
        for issuer in each.pool.issuers:
            if by_issuer.setdefault(issuer, each) is not each:
                raise ConfigurationError(f"two user pools claim the issuer {issuer!r}; name each pool once")
    return by_issuer
