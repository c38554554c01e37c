"""The actions of the console."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from cognito_guard.local._console_request import ConsoleRequest, ConsoleRequestError
from cognito_guard.local._console_state import FAULTS, choices, fault_state, pool_state, request_state
from cognito_guard.local._faults import Faults
from cognito_guard.local._flaws import FLAWS, Minter
from cognito_guard.local._judge import judge
from cognito_guard.local._key_history import KeyHistory
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import Recorder
from cognito_guard.local._scopes import ResourceServer

_ROUTES: Final = ("jwks", "token")
_DEFAULT_VALIDITY: Final = 60 * 60  # seconds

Answer = Mapping[str, Any]


class ConsoleActions:
    """
    Each public method is one action. It takes the page's request and returns a JSON object.

    All raise `ConsoleRequestError`, or the `ConfigurationError` of the pool, if the action is not possible.

    Args:
        pools: The pools that are shown and changed.
        faults: The faults that are shown and changed.
        traffic: The record of requests.
        on_change: Called after a change of *pools*, if given.

    """

    def __init__(
        self, pools: Sequence[LocalPool], faults: Faults, traffic: Recorder, on_change: Callable[[], object] | None
    ) -> None:
        self._pools: Final = {pool.pool_id: pool for pool in pools}
        self._histories: Final = {pool.pool_id: KeyHistory(pool) for pool in pools}
        self._faults: Final = faults
        self._traffic: Final = traffic
        self._on_change: Final = on_change

    async def state(self, asked: ConsoleRequest) -> Answer:
        """Return everything that the page shows. `url` is where it was loaded from. The latest request comes first."""
        url = asked.text("url")
        return {
            "pools": [pool_state(pool, self._histories[name], url) for name, pool in self._pools.items()],
            "faults": {route: fault_state(getattr(self._faults, route)) for route in _ROUTES},
            "requests": [request_state(seen) for seen in reversed(self._traffic.requests)],
            "choices": choices(),
        }

    async def token(self, asked: ConsoleRequest) -> Answer:
        """Return a token, valid or with one `flaw`. An empty list of scopes gives a token without scopes."""
        pool = self._pool(asked)
        mint, name = _mint(pool, asked), asked.text("flaw")
        if not name:
            return {"token": mint()}
        if name not in FLAWS:
            raise ConsoleRequestError(f"flaw must be one of {', '.join(FLAWS)}.")
        return {"token": FLAWS[name].make(pool, mint)}

    async def judge(self, asked: ConsoleRequest) -> Answer:
        """Return what a guard finds in a token, check by check."""
        checks = await judge(self._pool(asked), asked.text("token"))
        return {"checks": [dataclasses.asdict(check) for check in checks]}

    async def keys(self, asked: ConsoleRequest) -> Answer:
        """Rotate, withdraw or replace keys, or undo the last change."""
        pool = self._pool(asked)
        history, kid, action = self._histories[pool.pool_id], asked.text("kid"), asked.text("action")
        if action == "undo":
            if not history.undo():
                raise ConsoleRequestError("There is nothing to undo, or the keys have changed since.")
        elif action == "rotate":
            history.make("The keys were rotated.", pool.rotate)
        elif action == "withdraw":
            history.make(f"The key {kid} was withdrawn.", partial(pool.withdraw, kid))
        elif action == "replace":
            history.make(f"The key {kid} was replaced.", partial(pool.replace, kid))
        else:
            raise ConsoleRequestError("action must be rotate, withdraw, replace or undo.")
        return self._changed()

    async def clients(self, asked: ConsoleRequest) -> Answer:
        """Add a client of the client-credentials grant, and return its id."""
        client = self._pool(asked).add_client(
            name=asked.text("name"),
            scopes=asked.texts("scopes") or (),
            access_token_validity=asked.lifetime("access_token_validity") or _DEFAULT_VALIDITY,
        )
        return {"client_id": client.client_id, **self._changed()}

    async def scopes(self, asked: ConsoleRequest) -> Answer:
        """Add a scope, and its resource server if that does not exist. Return the full name of the scope."""
        pool, identifier, name = self._pool(asked), asked.text("identifier"), asked.text("name")
        old = pool.find_resource_server(identifier)
        known = {} if old is None else old.scopes
        if name in known:
            raise ConsoleRequestError(f"The scope {identifier}/{name} exists already.")
        # Make the new one first: if Cognito does not accept the name, the old one stays.
        new = ResourceServer(identifier, {**known, name: asked.text("description") or name})
        if old is not None:
            pool.delete_resource_server(identifier)
        pool.add_resource_server(identifier, new.scopes)
        return {"scope": f"{identifier}/{name}", **self._changed()}

    async def faults(self, asked: ConsoleRequest) -> Answer:
        """Switch a fault on, or off with `none`."""
        route, fault = asked.text("route"), asked.text("fault")
        if route not in _ROUTES or fault not in FAULTS:
            raise ConsoleRequestError(f"route must be jwks or token, and fault one of {', '.join(FAULTS)}.")
        setattr(self._faults, route, FAULTS[fault])
        return {}

    def _pool(self, asked: ConsoleRequest) -> LocalPool:
        pool = self._pools.get(asked.text("pool"))
        if pool is None:
            raise ConsoleRequestError("There is no such user pool here.")
        return pool

    def _changed(self) -> Answer:
        if self._on_change is not None:
            self._on_change()
        return {}


def _mint(pool: LocalPool, asked: ConsoleRequest) -> Minter:
    kind, scopes = asked.text("kind"), asked.texts("scopes")
    options: dict[str, Any] = {"client_id": asked.text("client_id"), "lifetime": asked.lifetime("lifetime")}
    if kind != "machine":
        options["groups"] = asked.texts("groups") or ()
    if scopes == ():
        # For the pool's methods, no scopes means all of them. A claim that is None is left out.
        options["scope"] = None
    username = asked.text("username") or "somebody"
    if kind == "machine":
        return partial(pool.mint, *(scopes or ()), **options)
    if kind == "user":
        return partial(pool.mint_user, username, *(scopes or ()), **options)
    if kind == "id":
        return partial(pool.mint_id, username, **options)
    raise ConsoleRequestError("kind must be machine, user or id.")
