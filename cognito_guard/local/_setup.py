"""The set-up of a `LocalCognito`, read from a TOML file, from flags, or from saved state."""

from __future__ import annotations

import pkgutil
import sys
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._client_settings import ClientSettings
from cognito_guard.local._disputed import DisputedAnswers
from cognito_guard.local._keys import PoolKeys, SigningKey
from cognito_guard.local._pool import DEFAULT_POOL_ID, LocalPool
from cognito_guard.local._trigger import Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSetup:
    """A user pool to be made; see `LocalPool`. Without keys it gets new ones."""

    pool_id: str = DEFAULT_POOL_ID
    issuer: str | None = None
    resource_servers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    resource_server_names: Mapping[str, str] = field(default_factory=dict)
    clients: tuple[ClientSettings, ...] = ()
    pre_token_generation: Handler | None = None
    keys: PoolKeys | None = field(default=None, repr=False)
    published: tuple[SigningKey, ...] | None = field(default=None, repr=False)

    def make(self) -> LocalPool:
        """
        Return the pool.

        Raises:
            ConfigurationError: Cognito would not accept one of the values.

        """
        pool = LocalPool(
            self.pool_id,
            issuer=self.issuer,
            keys=self.keys,
            published=self.published,
            pre_token_generation=self.pre_token_generation,
        )
        for identifier, scopes in self.resource_servers.items():
            pool.add_resource_server(identifier, scopes, name=self.resource_server_names.get(identifier))
        for client in self.clients:
            pool.add(client)
        return pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """All pools to be made, and the disputed answers."""

    pools: tuple[PoolSetup, ...] = ()
    disputed: DisputedAnswers = field(default_factory=DisputedAnswers)


def default_setup(pool_id: str = DEFAULT_POOL_ID) -> Setup:
    """Return a pool with one resource server, `orders`, and one client that may ask for all its scopes."""
    scopes = {"order.read": "Read orders", "order.write": "Place orders"}
    client = ClientSettings(name="orders", scopes=[f"orders/{name}" for name in scopes])
    return Setup(pools=(PoolSetup(pool_id=pool_id, resource_servers={"orders": scopes}, clients=(client,)),))


def setup_of_flags(pool_id: str, clients: Sequence[str]) -> Setup:
    """
    Return one pool with clients described as `name=scope,scope`. Resource servers follow from the scopes.

    Raises:
        ConfigurationError: A description has another form.

    """
    made: list[ClientSettings] = []
    servers: dict[str, dict[str, str]] = {}
    for described in clients:
        name, _, listed = described.partition("=")
        scopes = tuple(scope for scope in listed.split(",") if scope)
        if not name or not scopes or not all("/" in scope.strip("/") for scope in scopes):
            raise ConfigurationError(
                f"--client takes a name and its scopes, such as reader=orders/order.read,orders/order.write; "
                f"got {described!r}"
            )
        for scope in scopes:
            identifier, _, scope_name = scope.rpartition("/")
            servers.setdefault(identifier, {})[scope_name] = scope
        made.append(ClientSettings(name=name, scopes=scopes))
    return Setup(pools=(PoolSetup(pool_id=pool_id, resource_servers=servers, clients=tuple(made)),))


def read_setup(path: Path) -> Setup:
    """
    Return the set-up in a TOML file: tables `[[pools]]`, and `[disputed]` with the fields of `DisputedAnswers`.

    Raises:
        ConfigurationError: The file cannot be read, or has an unknown setting.

    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    try:
        _check_names("the file", content, {"pools", "disputed"})
        return Setup(
            pools=tuple(_pool(pool) for pool in _tables("pools", content.get("pools", []))),
            disputed=_disputed(_table("disputed", content.get("disputed", {}))),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def client_of(table: Mapping[str, Any]) -> ClientSettings:
    """
    Return the client that a table describes, in TOML or in saved state. `id` is its id; settings have their own names.

    Raises:
        ConfigurationError: The table has a setting that does not exist, no name, or a value that is not accepted.

    """
    known = {"id", *(setting.name for setting in fields(ClientSettings))} - {"client_id"}
    _check_names("[[pools.clients]]", table, known)
    if "name" not in table:
        raise ConfigurationError("[[pools.clients]] needs a name")
    return ClientSettings(**{("client_id" if name == "id" else name): value for name, value in table.items()})


def table_of(settings: ClientSettings) -> dict[str, Any]:
    """Return *settings* in the form that `client_of` reads."""
    table = {setting.name: getattr(settings, setting.name) for setting in fields(settings)}
    table["id"] = table.pop("client_id")
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in table.items()}


def _pool(table: Mapping[str, Any]) -> PoolSetup:
    _check_names("[[pools]]", table, {"id", "issuer", "resource_servers", "clients", "pre_token_generation"})
    servers = _table("resource_servers", table.get("resource_servers", {}))
    return PoolSetup(
        pool_id=table.get("id", DEFAULT_POOL_ID),
        issuer=table.get("issuer"),
        resource_servers={name: _table(f"resource_servers.{name}", scopes) for name, scopes in servers.items()},
        clients=tuple(client_of(client) for client in _tables("clients", table.get("clients", []))),
        pre_token_generation=_handler(table["pre_token_generation"]) if "pre_token_generation" in table else None,
    )


def _handler(name: Any) -> Handler:
    complaint = f'pre_token_generation must name a function, such as "my_trigger:handler"; got {name!r}'
    if not isinstance(name, str) or ":" not in name:
        raise ConfigurationError(complaint)
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does: the module is in the current directory
    try:
        handler: Handler = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{complaint} ({error})") from error
    if not callable(handler):
        raise ConfigurationError(complaint)
    return handler


def _disputed(table: Mapping[str, Any]) -> DisputedAnswers:
    _check_names("[disputed]", table, set(DisputedAnswers.__slots__))
    return replace(DisputedAnswers(), **table)


def _check_names(where: str, table: Mapping[str, Any], known: Collection[str]) -> None:
    for name in table:
        if name not in known:
            raise ConfigurationError(f"{where} has no setting {name!r}; known are {', '.join(sorted(known))}")


def _table(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} must be a table")
    return value


def _tables(name: str, values: Any) -> Sequence[Mapping[str, Any]]:
    if not isinstance(values, list):
        raise ConfigurationError(f"{name} must be tables: [[{name}]]")
    return [_table(name, value) for value in values]
