"""What a `LocalCognito` is to be set up with, written down: as a TOML file, as flags, or as saved state."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from cognito_guard._grammar import check_strings
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._grants import DisputedAnswers
from cognito_guard.local._keys import PoolKeys, SigningKey
from cognito_guard.local._pool import LocalPool

DEFAULT_POOL_ID: Final = "eu-central-1_LocalPool0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSetup:
    """An app client to be added; see `LocalPool.add_client`. Without id and secrets it gets random ones."""

    name: str
    scopes: tuple[str, ...] = ()
    client_id: str | None = None
    secrets: tuple[str, ...] | None = field(default=None, repr=False)
    access_token_validity: int = 60 * 60
    allowed_flows: tuple[str, ...] = ("client_credentials",)
    allow_client_token_auth: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSetup:
    """A user pool to be made; see `LocalPool`. Without keys it gets new ones."""

    pool_id: str = DEFAULT_POOL_ID
    issuer: str | None = None
    resource_servers: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    clients: tuple[ClientSetup, ...] = ()
    keys: PoolKeys | None = field(default=None, repr=False)
    published: tuple[SigningKey, ...] | None = field(default=None, repr=False)

    def make(self) -> LocalPool:
        """
        Return the pool.

        Raises:
            ConfigurationError: Cognito would not take something of it.

        """
        pool = LocalPool(self.pool_id, issuer=self.issuer, keys=self.keys, published=self.published)
        for identifier, scopes in self.resource_servers.items():
            pool.add_resource_server(identifier, scopes)
        for client in self.clients:
            pool.add_client(
                name=client.name,
                scopes=client.scopes,
                client_id=client.client_id,
                secrets=client.secrets,
                access_token_validity=client.access_token_validity,
                allowed_flows=client.allowed_flows,
                allow_client_token_auth=client.allow_client_token_auth,
            )
        return pool


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """All pools to be made, and how to answer what is disputed."""

    pools: tuple[PoolSetup, ...] = ()
    disputed: DisputedAnswers = field(default_factory=DisputedAnswers)


def default_setup(pool_id: str | None) -> Setup:
    """Return a pool with one resource server, `orders`, and one client that may ask for all of it."""
    scopes = {"order.read": "Read orders", "order.write": "Place orders"}
    client = ClientSetup(name="orders", scopes=tuple(f"orders/{name}" for name in scopes))
    pool = PoolSetup(
        pool_id=DEFAULT_POOL_ID if pool_id is None else pool_id, resource_servers={"orders": scopes}, clients=(client,)
    )
    return Setup(pools=(pool,))


def setup_of_flags(pool_id: str | None, clients: Sequence[str]) -> Setup:
    """
    Return one pool with clients described as `name=scope,scope`. Resource servers follow from the scopes.

    Raises:
        ConfigurationError: One is described otherwise.

    """
    made: list[ClientSetup] = []
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
        made.append(ClientSetup(name=name, scopes=scopes))
    return Setup(
        pools=(
            PoolSetup(
                pool_id=DEFAULT_POOL_ID if pool_id is None else pool_id,
                resource_servers=servers,
                clients=tuple(made),
            ),
        )
    )


def read_setup(path: Path) -> Setup:
    """
    Return what a TOML file describes: tables `[[pools]]`, and `[disputed]` as `DisputedAnswers` has it.

    Raises:
        ConfigurationError: It can not be read, or has something in it that is not known.

    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} can not be read: {error}") from error
    try:
        _check_names("the file", content, {"pools", "disputed"})
        return Setup(
            pools=tuple(_pool(pool) for pool in _tables("pools", content.get("pools", []))),
            disputed=_disputed(_table("disputed", content.get("disputed", {}))),
        )
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _pool(table: Mapping[str, Any]) -> PoolSetup:
    _check_names("[[pools]]", table, {"id", "issuer", "resource_servers", "clients"})
    servers = _table("resource_servers", table.get("resource_servers", {}))
    return PoolSetup(
        pool_id=table.get("id", DEFAULT_POOL_ID),
        issuer=table.get("issuer"),
        resource_servers={name: _table(f"resource_servers.{name}", scopes) for name, scopes in servers.items()},
        clients=tuple(_client(client) for client in _tables("clients", table.get("clients", []))),
    )


def _client(table: Mapping[str, Any]) -> ClientSetup:
    known = {"access_token_validity", "allow_client_token_auth", "allowed_flows", "id", "name", "scopes", "secrets"}
    _check_names("[[pools.clients]]", table, known)
    if "name" not in table:
        raise ConfigurationError("[[pools.clients]] needs a name")
    given: dict[str, Any] = {("client_id" if name == "id" else name): value for name, value in table.items()}
    for name in ("allowed_flows", "scopes", "secrets"):
        if name in given:
            given[name] = check_strings(name, given[name])
    return ClientSetup(**given)


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
