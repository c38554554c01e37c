"""The decision of the token endpoint: may this client have a token, and for which scopes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from cognito_guard.local._clients import LocalClient
from cognito_guard.local._pool import LocalPool


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputedAnswers:
    """
    How the token endpoint answers where the documentation contradicts itself or what was observed.

    The defaults are the likeliest. Code that calls the endpoint should live with all of them.

    Attributes:
        invalid_client_status: The status of `invalid_client`.
        flow_not_enabled: The error if the client may not use the client-credentials flow.
        unassigned_scope: The error if a scope exists, but is not one of the client's; or `drop` to go on without it.
        unknown_scope: What happens to a scope that does not exist beside one that does. Alone it is `invalid_scope`.

    """

    invalid_client_status: Literal[400, 401] = 400
    flow_not_enabled: Literal["invalid_grant", "unauthorized_client"] = "invalid_grant"
    unassigned_scope: Literal["invalid_grant", "invalid_scope", "drop"] = "invalid_grant"
    unknown_scope: Literal["drop", "invalid_scope"] = "drop"


class GrantRefusedError(Exception):
    """
    No token for this request.

    Attributes:
        error: The code of RFC 6749 section 5.2.
        description: What Cognito says beside it, if anything.

    """

    def __init__(self, error: str, description: str | None = None) -> None:
        self.error = error
        self.description = description
        super().__init__(error)


def authenticated_client(
    pools: Sequence[LocalPool], client_ids: Collection[str], secrets: Collection[str | None]
) -> tuple[LocalPool, LocalClient]:
    """
    Return the client that one of *client_ids* names and one of *secrets* proves, and its pool.

    Raises:
        GrantRefusedError: There is no such client, or the secret is not one of its active ones.

    """
    for pool in pools:
        for client_id in client_ids:
            client = pool.find_client(client_id)
            if client and any(client.accepts(secret) for secret in secrets):
                return pool, client
    raise GrantRefusedError("invalid_client", "invalid_client_secret")


def granted_scopes(
    pool: LocalPool, client: LocalClient, requested: Collection[str], disputed: DisputedAnswers
) -> tuple[str, ...]:
    """
    Return what *client* gets of the *requested* scopes; all it may have if it requests none.

    Raises:
        GrantRefusedError: A scope is not to be had, or nothing is left.

    """
    allowed = pool.scopes_of(client)
    defined = [scope for scope in requested if scope in pool.scopes]
    granted = tuple(scope for scope in defined if scope in allowed) if requested else allowed
    if len(defined) < len(requested) and disputed.unknown_scope == "invalid_scope":
        raise GrantRefusedError("invalid_scope")
    if len(granted) < len(defined) and disputed.unassigned_scope != "drop":
        raise GrantRefusedError(disputed.unassigned_scope)
    if not granted:
        raise GrantRefusedError("invalid_scope")
    return granted
