"""A test double of one user pool: same issuer and clients, different keys."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final

from cognito_guard import ANY_CLIENT, UserPool
from cognito_guard._grammar import full_scope
from cognito_guard._pool import common_resource_server
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalPool, PoolKeys

_SOME_CLIENT: Final = "1some0client0000000000000a"
_IDLE: Final = "no.such.scope"


def idle_scopes(pool: UserPool) -> tuple[str, ...]:
    """Return a scope that makes a token valid for the API of *pool*, but that no route requires."""
    return tuple(f"{identifier}/{_IDLE}" for identifier in sorted(pool.resource_servers)[:1])


class Double:
    """
    Issues the tokens of a user pool, as a guard is set up for it.

    Args:
        pool: The guard's configuration of the pool.
        keys: The keys to sign with.
        clock: Returns the time in seconds since the epoch.

    Attributes:
        pool: As given.
        local: The pool that signs.
        clock: As given.
        client_id: A client that the guard accepts.

    """

    def __init__(self, pool: UserPool, keys: PoolKeys, clock: Callable[[], float]) -> None:
        self.pool: Final = pool
        self.clock: Final = clock
        self.local: Final = LocalPool(pool.pool_id, issuer=pool.issuer, keys=keys, clock=clock)
        accepted = [_SOME_CLIENT] if pool.client_ids is ANY_CLIENT else sorted(pool.client_ids)
        self.client_id: Final = accepted[0]
        for client_id in accepted:
            # A guard with `issuers` accepts client ids that Cognito does not allow. Tokens with them are possible too.
            with suppress(ConfigurationError):
                self.local.add_client(client_id=client_id, scopes=(), allowed_flows=())

    def accepts(self, client_id: str | None) -> bool:
        """Return whether the guard accepts tokens of that client; None is `client_id`."""
        return client_id is None or self.pool.client_ids is ANY_CLIENT or client_id in self.pool.client_ids

    def token(
        self,
        *scopes: str,
        client_id: str | None = None,
        username: str | None = None,
        groups: Collection[str] = (),
        lifetime: int = 60 * 60,
        **changes: Any,
    ) -> str:
        """
        Return an access token; see `StandIn.token`.

        Without *scopes* it is still meant for this API: it has `idle_scopes`. A short scope belongs to the pool's only
        resource server, as in `CognitoGuard.require`. *changes* are claims, and `headers` as for `LocalPool.mint`.
        """
        options: dict[str, Any] = {"client_id": client_id or self.client_id, "lifetime": lifetime}
        if self.pool.audience and not self.pool.resource_servers:
            options["aud"] = min(self.pool.audience)
        identifier = common_resource_server([self.pool])
        scopes = tuple(full_scope(scope, identifier, allow_short=True) for scope in scopes) or idle_scopes(self.pool)
        if username is not None:
            return self.local.mint_user(username, *scopes, groups=groups, **options | changes)
        if groups:
            raise ConfigurationError("only users are in groups: give a username too")
        return self.local.mint(*scopes, **options | changes)
