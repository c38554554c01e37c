"""UserPool: what follows from an id, and what is refused at start-up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cognito_guard import ANY_CLIENT, UserPool
from cognito_guard.errors import ConfigurationError

ID = "eu-central-1_AbCdEf123"


def test_everything_follows_from_the_id() -> None:
    pool = UserPool(ID, client_ids={"client"})

    assert pool.region == "eu-central-1"
    assert pool.issuer == f"https://cognito-idp.eu-central-1.amazonaws.com/{ID}"
    assert pool.issuers == (pool.issuer, f"https://issuer-cognito-idp.eu-central-1.amazonaws.com/{ID}")
    assert pool.jwks_urls == tuple(f"{issuer}/.well-known/jwks.json" for issuer in pool.issuers)
    assert pool.client_ids == frozenset({"client"})
    assert (pool.token_url, pool.audience, pool.jwks) == (None, frozenset(), None)


@pytest.mark.parametrize(
    ("region", "suffix"),
    [
        ("us-east-1", "amazonaws.com"),
        ("ap-southeast-12", "amazonaws.com"),
        ("us-gov-west-1", "amazonaws.com"),
        ("cn-north-1", "amazonaws.com.cn"),
        ("eusc-de-east-1", "amazonaws.eu"),
        ("us-iso-east-1", "c2s.ic.gov"),
        ("us-isob-east-1", "sc2s.sgov.gov"),
        ("eu-isoe-west-1", "cloud.adc-e.uk"),
        ("us-isof-south-1", "csp.hci.ic.gov"),
    ],
)
def test_each_partition_has_its_own_suffix(region: str, suffix: str) -> None:
    pool = UserPool(f"{region}_AbC", client_ids=ANY_CLIENT)

    assert pool.issuer == f"https://cognito-idp.{region}.{suffix}/{region}_AbC"


@pytest.mark.parametrize(
    "pool_id",
    [
        "",
        "eu-central-1",
        "AbCdEf123",
        "eu-central-1_",
        "eu-central-1_AbC/../x",
        "eu-central-1_AbC\n",
        " eu-central-1_AbC",
        "eu central-1_AbC",
        "EU-CENTRAL-1_AbC",
        "example.com/x?_AbC",
        "us-unknown-east-1_AbC",
        "arn:aws:cognito-idp:eu-central-1:123456789012:userpool/eu-central-1_AbC",
        "7lhlkkfbfb4q5kpp90urffao",
        "eu-central-1_" + "a" * 43,
        None,
        b"eu-central-1_AbC",
    ],
)
def test_what_is_not_a_pool_id_is_refused_with_a_hint(pool_id: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"AWS console|not an AWS region"):
        UserPool(pool_id, client_ids={"client"})


def test_the_longest_pool_id_is_taken() -> None:
    assert UserPool("eu-central-1_" + "a" * 42, client_ids=ANY_CLIENT).region == "eu-central-1"


@pytest.mark.parametrize(
    "client_ids", ["client", b"client", "", set(), [], None, {""}, {"two words"}, {"a,b "}, [None], 5, {"tab\t"}]
)
def test_client_ids_must_be_a_collection_of_ids(client_ids: Any) -> None:
    with pytest.raises(ConfigurationError, match="client_ids must"):
        UserPool(ID, client_ids=client_ids)


def test_issuers_are_taken_as_they_are_given() -> None:
    pool = UserPool(ID, client_ids=ANY_CLIENT, issuers=["https://issuer.example/pool"])

    assert pool.issuers == ("https://issuer.example/pool",)
    assert pool.jwks_urls == ("https://issuer.example/pool/.well-known/jwks.json",)


@pytest.mark.parametrize(
    "issuers", ["https://a.example", [], ["https://a.example/"], ["a.example"], ["ftp://a.example"], [None], [""]]
)
def test_issuers_must_be_a_collection_of_urls(issuers: Any) -> None:
    with pytest.raises(ConfigurationError, match="issuers must"):
        UserPool(ID, client_ids=ANY_CLIENT, issuers=issuers)


def test_replica_regions_add_their_issuers() -> None:
    pool = UserPool(ID, client_ids=ANY_CLIENT, replica_regions=["us-east-1"])

    assert pool.issuers[2:] == (f"https://cognito-idp.us-east-1.amazonaws.com/{ID}",)


@pytest.mark.parametrize("regions", ["us-east-1", ["us_east_1"], ["x.example/"], [1]])
def test_replica_regions_must_be_regions(regions: Any) -> None:
    with pytest.raises(ConfigurationError, match="region"):
        UserPool(ID, client_ids=ANY_CLIENT, replica_regions=regions)


@pytest.mark.parametrize("option", ["jwks_url", "token_url"])
@pytest.mark.parametrize(
    "url",
    [
        "https://keys.example/jwks.json",
        "http://localhost:9229/jwks.json",
        "http://127.0.0.1/jwks.json",
        "http://127.8.9.1/jwks.json",
        "http://[::1]:80/jwks.json",
    ],
)
def test_urls_are_https_or_loopback(option: str, url: str) -> None:
    options: Any = {option: url}
    pool = UserPool(ID, client_ids=ANY_CLIENT, **options)

    assert url in {*pool.jwks_urls, pool.token_url}


@pytest.mark.parametrize("option", ["jwks_url", "token_url"])
@pytest.mark.parametrize(
    "url",
    [
        "http://keys.example/jwks.json",
        "http://10.0.0.1/jwks.json",
        "http://127.0.0.1.example/jwks.json",
        "http://localhost.example/jwks.json",
        "http://127.0.0.1@keys.example/jwks.json",
        "https://user:secret@keys.example/jwks.json",
        "https:///jwks.json",
        "https://keys.example/jwks.json#part",
        "https://keys.example/a b",
        "https://keys.example/\n",
        "https://keys.ex\u00e4mple/jwks.json",
        "https://[::1/jwks.json",
        "file:///etc/passwd",
        "keys.example/jwks.json",
        "",
        5,
    ],
)
def test_other_urls_are_refused(option: str, url: Any) -> None:
    options: Any = {option: url}
    with pytest.raises(ConfigurationError, match=f"{option} must be"):
        UserPool(ID, client_ids=ANY_CLIENT, **options)


def test_an_http_issuer_off_loopback_needs_a_jwks_url_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="https://"):
        UserPool(ID, client_ids=ANY_CLIENT, issuers=["http://cognito.internal/pool"])

    pool = UserPool(
        ID, client_ids=ANY_CLIENT, issuers=["http://cognito.internal/pool"], jwks_url="http://localhost/jwks"
    )
    assert pool.issuer == "http://cognito.internal/pool"


@pytest.mark.parametrize("audience", ["api", ["api"], {"api"}])
def test_one_audience_may_be_a_string(audience: Any) -> None:
    assert UserPool(ID, client_ids=ANY_CLIENT, audience=audience).audience == frozenset({"api"})


@pytest.mark.parametrize("audience", ["", [], [""], [None]])
def test_an_audience_must_name_something(audience: Any) -> None:
    with pytest.raises(ConfigurationError, match="audience must"):
        UserPool(ID, client_ids=ANY_CLIENT, audience=audience)


def test_a_saved_key_set_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": []}))

    assert UserPool(ID, client_ids=ANY_CLIENT, jwks=path).jwks == {"keys": []}
    assert UserPool(ID, client_ids=ANY_CLIENT, jwks=str(path)).jwks == {"keys": []}
    assert UserPool(ID, client_ids=ANY_CLIENT, jwks={"keys": []}).jwks == {"keys": []}


@pytest.mark.parametrize("content", [b"", b"\xff", b"[]", b"[" * 100_000, None])
def test_a_file_that_is_no_key_set_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "jwks.json"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match="jwks"):
        UserPool(ID, client_ids=ANY_CLIENT, jwks=path)


def test_the_environment_describes_a_pool() -> None:
    pool = UserPool.from_env(
        {
            "COGNITO_USER_POOL_ID": f" {ID} ",
            "COGNITO_CLIENT_IDS": "one, two,",
            "COGNITO_ISSUER": "https://issuer.example/pool",
            "COGNITO_JWKS_URL": "http://127.0.0.1:9229/jwks.json",
            "COGNITO_TOKEN_URL": "https://orders.auth.eu-central-1.amazoncognito.com/oauth2/token",
        }
    )

    assert pool.pool_id == ID
    assert pool.client_ids == frozenset({"one", "two"})
    assert pool.issuers == ("https://issuer.example/pool",)
    assert pool.jwks_urls == ("http://127.0.0.1:9229/jwks.json",)
    assert pool.token_url == "https://orders.auth.eu-central-1.amazoncognito.com/oauth2/token"


def test_the_environment_may_leave_the_rest_to_the_id() -> None:
    pool = UserPool.from_env({"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": "one", "COGNITO_ISSUER": ""})

    assert len(pool.issuers) == 2
    assert pool.token_url is None


@pytest.mark.parametrize("missing", ["COGNITO_USER_POOL_ID", "COGNITO_CLIENT_IDS"])
@pytest.mark.parametrize("value", [None, "", " "])
def test_a_missing_variable_is_named(missing: str, value: str | None) -> None:
    environ = {"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": "one"}
    environ.pop(missing)
    if value is not None:
        environ[missing] = value

    with pytest.raises(ConfigurationError, match=missing):
        UserPool.from_env(environ)


def test_client_ids_of_commas_alone_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="client_ids must"):
        UserPool.from_env({"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": ","})


def test_a_pool_shows_which_one_it_is() -> None:
    assert repr(UserPool(ID, client_ids=ANY_CLIENT)) == f"UserPool('{ID}', client_ids={ANY_CLIENT!r})"
