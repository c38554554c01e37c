"""The content of the console page, as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from cognito_guard.local._client_settings import CLIENT_CREDENTIALS
from cognito_guard.local._clients import LocalClient
from cognito_guard.local._environment import variables_of
from cognito_guard.local._faults import Fault
from cognito_guard.local._flaws import FLAWS
from cognito_guard.local._key_history import KeyHistory
from cognito_guard.local._keys import SigningKey
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import SeenRequest

FAULTS: Final[Mapping[str, Fault | None]] = {
    "none": None,
    "slow": Fault(delay=2.0),
    "hangs": Fault(hangs=True),
    "error": Fault(status=500),
    "bad_json": Fault(bad_json=True),
}
"""The faults that the page offers, by name."""


def choices() -> dict[str, Any]:
    """Return the choices that the page offers: each name with its label."""
    return {
        "faults": {name: _fault_label(fault) for name, fault in FAULTS.items()},
        "flaws": {name: flaw.label for name, flaw in FLAWS.items()},
    }


def fault_state(fault: Fault | None) -> dict[str, str]:
    """Return the name and the label of a fault. The name is `other` for a fault that the page does not offer."""
    name = next((name for name, known in FAULTS.items() if known == fault), "other")
    return {"name": name, "label": _fault_label(fault)}


def request_state(seen: SeenRequest) -> dict[str, Any]:
    """Return a recorded request."""
    return dataclasses.asdict(seen)


def pool_state(pool: LocalPool, history: KeyHistory, url: str) -> dict[str, Any]:
    """
    Return a user pool with its clients, their secrets, and its keys.

    Args:
        pool: The user pool.
        history: The changes of its keys.
        url: The URL at which it is served, without a final slash.

    """
    published = {key.kid: key for key in pool.published}
    keys = published | {key.kid: key for key in (pool.keys.access, pool.keys.identity)}
    return {
        "id": pool.pool_id,
        "issuer": pool.issuer,
        "environment": variables_of(pool, url),
        "resource_servers": {server.identifier: dict(server.scopes) for server in pool.resource_servers},
        "clients": [_client_state(pool, client) for client in pool.clients],
        "keys": [
            {"kid": kid, "signs": _signs(pool, key), "published": published.get(kid) is key}
            for kid, key in keys.items()
        ],
        "undo": history.undoable,
    }


def _client_state(pool: LocalPool, client: LocalClient) -> dict[str, Any]:
    return {
        "id": client.client_id,
        "name": client.name,
        "scopes": pool.scopes_of(client),
        "secrets": [secret.value for secret in client.secrets],
        "access_token_validity": client.access_token_validity,
        "machine": CLIENT_CREDENTIALS in client.allowed_flows,
    }


def _signs(pool: LocalPool, key: SigningKey) -> str:
    if key is pool.keys.access:
        return "access tokens"
    return "ID tokens" if key is pool.keys.identity else "nothing new"


def _fault_label(fault: Fault | None) -> str:
    if fault is None:
        return "Works"
    if fault.hangs:
        return "Does not answer"
    status = "" if fault.status is None else f" {fault.status}"
    content = " with broken JSON" if fault.bad_json else ""
    delay = f" after {fault.delay:g} s" if fault.delay else ""
    return f"Answers{status}{content}{delay}"
