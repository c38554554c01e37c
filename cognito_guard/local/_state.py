"""The state that survives a restart: pools, clients with secrets, and private keys, in a JSON file."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._client_settings import ClientSettings
from cognito_guard.local._issuer import SELF
from cognito_guard.local._keys import PoolKeys, SigningKey
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._setup import PoolSetup, Setup, client_of, table_of

_VERSION: Final = 1


def save_state(path: Path, pools: Iterable[LocalPool]) -> None:
    """
    Write *pools* to *path*, replacing the file. Only its owner may read it (mode 0600).

    Raises:
        ConfigurationError: The file cannot be written.

    """
    content = json.dumps({"version": _VERSION, "pools": [_saved_pool(pool) for pool in pools]}, indent=2) + "\n"
    # Replace the file as a whole. No other user can read it at any moment.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(content)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(f"the state cannot be written to {path}: {error.strerror}") from error


def load_state(path: Path) -> Setup:
    """
    Return what `save_state` wrote; an empty state if there is no such file.

    Raises:
        ConfigurationError: The file cannot be read, or `save_state` did not write it.

    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pools = content["pools"] if content["version"] == _VERSION else ()
        setup = Setup(pools=tuple(_loaded_pool(pool) for pool in pools))
    except FileNotFoundError:
        return Setup()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} does not contain the state of a local Cognito; delete it to start again"
        ) from error
    if content["version"] != _VERSION:
        raise ConfigurationError(f"the state in {path} is of another version; delete it to start again")
    return setup


def merged(wanted: Setup, state: Setup) -> Setup:
    """
    Return *wanted* with the keys, client ids and secrets of *state*. Everything else of *state* is kept too.

    Clients are the same if their ids are equal; without a wanted id, if their names are equal.
    """
    saved = {pool.pool_id: pool for pool in state.pools}
    pools = [_merged_pool(pool, saved.pop(pool.pool_id, None)) for pool in wanted.pools]
    return replace(wanted, pools=(*pools, *saved.values()))


def _merged_pool(wanted: PoolSetup, saved: PoolSetup | None) -> PoolSetup:
    if saved is None:
        return wanted
    rest = list(saved.clients)
    clients: list[ClientSettings] = []
    for client in wanted.clients:
        same = next((each for each in rest if _is_same(client, each)), None)
        if same is not None:
            rest.remove(same)
            client = replace(  # noqa: PLW2901 - what is wanted, completed
                client,
                client_id=same.client_id,
                secrets=same.secrets if client.secrets is None else client.secrets,
            )
        clients.append(client)
    # Scopes are never removed, because a saved client may have them.
    identifiers = dict.fromkeys([*wanted.resource_servers, *saved.resource_servers])
    servers = {
        name: {**saved.resource_servers.get(name, {}), **wanted.resource_servers.get(name, {})} for name in identifiers
    }
    return replace(
        wanted,
        resource_servers=servers,
        resource_server_names={**saved.resource_server_names, **wanted.resource_server_names},
        clients=(*clients, *rest),
        keys=saved.keys,
        published=saved.published,
    )


def _is_same(wanted: ClientSettings, saved: ClientSettings) -> bool:
    if wanted.client_id is None:
        return wanted.name == saved.name
    return wanted.client_id == saved.client_id


def _saved_pool(pool: LocalPool) -> dict[str, Any]:
    keys = {key.kid: key for key in (pool.keys.access, pool.keys.identity, *pool.published)}
    return {
        "id": pool.pool_id,
        "issuer": SELF if pool.issuer_is_here else pool.issuer,
        "resource_servers": {server.identifier: dict(server.scopes) for server in pool.resource_servers},
        "resource_server_names": {server.identifier: server.name for server in pool.resource_servers},
        "clients": [table_of(client.settings) for client in pool.clients],
        "keys": {kid: key.private_pem().decode() for kid, key in keys.items()},
        "access": pool.keys.access.kid,
        "identity": pool.keys.identity.kid,
        "published": [key.kid for key in pool.published],
    }


def _loaded_pool(saved: dict[str, Any]) -> PoolSetup:
    keys = {kid: SigningKey.from_pem(kid, pem.encode()) for kid, pem in saved["keys"].items()}
    return PoolSetup(
        pool_id=saved["id"],
        issuer=saved["issuer"],
        resource_servers=saved["resource_servers"],
        resource_server_names=saved.get("resource_server_names", {}),
        clients=tuple(client_of(client) for client in saved["clients"]),
        keys=PoolKeys(keys[saved["access"]], keys[saved["identity"]]),
        published=tuple(keys[kid] for kid in saved["published"]),
    )
