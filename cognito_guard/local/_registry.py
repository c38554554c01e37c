"""The resource servers and app clients of a user pool."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from itertools import count
from typing import Final

from cognito_guard.local._client_settings import SYSTEM_SCOPES, ClientSettings
from cognito_guard.local._clients import LocalClient
from cognito_guard.local._refused import SettingRefusedError
from cognito_guard.local._scopes import ResourceServer
from cognito_guard.local._sticky import CLIENT_ID_LENGTH, SECRET_LENGTH, derived_word, random_word

_UNNAMED: Final = "client"


class Registry:
    """
    The clients and resource servers of one pool. Several threads may change it.

    Args:
        pool_id: The pool, for messages and derived ids.
        clock: Returns the time in seconds since the epoch.

    """

    def __init__(self, pool_id: str, clock: Callable[[], float]) -> None:
        self._pool_id: Final = pool_id
        self._clock: Final = clock
        self._lock: Final = threading.Lock()
        self._clients: dict[str, LocalClient] = {}
        self._resource_servers: dict[str, ResourceServer] = {}

    @property
    def clients(self) -> tuple[LocalClient, ...]:
        """The app clients, in the order they were added."""
        return tuple(self._clients.values())

    @property
    def resource_servers(self) -> tuple[ResourceServer, ...]:
        """The resource servers, in the order they were added."""
        return tuple(self._resource_servers.values())

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that a resource server defines, as written in tokens."""
        return tuple(scope for server in self.resource_servers for scope in server.full_names)

    def scopes_of(self, client: LocalClient) -> tuple[str, ...]:
        """Return the scopes of *client* without those whose resource server has been deleted."""
        return self._known(client.scopes)

    def find_client(self, client_id: str) -> LocalClient | None:
        """Return the client with that id, or None."""
        return self._clients.get(client_id)

    def find_resource_server(self, identifier: str) -> ResourceServer | None:
        """Return the resource server with that identifier, or None."""
        return self._resource_servers.get(identifier)

    def add_client(self, settings: ClientSettings) -> LocalClient:
        """
        Return a new client. If the settings have no id or secret, it follows from the name, if there is one.

        Raises:
            SettingRefusedError: A client with this id exists, or a scope does not exist.

        """
        known = self._known(settings.scopes)
        for scope in settings.scopes:
            if scope not in known:
                raise SettingRefusedError(f"Invalid scope requested: {scope}", "ScopeDoesNotExistException")
        with self._lock:
            client_id = self._free_id(settings.name) if settings.client_id is None else settings.client_id
            if client_id in self._clients:
                raise SettingRefusedError(f"the user pool {self._pool_id} already has a client {client_id!r}")
            if settings.secrets is None:
                named = settings.name is not None or settings.client_id is not None
                settings = replace(settings, secrets=(self._new_secret(client_id, named=named),))
            client = LocalClient(settings, client_id=client_id, name=settings.name or _UNNAMED, clock=self._clock)
            self._clients = {**self._clients, client_id: client}
        return client

    def delete_client(self, client_id: str) -> None:
        """
        Delete a client.

        Raises:
            SettingRefusedError: There is none with that id.

        """
        with self._lock:
            if client_id not in self._clients:
                raise SettingRefusedError(
                    f"the user pool {self._pool_id} has no client {client_id!r}", "ResourceNotFoundException"
                )
            self._clients = {known: client for known, client in self._clients.items() if known != client_id}

    def add_resource_server(self, server: ResourceServer) -> ResourceServer:
        """
        Add *server*, and return it.

        Raises:
            SettingRefusedError: There is one with its identifier.

        """
        with self._lock:
            if server.identifier in self._resource_servers:
                raise SettingRefusedError(f"{server.identifier} already exists in user pool {self._pool_id}.")
            self._resource_servers = {**self._resource_servers, server.identifier: server}
        return server

    def delete_resource_server(self, identifier: str) -> None:
        """
        Delete a resource server.

        Raises:
            SettingRefusedError: There is none with that identifier.

        """
        with self._lock:
            if identifier not in self._resource_servers:
                raise SettingRefusedError(
                    f"the user pool {self._pool_id} has no resource server {identifier!r}", "ResourceNotFoundException"
                )
            self._resource_servers = {
                known: server for known, server in self._resource_servers.items() if known != identifier
            }

    def _known(self, scopes: Collection[str]) -> tuple[str, ...]:
        defined = {*SYSTEM_SCOPES, *self.scopes}
        return tuple(scope for scope in scopes if scope in defined)

    def _free_id(self, name: str | None) -> str:
        if name is None:
            return random_word(CLIENT_ID_LENGTH)
        # In Cognito, two clients may have the same name. The id of the second one also depends on its number.
        ids = (derived_word(CLIENT_ID_LENGTH, self._pool_id, name, str(number)) for number in count())
        return next(client_id for client_id in ids if client_id not in self._clients)

    def _new_secret(self, client_id: str, *, named: bool) -> str:
        return derived_word(SECRET_LENGTH, self._pool_id, client_id) if named else random_word(SECRET_LENGTH)
