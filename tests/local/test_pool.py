"""A user pool in memory: what can be set up, and how a foreign library reads its tokens."""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any

import jwt
import pytest

from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalPool, PoolKeys, SigningKey
from cognito_guard.local._scopes import scope_claim

NOW = 1_800_000_000
ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123"
READER: dict[str, Any] = {"scopes": ["orders/order.read"]}


@pytest.fixture
def pool(pool_keys: PoolKeys) -> LocalPool:
    pool = LocalPool("eu-central-1_AbCdEf123", keys=pool_keys, clock=lambda: NOW + 0.75)
    pool.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
    pool.add_client(client_id="reader", scopes=["orders/order.read"], access_token_validity=900)
    return pool


def verified(pool: LocalPool, token: str) -> dict[str, Any]:
    """Return the claims of *token* as PyJWT reads them with the key that *pool* publishes under its kid."""
    key = jwt.PyJWKSet.from_dict(pool.jwks())[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(
        token, key, algorithms=["RS256"], options={"verify_aud": False, "verify_exp": False, "verify_iat": False}
    )
    return claims


def raw(token: str) -> list[str]:
    """Return header and payload of *token* as they are written."""
    return [base64.urlsafe_b64decode(part + "==").decode() for part in token.split(".")[:2]]


def is_random_uuid(text: str) -> bool:
    return uuid.UUID(text).version == 4


# Tokens


def test_a_machine_token_has_the_claims_of_cognito_in_its_order(pool: LocalPool) -> None:
    claims = verified(pool, pool.mint())

    assert is_random_uuid(claims["jti"])
    assert list(claims.items()) == [
        ("sub", "reader"),
        ("token_use", "access"),
        ("scope", "orders/order.read"),
        ("auth_time", NOW),
        ("iss", ISSUER),
        ("exp", NOW + 900),
        ("iat", NOW),
        ("version", 2),
        ("jti", claims["jti"]),
        ("client_id", "reader"),
    ]


def test_the_bytes_of_a_token_are_compact_with_escaped_slashes_and_no_typ(pool_keys: PoolKeys) -> None:
    pool = LocalPool(keys=PoolKeys(access=SigningKey(kid="a/b+c=", private_key=pool_keys.access.private_key)))

    header, payload = raw(pool.mint("orders/order.read", client_id="reader"))

    assert header == r'{"kid":"a\/b+c=","alg":"RS256"}'
    assert payload.startswith(r'{"sub":"reader","token_use":"access","scope":"orders\/order.read","auth_time":')


def test_a_kid_is_32_random_bytes_in_standard_base64() -> None:
    kid = SigningKey().kid

    assert len(kid) == 44
    assert len(base64.b64decode(kid, validate=True)) == 32
    assert kid != SigningKey().kid


def test_each_token_has_an_id_of_its_own(pool: LocalPool) -> None:
    assert verified(pool, pool.mint())["jti"] != verified(pool, pool.mint())["jti"]


@pytest.mark.parametrize("scopes", [("x/b", "x/a"), ("x/a", "x/b"), ("x/a", "x/b", "x/a")])
def test_scopes_stand_in_the_order_of_a_hash_set_each_once(pool: LocalPool, scopes: tuple[str, ...]) -> None:
    assert verified(pool, pool.mint(*scopes))["scope"] == "x/b x/a"


def test_the_scope_order_is_the_one_recorded_of_a_real_pool() -> None:
    read, write = "https://api.example.com/read", "https://api.example.com/write"

    assert scope_claim([read, write]) == f"{write} {read}"


@pytest.mark.parametrize(("count", "size"), [(11, 16), (12, 32), (23, 32), (24, 64)])
def test_the_hash_set_is_larger_than_four_thirds_of_its_members(count: int, size: int) -> None:
    """One character hashes to its code, so the order shows the size of the table."""
    scopes = [chr(code) for code in range(40, 40 + count)]

    claim = scope_claim(scopes)

    assert claim is not None
    assert claim.split(" ") == sorted(scopes, key=lambda scope: ord(scope) % size)


def test_by_default_the_token_is_the_first_clients_with_all_its_scopes_and_its_validity(pool: LocalPool) -> None:
    pool.add_client(client_id="writer", scopes=["orders/order.read", "orders/order.write"], access_token_validity=7200)

    reader, writer = verified(pool, pool.mint()), verified(pool, pool.mint(client_id="writer"))

    assert (reader["client_id"], reader["exp"]) == ("reader", NOW + 900)
    assert (writer["client_id"], writer["exp"]) == ("writer", NOW + 7200)
    assert set(writer["scope"].split()) == {"orders/order.read", "orders/order.write"}


def test_a_client_that_the_pool_does_not_know_gets_a_token_for_an_hour_and_no_scopes(pool: LocalPool) -> None:
    claims = verified(pool, pool.mint(client_id="stranger"))

    assert claims["sub"] == claims["client_id"] == "stranger"
    assert claims["exp"] == NOW + 3600
    assert "scope" not in claims


def test_a_pool_without_clients_mints_for_a_named_client_only(pool_keys: PoolKeys) -> None:
    pool = LocalPool(keys=pool_keys)

    assert pool.mint(client_id="someone")
    with pytest.raises(ConfigurationError, match="has no client yet"):
        pool.mint()


def test_any_claim_may_be_replaced_added_or_left_out(pool: LocalPool) -> None:
    good = verified(pool, pool.mint())
    changed = verified(pool, pool.mint(lifetime=-1, iss="https://elsewhere", jti=None, extra=[1, {"a": None}]))

    assert list(changed) == [name for name in good if name != "jti"] + ["extra"]
    assert changed["iss"] == "https://elsewhere"
    assert changed["exp"] == NOW - 1
    assert changed["extra"] == [1, {"a": None}]


def test_any_member_of_the_header_may_be_replaced_added_or_left_out(pool: LocalPool) -> None:
    header = jwt.get_unverified_header(pool.mint(headers={"typ": "JWT", "alg": "RS512", "kid": None}))

    assert header == {"alg": "RS512", "typ": "JWT"}


def test_sign_writes_the_claims_as_they_are(pool: LocalPool) -> None:
    token = pool.sign({"exp": None, "client_id": 7})

    assert raw(token)[1] == '{"exp":null,"client_id":7}'
    assert verified(pool, token) == {"exp": None, "client_id": 7}


def test_sign_accepts_a_foreign_key_under_our_name(pool: LocalPool, pool_keys: PoolKeys) -> None:
    token = pool.sign({}, key=SigningKey(kid=pool_keys.access.kid, private_key=pool_keys.identity.private_key))

    assert jwt.get_unverified_header(token)["kid"] == pool_keys.access.kid
    with pytest.raises(jwt.InvalidSignatureError):
        verified(pool, token)


def test_a_user_token_of_a_sign_in_by_api_has_the_claims_of_cognito_in_its_order(pool: LocalPool) -> None:
    claims = verified(pool, pool.mint_user("alice", groups=["admins", "staff"]))

    assert all(is_random_uuid(claims[name]) for name in ("origin_jti", "event_id", "jti"))
    assert list(claims.items()) == [
        ("sub", claims["sub"]),
        ("cognito:groups", ["admins", "staff"]),
        ("iss", ISSUER),
        ("client_id", "reader"),
        ("origin_jti", claims["origin_jti"]),
        ("event_id", claims["event_id"]),
        ("token_use", "access"),
        ("scope", "aws.cognito.signin.user.admin"),
        ("auth_time", NOW),
        ("exp", NOW + 900),
        ("iat", NOW),
        ("jti", claims["jti"]),
        ("username", "alice"),
    ]


def test_a_user_token_of_managed_login_has_the_granted_scopes_and_a_version(pool: LocalPool) -> None:
    claims = verified(pool, pool.mint_user("alice", "openid", "orders/order.read", client_id="app", lifetime=60))

    assert list(claims)[:4] == ["sub", "iss", "version", "client_id"]
    assert claims["version"] == 2
    assert set(claims["scope"].split()) == {"openid", "orders/order.read"}
    assert (claims["client_id"], claims["exp"]) == ("app", NOW + 60)


def test_a_user_has_the_same_sub_in_each_token_and_another_than_other_users(pool: LocalPool) -> None:
    alice = verified(pool, pool.mint_user("alice"))["sub"]

    assert str(uuid.UUID(alice)) == alice
    assert alice == verified(pool, pool.mint_id("alice"))["sub"]
    assert alice != verified(pool, pool.mint_user("bob"))["sub"]


def test_the_claims_of_a_user_token_may_be_changed_even_the_username(pool: LocalPool) -> None:
    claims = verified(pool, pool.mint_user("alice", username=None, device_key="eu-central-1_1"))

    assert "username" not in claims
    assert claims["device_key"] == "eu-central-1_1"


def test_an_id_token_names_the_client_as_audience_and_is_signed_with_the_other_key(
    pool: LocalPool, pool_keys: PoolKeys
) -> None:
    token = pool.mint_id("alice", groups=["admins"], headers={"x": 1}, email="alice@example.com")
    claims = verified(pool, token)

    assert jwt.get_unverified_header(token) == {"kid": pool_keys.identity.kid, "alg": "RS256", "x": 1}
    assert jwt.get_unverified_header(pool.mint())["kid"] == pool_keys.access.kid
    assert (claims["token_use"], claims["aud"], claims["cognito:username"]) == ("id", "reader", "alice")
    assert claims["cognito:groups"] == ["admins"]
    assert claims["email"] == "alice@example.com"
    assert not {"scope", "client_id", "username"} & set(claims)


@pytest.mark.parametrize("groups", ["admins", 7, [7]])
def test_groups_are_a_collection_of_strings(pool: LocalPool, groups: Any) -> None:
    with pytest.raises(ConfigurationError, match="groups"):
        pool.mint_user("alice", groups=groups)


# Pool and issuer


@pytest.mark.parametrize("pool_id", ["", "eu-central-1", "nowhere_AbC", "eu-central-1_with space", 7])
def test_an_invalid_pool_id_is_refused(pool_id: Any) -> None:
    with pytest.raises(ConfigurationError):
        LocalPool(pool_id)


def test_the_issuer_can_be_set(pool_keys: PoolKeys) -> None:
    issuer = "http://127.0.0.1:9229/eu-central-1_LocalPool0"
    pool = LocalPool(issuer=issuer, keys=pool_keys)

    assert verified(pool, pool.mint(client_id="x"))["iss"] == issuer


def test_an_issuer_that_is_not_a_url_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        LocalPool(issuer="elsewhere")


# Resource servers


def test_a_resource_server_defines_scopes_under_its_identifier(pool: LocalPool) -> None:
    added = pool.add_resource_server("https://api.example.com", {"read": "Read"})

    assert pool.resource_servers[-1] == added
    assert pool.scopes == ("orders/order.read", "orders/order.write", "https://api.example.com/read")


@pytest.mark.parametrize(
    ("identifier", "scopes"),
    [
        pytest.param("i" * 256, {"n" * 256: "d" * 256}, id="longest"),
        pytest.param("!#[]~", {"!#.0[]~": "\n"}, id="outermost characters"),
        pytest.param("i", {str(number): "d" for number in range(100)}, id="most scopes"),
    ],
)
def test_values_that_cognito_accepts_for_a_resource_server_are_accepted(
    identifier: str, scopes: dict[str, str]
) -> None:
    assert LocalPool().add_resource_server(identifier, scopes).scopes == scopes


@pytest.mark.parametrize(
    ("identifier", "scopes"),
    [
        pytest.param("", {}, id="no identifier"),
        pytest.param("i" * 257, {}, id="identifier too long"),
        pytest.param("a b", {}, id="blank in identifier"),
        pytest.param('a"b', {}, id="quote in identifier"),
        pytest.param("a\\b", {}, id="backslash in identifier"),
        pytest.param("ä", {}, id="identifier not ascii"),
        pytest.param("i\n", {}, id="line end after identifier"),
        pytest.param(7, {}, id="identifier not a string"),
        pytest.param("i", {"": "d"}, id="no scope name"),
        pytest.param("i", {"n" * 257: "d"}, id="scope name too long"),
        pytest.param("i", {"a/b": "d"}, id="slash in scope name"),
        pytest.param("i", {"a": ""}, id="no description"),
        pytest.param("i", {"a": "d" * 257}, id="description too long"),
        pytest.param("i", ["a"], id="scopes not a mapping"),
        pytest.param("i", {str(number): "d" for number in range(101)}, id="too many scopes"),
    ],
)
def test_values_that_cognito_refuses_for_a_resource_server_are_refused(identifier: Any, scopes: Any) -> None:
    with pytest.raises(ConfigurationError):
        LocalPool().add_resource_server(identifier, scopes)


def test_an_identifier_can_be_used_once(pool: LocalPool) -> None:
    with pytest.raises(ConfigurationError, match="orders already exists in user pool"):
        pool.add_resource_server("orders", {})


def test_scopes_of_a_deleted_resource_server_are_no_longer_granted(pool: LocalPool) -> None:
    pool.add_resource_server("stock", {"read": "Read"})
    client = pool.add_client(client_id="both", scopes=["orders/order.read", "stock/read"])

    pool.delete_resource_server("stock")

    assert pool.scopes_of(client) == ("orders/order.read",)
    assert verified(pool, pool.mint(client_id="both"))["scope"] == "orders/order.read"
    with pytest.raises(ConfigurationError, match="no resource server"):
        pool.delete_resource_server("stock")


# Clients


def test_a_client_has_a_random_id_of_26_characters_and_a_random_secret(pool: LocalPool) -> None:
    clients = [pool.add_client(scopes=["orders/order.read"]) for _ in range(2)]

    assert re.fullmatch("[a-z0-9]{26}", clients[0].client_id)
    assert re.fullmatch("[a-z0-9]{52}", clients[0].secret)
    assert clients[0].client_id != clients[1].client_id
    assert clients[0].secret != clients[1].secret
    assert pool.clients[1:] == tuple(clients)
    assert pool.find_client(clients[0].client_id) is clients[0]
    assert pool.find_client("other") is None


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"client_id": "c" * 128, "name": "n" * 128}, id="longest names"),
        pytest.param({"client_id": "_+9"}, id="odd client id"),
        pytest.param({"secrets": ["s" * 24]}, id="shortest secret"),
        pytest.param({"secrets": ["s" * 64, "+_" * 20]}, id="longest secret and another"),
        pytest.param({"access_token_validity": 300}, id="shortest validity"),
        pytest.param({"access_token_validity": 86400}, id="longest validity"),
        pytest.param({"allowed_flows": ["code", "implicit"], "scopes": ["openid"], "secrets": ()}, id="public client"),
        pytest.param({"allowed_flows": [], "scopes": []}, id="no flows"),
        pytest.param({"scopes": [f"many/{number}" for number in range(50)]}, id="most scopes"),
    ],
)
def test_values_that_cognito_accepts_for_a_client_are_accepted(pool: LocalPool, settings: dict[str, Any]) -> None:
    pool.add_resource_server("many", {str(number): "d" for number in range(51)})

    assert pool.add_client(**READER | settings) in pool.clients


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"client_id": ""}, "client id", id="empty client id"),
        pytest.param({"client_id": "c" * 129}, "client id", id="client id too long"),
        pytest.param({"client_id": "a-b"}, "client id", id="hyphen in client id"),
        pytest.param({"client_id": "ä"}, "client id", id="client id not ascii"),
        pytest.param({"client_id": "reader"}, "already", id="client id taken"),
        pytest.param({"name": ""}, "name", id="no name"),
        pytest.param({"name": "n" * 129}, "name", id="name too long"),
        pytest.param({"name": "a/b"}, "name", id="slash in name"),
        pytest.param({"secrets": ["s" * 23]}, "secret", id="secret too short"),
        pytest.param({"secrets": ["s" * 65]}, "secret", id="secret too long"),
        pytest.param({"secrets": ["s" * 23 + "-"]}, "secret", id="hyphen in secret"),
        pytest.param({"secrets": "s" * 24}, "secrets", id="secrets a single string"),
        pytest.param({"secrets": ["s" * 24, "t" * 24, "u" * 24]}, "at most 2", id="three secrets"),
        pytest.param(
            {"secrets": []},
            "client_credentials flow can not be selected if client does not have a client secret.",
            id="no secret",
        ),
        pytest.param({"access_token_validity": 299}, "5 minutes", id="validity too short"),
        pytest.param({"access_token_validity": 86401}, "1 day", id="validity too long"),
        pytest.param({"access_token_validity": 600.5}, "seconds", id="validity not whole"),
        pytest.param(
            {"allowed_flows": ["client_credentials", "code"]},
            "client_credentials flow can not be selected along with code flow or implicit flow.",
            id="two kinds of flows",
        ),
        pytest.param({"allowed_flows": ["password"]}, "password", id="unknown flow"),
        pytest.param({"scopes": "orders/order.read"}, "scopes", id="scopes a single string"),
        pytest.param({"scopes": []}, "AllowedOAuthFlows and AllowedOAuthScopes are required", id="no scopes"),
        pytest.param({"scopes": ["orders/none"]}, "Invalid scope requested: orders/none", id="unknown scope"),
        pytest.param({"scopes": ["a b"]}, "a scope must match", id="malformed scope"),
        pytest.param(
            {"scopes": ["openid"]}, "openid is not supported with client_credentials flow", id="scope for users"
        ),
        pytest.param({"scopes": [f"many/{number}" for number in range(51)]}, "at most 50", id="too many scopes"),
    ],
)
def test_values_that_cognito_refuses_for_a_client_are_refused(
    pool: LocalPool, settings: dict[str, Any], message: str
) -> None:
    pool.add_resource_server("many", {str(number): "d" for number in range(51)})

    with pytest.raises(ConfigurationError, match=re.escape(message)):
        pool.add_client(**READER | settings)
    assert len(pool.clients) == 1


def test_a_refused_secret_is_not_in_the_message(pool: LocalPool) -> None:
    with pytest.raises(ConfigurationError) as refused:
        pool.clients[0].add_secret("hunter2-hunter2-hunter2-hunter2")

    assert "hunter2" not in str(refused.value)


def test_a_secret_is_rotated_by_adding_one_and_deleting_the_other(pool: LocalPool) -> None:
    client = pool.clients[0]
    old = client.secrets[0]
    new = client.add_secret("new_secret_" * 4)

    assert client.secrets == (old, new)
    assert client.secret == new.value == "new_secret_" * 4
    assert client.accepts(old.value)
    assert client.accepts(new.value)
    with pytest.raises(ConfigurationError, match="at most 2"):
        client.add_secret()

    client.delete_secret(old.id)

    assert not client.accepts(old.value)
    assert client.accepts(new.value)
    with pytest.raises(ConfigurationError, match="last secret"):
        client.delete_secret(new.id)
    with pytest.raises(ConfigurationError, match="no secret with the id"):
        client.delete_secret(old.id)


def test_the_id_of_a_secret_says_client_and_time_and_is_its_own_even_within_a_second(pool: LocalPool) -> None:
    client = pool.clients[0]
    client.add_secret()

    assert [secret.id for secret in client.secrets] == [f"reader--{NOW}", f"reader--{NOW + 1}"]


def test_a_public_client_is_accepted_without_a_secret_only(pool: LocalPool) -> None:
    public = pool.add_client(allowed_flows=["code"], scopes=["openid"], secrets=())

    assert public.accepts(None)
    assert not public.accepts("")
    assert not pool.clients[0].accepts(None)
    with pytest.raises(ConfigurationError, match="has no secret"):
        _ = public.secret


def test_printed_objects_show_no_secret(pool: LocalPool, pool_keys: PoolKeys) -> None:
    client = pool.clients[0]
    printed = repr([pool, client, client.secrets, pool.keys])

    assert "eu-central-1_AbCdEf123" in printed
    assert "reader" in printed
    assert pool_keys.access.kid in printed
    assert client.secret not in printed


# Keys


def test_the_key_set_is_written_as_cognito_writes_it(pool: LocalPool, pool_keys: PoolKeys) -> None:
    keys = pool.jwks()["keys"]

    assert [key["kid"] for key in keys] == [pool_keys.identity.kid, pool_keys.access.kid]
    for key in keys:
        assert list(key) == ["alg", "e", "kid", "kty", "n", "use"]
        assert (key["alg"], key["e"], key["kty"], key["use"]) == ("RS256", "AQAB", "RSA", "sig")
        assert len(base64.urlsafe_b64decode(key["n"] + "==")) == 256
    assert json.loads(json.dumps(pool.jwks())) == pool.jwks()


def test_after_rotation_new_keys_sign_and_old_tokens_stay_good(pool: LocalPool, pool_keys: PoolKeys) -> None:
    old = pool.mint()

    new_keys = pool.rotate()

    assert pool.keys is new_keys
    assert len(pool.jwks()["keys"]) == 4
    assert jwt.get_unverified_header(pool.mint())["kid"] == new_keys.access.kid != pool_keys.access.kid
    assert verified(pool, old)
    assert verified(pool, pool.mint())


def test_a_withdrawn_key_is_no_longer_published_but_still_signs(pool: LocalPool, pool_keys: PoolKeys) -> None:
    pool.withdraw(pool_keys.access.kid)

    assert [key["kid"] for key in pool.jwks()["keys"]] == [pool_keys.identity.kid]
    assert jwt.get_unverified_header(pool.mint())["kid"] == pool_keys.access.kid
    with pytest.raises(ConfigurationError, match="publishes no key"):
        pool.withdraw(pool_keys.access.kid)


def test_a_replaced_key_has_the_old_name_and_signs_what_the_old_one_signed(
    pool: LocalPool, pool_keys: PoolKeys
) -> None:
    old = pool.mint()

    new = pool.replace(pool_keys.access.kid)

    assert new.kid == pool_keys.access.kid
    assert pool.keys == PoolKeys(access=new, identity=pool_keys.identity)
    assert verified(pool, pool.mint())
    with pytest.raises(jwt.InvalidSignatureError):
        verified(pool, old)
    with pytest.raises(ConfigurationError, match="publishes no key"):
        pool.replace("made-up")


# For the guard


def test_a_user_pool_without_a_url_starts_with_the_present_keys(pool: LocalPool) -> None:
    configured = pool.user_pool()

    assert configured.pool_id == "eu-central-1_AbCdEf123"
    assert configured.client_ids == frozenset({"reader"})
    assert configured.jwks == pool.jwks()
    assert ISSUER in configured.issuers
    assert len(configured.issuers) == 2
    assert configured.token_url is None


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:9229", "http://127.0.0.1:9229/"])
def test_a_user_pool_with_a_url_takes_keys_and_tokens_from_there(pool: LocalPool, base_url: str) -> None:
    configured = pool.user_pool(base_url)

    assert configured.jwks is None
    assert configured.jwks_urls == ("http://127.0.0.1:9229/eu-central-1_AbCdEf123/.well-known/jwks.json",)
    assert configured.token_url == "http://127.0.0.1:9229/oauth2/token"


def test_user_pool_keeps_the_pools_issuer_and_takes_options(pool_keys: PoolKeys) -> None:
    pool = LocalPool(issuer="http://127.0.0.1:9229/eu-central-1_LocalPool0", keys=pool_keys)

    configured = pool.user_pool(client_ids={"other"}, audience="https://api.example.com")

    assert configured.issuers == (pool.issuer,)
    assert configured.client_ids == frozenset({"other"})
    assert configured.audience == {"https://api.example.com"}
    with pytest.raises(ConfigurationError, match="client_ids"):
        pool.user_pool()
