"""Ids and secrets that are the same after a restart, and the settings that travel with a client."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import anyio
import httpx
import jwt
import pytest

from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalCognito, LocalPool, PoolKeys, serving
from cognito_guard.local._client_settings import ClientSettings

SCOPES = ["orders/order.read"]


def make(keys: PoolKeys, *clients: dict[str, Any], pool_id: str = "eu-central-1_AbCdEf123") -> LocalPool:
    pool = LocalPool(pool_id, keys=keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    for client in clients:
        pool.add_client(scopes=SCOPES, **client)
    return pool


def credentials(pool: LocalPool) -> list[tuple[str, str]]:
    return [(client.client_id, client.secret) for client in pool.clients]


def test_the_same_names_give_the_same_ids_and_secrets(pool_keys: PoolKeys) -> None:
    clients = {"name": "reader"}, {"name": "writer"}, {"client_id": "own_id"}

    first, again = (credentials(make(pool_keys, *clients)) for _ in range(2))

    assert first == again
    assert len({word for pair in first for word in pair}) == 6
    assert first[0][0].isalnum()
    assert (len(first[0][0]), len(first[0][1])) == (26, 52)


def test_they_never_change(pool_keys: PoolKeys) -> None:
    # Fixed values: a change of the derivation breaks users' exports, env files and compose files.
    (pair,) = credentials(make(pool_keys, {"name": "reader"}))

    assert pair == ("9otjyqy39l7oyy5yp3girciagr", "ove7vwjp718qvezerpr3jiyqmcm0gygme90hdytmad186r4wkpkp")


@pytest.mark.parametrize(
    "other", [{"client": {"name": "writer"}}, {"pool_id": "eu-central-1_Other0000"}], ids=["client", "pool"]
)
def test_another_name_gives_another_id_and_secret(pool_keys: PoolKeys, other: dict[str, Any]) -> None:
    ((client_id, secret),) = credentials(make(pool_keys, {"name": "reader"}))
    ((other_id, other_secret),) = credentials(
        make(pool_keys, other.get("client", {"name": "reader"}), pool_id=other.get("pool_id", "eu-central-1_AbCdEf123"))
    )

    assert client_id != other_id
    assert secret != other_secret


def test_two_clients_of_one_name_are_two_also_after_a_restart(pool_keys: PoolKeys) -> None:
    first, again = (credentials(make(pool_keys, {"name": "reader"}, {"name": "reader"})) for _ in range(2))

    assert first == again
    assert first[0] != first[1]


def test_names_are_never_split(pool_keys: PoolKeys) -> None:
    """A name that looks like the derivation of another one gives another id."""
    ids = {
        client_id
        for name in ("reader", "reader0", "reader 0")
        for client_id, _ in credentials(make(pool_keys, {"name": name}))
    }

    assert len(ids) == 3


def test_a_client_without_a_name_has_random_ones(pool_keys: PoolKeys) -> None:
    assert credentials(make(pool_keys, {})) != credentials(make(pool_keys, {}))


def test_a_second_secret_is_random(pool_keys: PoolKeys) -> None:
    pools = [make(pool_keys, {"name": "reader"}) for _ in range(2)]

    assert len({pool.clients[0].add_secret().value for pool in pools}) == 2


# The settings of a client


def test_each_setting_of_a_client_is_an_option_with_the_same_default() -> None:
    options = inspect.signature(LocalPool.add_client).parameters
    settings = {
        field.name: field.default for field in fields(ClientSettings) if field.name not in {"claims", "members"}
    }

    assert set(options) - {"self", "claims"} == set(settings)
    for name in set(settings) - {"scopes"}:
        assert options[name].default == settings[name]


def test_settings_are_kept_as_a_whole(pool_keys: PoolKeys) -> None:
    settings = ClientSettings(
        name="reader",
        scopes=("orders/order.read",),
        client_id="reader",
        secrets=("s" * 24, "t" * 24),
        access_token_validity=600,
        allow_client_token_auth=False,
        claims={"tenant": "acme"},
        members={"CallbackURLs": ["https://app.example.com"]},
    )

    assert make(pool_keys).add(settings).settings == settings


def test_settings_are_frozen(pool_keys: PoolKeys) -> None:
    client = make(pool_keys, {"name": "reader"}).clients[0]

    with pytest.raises(AttributeError):
        client.settings.name = "other"  # type: ignore[misc]


# The issuer that is the pool's own URL


def test_before_it_is_served_an_own_url_is_not_known(pool_keys: PoolKeys) -> None:
    pool = LocalPool(issuer="self", keys=pool_keys)

    with pytest.raises(ConfigurationError, match="it is not served yet"):
        pool.mint(client_id="x")
    assert pool.has_own_issuer


@pytest.mark.slow
def test_served_it_is_the_url_for_minted_tokens_and_the_guard(pool_keys: PoolKeys) -> None:
    local = LocalCognito(LocalPool(issuer="self", keys=pool_keys))
    local.pool.add_client(client_id="x", scopes=[], allowed_flows=[])

    with serving(local) as url:
        issuer = f"{url}/eu-central-1_LocalPool0"
        assert local.pool.issuer == issuer
        assert local.user_pool(url).issuers == local.user_pool().issuers == (issuer,)


def test_under_another_server_it_is_the_url_of_each_request(pool_keys: PoolKeys) -> None:
    local = LocalCognito(LocalPool(issuer="self", keys=pool_keys))
    local.pool.add_resource_server("orders", {"order.read": "Read orders"})
    client = local.pool.add_client(name="reader", scopes=SCOPES)

    async def ask(url: str) -> list[str]:
        form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": client.secret}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url=url) as http:
            token = (await http.post("/oauth2/token", data=form)).json()["access_token"]
            document = (await http.get("/eu-central-1_LocalPool0/.well-known/openid-configuration")).json()
        return [document["issuer"], jwt.decode(token, options={"verify_signature": False})["iss"]]

    for url in ("http://localhost:9229", "http://cognito:9229"):
        assert anyio.run(ask, url) == [f"{url}/eu-central-1_LocalPool0"] * 2
    # Minted ones have that of the first request.
    assert local.pool.issuer == "http://localhost:9229/eu-central-1_LocalPool0"
