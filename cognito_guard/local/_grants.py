"""The decision of the token endpoint: whether a client gets a token, and for which scopes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from cognito_guard.local._client_settings import CLIENT_CREDENTIALS
from cognito_guard.local._clients import LocalClient
from cognito_guard.local._disputed import DisputedAnswers
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import shown


class GrantRefusedError(Exception):
    """
    The request does not get a token.

    Attributes:
        error: The code of RFC 6749 section 5.2.
        reason: Why, in a sentence for people at this machine. It contains no secret. The caller does not get it.
        description: What Cognito adds to the code, if anything.

    """

    def __init__(self, error: str, reason: str, description: str | None = None) -> None:
        self.error = error
        self.reason = reason
        self.description = description
        super().__init__(reason)


def invalid_client(reason: str) -> GrantRefusedError:
    """Return the refusal of a client that did not authenticate."""
    return GrantRefusedError("invalid_client", reason, "invalid_client_secret")


def authenticated_client(
    pools: Sequence[LocalPool], client_ids: Collection[str], secrets: Collection[str | None]
) -> tuple[LocalPool, LocalClient]:
    """
    Return the client that has one of *client_ids* and one of *secrets*, and its pool.

    Args:
        pools: The pools in which the client may be registered.
        client_ids: One or more readings of the id that was sent.
        secrets: One or more readings of the secret that was sent; None if there was none.

    Raises:
        GrantRefusedError: There is no such client, or the secret is not one of its active ones.

    """
    for pool in pools:
        for client_id in client_ids:
            client = pool.find_client(client_id)
            if client and any(client.accepts(secret) for secret in secrets):
                return pool, client
    raise invalid_client(_why_not(pools, tuple(client_ids), tuple(secrets)))


def granted_scopes(
    pool: LocalPool, client: LocalClient, requested: Collection[str], disputed: DisputedAnswers
) -> tuple[str, ...]:
    """
    Return the *requested* scopes that *client* gets. If it requests none, it gets all its scopes.

    Raises:
        GrantRefusedError: A scope is not granted, or nothing is left.

    """
    allowed = pool.scopes_of(client)
    unknown = [scope for scope in requested if scope not in pool.scopes]
    unassigned = [scope for scope in requested if scope in pool.scopes and scope not in allowed]
    granted = tuple(scope for scope in requested if scope in allowed and scope in pool.scopes) if requested else allowed
    if unknown and disputed.unknown_scope == "invalid_scope":
        raise GrantRefusedError("invalid_scope", _unknown(pool, unknown))
    if unassigned and disputed.unassigned_scope != "drop":
        raise GrantRefusedError(disputed.unassigned_scope, _unassigned(client, unassigned, allowed))
    if not granted:
        raise GrantRefusedError("invalid_scope", _nothing_left(pool, client, unknown, unassigned, allowed))
    return granted


def check_flow(client: LocalClient, disputed: DisputedAnswers) -> None:
    """
    Raise an error if *client* may not use the client-credentials flow.

    Raises:
        GrantRefusedError: It may not use the flow.

    """
    if CLIENT_CREDENTIALS in client.allowed_flows:
        return
    reason = (
        f"The client {client.name} may not use the client_credentials flow; its flows are "
        f"{_listed(client.allowed_flows)}."
    )
    if CLIENT_CREDENTIALS in client.settings.members.get("AllowedOAuthFlows", ()):
        reason = (
            f"The client {client.name} has AllowedOAuthFlows, but AllowedOAuthFlowsUserPoolClient is false, so none of "
            "them may be used. Set it to true."
        )
    raise GrantRefusedError(disputed.flow_not_enabled, reason)


# The reasons, as sentences


def _why_not(pools: Sequence[LocalPool], client_ids: tuple[str, ...], secrets: tuple[str | None, ...]) -> str:
    clients = [client for pool in pools for client in pool.clients]
    client = next((client for client in clients if client.client_id in client_ids), None)
    if client is None:
        return _unknown_client(clients, client_ids)
    if not client.secrets:
        return f"The client {client.name} is public: it has no secret, but the request has one."
    sent = [secret for secret in secrets if secret is not None]
    if not sent:
        return f"The request has no secret, but the client {client.name} has one."
    if any(client.accepts(secret.strip()) for secret in sent):
        return f"The secret of the client {client.name} has a blank or a line end around it."
    owner = next((each for each in clients if any(each.accepts(secret) for secret in sent)), None)
    if owner is not None:
        return f"The secret belongs to the client {owner.name} ({owner.client_id}), not to {client.name}."
    return f"The secret is not an active one of the client {client.name}."


def _unknown_client(clients: Sequence[LocalClient], client_ids: tuple[str, ...]) -> str:
    swapped = next((client for client in clients if any(client.accepts(sent) for sent in client_ids)), None)
    if swapped is not None:
        return f"The client id is a secret of the client {swapped.name}. Are id and secret swapped?"
    known = _listed([f"{client.client_id} ({client.name})" for client in clients])
    return f"No client has this id{_id(client_ids[0])}. Known: {known}."


def _id(client_id: str) -> str:
    # A client id of Cognito has 26 characters. A much longer value may be a secret in the wrong place.
    return f": {shown(client_id)}" if len(client_id) <= 32 else f", which has {len(client_id)} characters"  # noqa: PLR2004


def _unknown(pool: LocalPool, scopes: Collection[str]) -> str:
    return f"No resource server of {pool.pool_id} defines {_listed(scopes)}. Defined: {_listed(pool.scopes)}."


def _unassigned(client: LocalClient, scopes: Collection[str], allowed: Collection[str]) -> str:
    return f"The client {client.name} may not ask for {_listed(scopes)}. It may ask for {_listed(allowed)}."


def _nothing_left(
    pool: LocalPool,
    client: LocalClient,
    unknown: Collection[str],
    unassigned: Collection[str],
    allowed: Collection[str],
) -> str:
    if unknown:
        return _unknown(pool, unknown)
    if unassigned:
        return _unassigned(client, unassigned, allowed)
    return (
        f"Every scope of the client {client.name} is of a resource server that was deleted: {_listed(client.scopes)}."
    )


def _listed(values: Collection[str]) -> str:
    most = 10
    names = [shown(value) for value in values]
    rest = [f"{len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *rest]) or "none"
