"""How a local Cognito is described: in a TOML file, with flags, and in a saved state."""

from __future__ import annotations

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalPool, PoolKeys, SigningKey
from cognito_guard.local._client_settings import ClientSettings
from cognito_guard.local._disputed import DisputedAnswers
from cognito_guard.local._setup import PoolSetup, Setup, default_setup, read_setup, setup_of_flags
from cognito_guard.local._state import load_state, merged, save_state

POOL_ID = "eu-central-1_AbCdEf123"
EVERYTHING = """
[disputed]
invalid_client_status = 401

[[pools]]
id = "eu-central-1_AbCdEf123"
issuer = "https://login.example/pool"

[pools.resource_servers.orders]
"order.read" = "Read orders"

[pools.resource_servers."https://api.example/stock"]
read = "Count"

[[pools.clients]]
name = "reader"
id = "reader"
secrets = ["reader_reader_reader_reader_"]
scopes = ["orders/order.read", "https://api.example/stock/read"]
access_token_validity = 900
allow_client_token_auth = false

[[pools.clients]]
name = "app"
scopes = ["openid"]
secrets = []
allowed_flows = ["code"]

[[pools]]
id = "us-east-1_GhIjKl456"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "cognito.toml"


# TOML


def test_a_file_can_set_everything_of_a_pool(config: Path, pool_keys: PoolKeys) -> None:
    config.write_text(EVERYTHING)

    setup = read_setup(config)
    first, second = (pool.make() for pool in setup.pools)

    assert setup.disputed == DisputedAnswers(invalid_client_status=401)
    assert (first.pool_id, first.issuer, first.has_own_issuer) == (POOL_ID, "https://login.example/pool", True)
    assert first.scopes == ("orders/order.read", "https://api.example/stock/read")
    reader, app = first.clients
    assert (reader.client_id, reader.secret, reader.access_token_validity) == ("reader", "reader_" * 4, 900)
    assert not reader.allow_client_token_auth
    assert (app.secrets, app.allowed_flows) == ((), ("code",))
    assert (second.pool_id, second.clients, second.has_own_issuer) == ("us-east-1_GhIjKl456", (), False)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("[", "cannot be read", id="no TOML"),
        pytest.param("pool = 1", "has no setting 'pool'; known are disputed, pools", id="a setting nobody knows"),
        pytest.param("pools = 1", "pools must be tables", id="pools that are none"),
        pytest.param("pools = [1]", "pools must be a table", id="a pool that is none"),
        pytest.param("disputed = 1", "disputed must be a table", id="disputed"),
        pytest.param("[disputed]\nstatus = 1", r"\[disputed\] has no setting", id="nothing disputed"),
        pytest.param("[[pools]]\nname = 'x'", r"\[\[pools\]\] has no setting 'name'", id="in a pool"),
        pytest.param("[[pools]]\nresource_servers.x = 1", "resource_servers.x must be a table", id="a server"),
        pytest.param("[[pools]]\n[[pools.clients]]", "needs a name", id="a client without a name"),
        pytest.param("[[pools]]\n[[pools.clients]]\nsecret = 'x'", "has no setting 'secret'", id="in a client"),
        pytest.param("[[pools]]\n[[pools.clients]]\nname='x'\nscopes='a/b'", "collection of strings", id="scopes"),
    ],
)
def test_an_invalid_file_is_refused_by_name(config: Path, text: str, complaint: str) -> None:
    config.write_text(text)

    with pytest.raises(ConfigurationError, match=complaint) as caught:
        read_setup(config)

    assert str(config) in str(caught.value)


def test_a_missing_file_is_refused(config: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_setup(config)


# Flags


def test_resource_servers_follow_from_the_scopes_of_clients() -> None:
    setup = setup_of_flags(
        POOL_ID, ["reader=orders/order.read", "all=orders/order.write,https://api.example/stock/read"]
    )
    (pool,) = (described.make() for described in setup.pools)

    assert pool.scopes == ("orders/order.read", "orders/order.write", "https://api.example/stock/read")
    assert {client.name: client.scopes for client in pool.clients} == {
        "reader": ("orders/order.read",),
        "all": ("orders/order.write", "https://api.example/stock/read"),
    }


@pytest.mark.parametrize("client", ["reader", "=orders/read", "reader=", "reader=read", "reader=/read", "reader=a/"])
def test_a_client_that_is_not_a_name_and_scopes_is_refused(client: str) -> None:
    with pytest.raises(ConfigurationError, match="--client takes"):
        setup_of_flags(POOL_ID, [client])


def test_by_default_there_is_an_orders_api_with_one_client() -> None:
    (pool,) = (described.make() for described in default_setup().pools)

    assert pool.pool_id == "eu-central-1_LocalPool0"
    assert default_setup(POOL_ID).pools[0].pool_id == POOL_ID
    assert [client.scopes for client in pool.clients] == [("orders/order.read", "orders/order.write")]


# State


def make_pool(keys: PoolKeys) -> LocalPool:
    pool = LocalPool(POOL_ID, issuer="https://login.example/pool", keys=keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    client = pool.add_client(name="reader", scopes=["orders/order.read"], access_token_validity=900)
    client.add_secret()
    pool.add_client(name="app", scopes=["openid"], secrets=[], allowed_flows=["code"], allow_client_token_auth=False)
    return pool


def restored(path: Path) -> LocalPool:
    (pool,) = (described.make() for described in load_state(path).pools)
    return pool


def described(pool: LocalPool) -> list[object]:
    return [
        (
            *(client.client_id, client.name, client.scopes, [secret.value for secret in client.secrets]),
            *(client.access_token_validity, client.allowed_flows, client.allow_client_token_auth),
        )
        for client in pool.clients
    ]


def test_a_saved_state_is_restored(tmp_path: Path, pool_keys: PoolKeys) -> None:
    path, pool = tmp_path / "state.json", make_pool(pool_keys)

    save_state(path, [pool])
    again = restored(path)

    assert (again.pool_id, again.issuer, again.scopes) == (pool.pool_id, pool.issuer, pool.scopes)
    assert described(again) == described(pool)
    assert again.jwks() == pool.jwks()
    assert again.keys.access.sign(b"x") == pool.keys.access.sign(b"x")


def test_rotated_and_withdrawn_keys_are_restored(tmp_path: Path, pool_keys: PoolKeys) -> None:
    path, pool = tmp_path / "state.json", make_pool(pool_keys)
    pool.rotate(PoolKeys(SigningKey(), pool_keys.identity))
    pool.withdraw(pool.keys.access.kid)

    save_state(path, [pool])

    assert restored(path).jwks() == pool.jwks()
    assert restored(path).keys.access.kid == pool.keys.access.kid


def test_a_state_from_before_clients_had_claims_can_be_read(tmp_path: Path, pool_keys: PoolKeys) -> None:
    path, pool = tmp_path / "state.json", make_pool(pool_keys)
    save_state(path, [pool])
    saved = json.loads(path.read_text())
    del saved["pools"][0]["resource_server_names"]
    for client in saved["pools"][0]["clients"]:
        del client["claims"], client["members"]

    path.write_text(json.dumps(saved))

    assert described(restored(path)) == described(pool)


def test_claims_and_names_survive_too(tmp_path: Path, pool_keys: PoolKeys) -> None:
    path, pool = tmp_path / "state.json", LocalPool(POOL_ID, keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"}, name="Orders of tea")
    pool.add_client(name="reader", scopes=["orders/order.read"], claims={"tenant": "acme"})

    save_state(path, [pool])

    assert restored(path).clients[0].claims == {"tenant": "acme"}
    assert restored(path).resource_servers[0].name == "Orders of tea"


def test_only_its_owner_can_read_the_state_even_if_others_could_before(tmp_path: Path, pool_keys: PoolKeys) -> None:
    path = tmp_path / "state.json"
    path.write_text("{}")
    path.chmod(0o644)

    save_state(path, [make_pool(pool_keys)])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["state.json"]


def test_a_state_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path, pool_keys: PoolKeys) -> None:
    path = tmp_path / "state.json"
    path.mkdir()

    with pytest.raises(ConfigurationError, match="cannot be written"):
        save_state(path, [make_pool(pool_keys)])

    assert list(tmp_path.iterdir()) == [path]


def test_without_a_file_there_is_no_state(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state.json") == Setup()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "does not contain the state"),
        ("[]", "does not contain the state"),
        ("{}", "does not contain the state"),
        ('{"version": 2}', "of another version"),
        ('{"version": 1, "pools": [{"keys": {"kid": "no PEM"}}]}', "does not contain the state"),
    ],
)
def test_a_file_without_state_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text)

    with pytest.raises(ConfigurationError, match=complaint):
        load_state(path)


def test_an_invalid_key_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="private key 'kid' cannot be read"):
        SigningKey.from_pem("kid", b"no PEM")


def test_a_key_of_another_kind_is_refused() -> None:
    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    with pytest.raises(ConfigurationError, match="not an RSA key"):
        SigningKey.from_pem("kid", pem)


def test_a_secret_is_not_in_the_repr_of_a_setup(tmp_path: Path, pool_keys: PoolKeys) -> None:
    save_state(tmp_path / "state.json", [make_pool(pool_keys)])
    state = load_state(tmp_path / "state.json")

    assert all(secret not in repr(state) for client in state.pools[0].clients for secret in client.secrets or ())


# Both together


def saved(*clients: ClientSettings, pool_id: str = POOL_ID, keys: PoolKeys | None = None) -> Setup:
    scopes = {"order.read": "Read", "order.delete": "Delete"}
    return Setup(pools=(PoolSetup(pool_id=pool_id, resource_servers={"orders": scopes}, clients=clients, keys=keys),))


def wanted(*clients: ClientSettings) -> Setup:
    servers = {"orders": {"order.read": "Read orders"}, "stock": {"read": "Count"}}
    return Setup(pools=(PoolSetup(pool_id=POOL_ID, resource_servers=servers, clients=clients),))


def test_a_client_keeps_the_id_and_secrets_that_were_saved_and_gets_the_scopes_that_are_wanted() -> None:
    secrets = ("s" * 24,)
    known = ClientSettings(name="reader", client_id="id", secrets=secrets, scopes=("orders/order.delete",))
    (pool,) = merged(wanted(ClientSettings(name="reader", scopes=("stock/read",))), saved(known)).pools

    assert pool.clients == (ClientSettings(name="reader", client_id="id", secrets=secrets, scopes=("stock/read",)),)


def test_wanted_secrets_override_saved_ones() -> None:
    known = ClientSettings(name="old name", client_id="id", secrets=("s" * 24,), scopes=("orders/order.read",))
    asked = replace(known, name="new name", secrets=("t" * 24,))

    assert merged(wanted(asked), saved(known)).pools[0].clients == (asked,)


def test_a_client_with_another_id_is_another_one_even_with_the_same_name() -> None:
    known = ClientSettings(name="reader", client_id="id", secrets=("s" * 24,), scopes=("orders/order.delete",))
    asked = ClientSettings(name="reader", client_id="other", scopes=("orders/order.read",))
    (pool,) = merged(wanted(asked), saved(known)).pools

    assert pool.clients == (asked, known)
    assert [client.client_id for client in pool.make().clients] == ["other", "id"]


def test_keys_and_other_pools_stay(pool_keys: PoolKeys) -> None:
    elsewhere = saved(pool_id="us-east-1_GhIjKl456")
    state = Setup(pools=(*saved(keys=pool_keys).pools, *elsewhere.pools))
    pools = merged(wanted(), state).pools

    assert pools[0].keys is pool_keys
    assert pools[0].resource_servers == {
        "orders": {"order.read": "Read orders", "order.delete": "Delete"},
        "stock": {"read": "Count"},
    }
    assert pools[1:] == elsewhere.pools


def test_without_state_everything_is_as_wanted() -> None:
    assert merged(wanted(), Setup()) == wanted()


# The pool


def test_a_deleted_client_gets_no_more_tokens(pool_keys: PoolKeys) -> None:
    pool = make_pool(pool_keys)
    client = pool.clients[0]

    pool.delete_client(client.client_id)

    assert pool.find_client(client.client_id) is None
    with pytest.raises(ConfigurationError, match="has no client"):
        pool.delete_client(client.client_id)


def test_the_state_is_json_that_people_can_read(tmp_path: Path, pool_keys: PoolKeys) -> None:
    save_state(tmp_path / "state.json", [make_pool(pool_keys)])

    content = json.loads((tmp_path / "state.json").read_text())
    assert content["pools"][0]["clients"][1]["name"] == "app"
