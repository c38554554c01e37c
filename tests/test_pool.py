"""UserPool: what follows from an id, and what is refused at start-up."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from cognito_guard import ANY_CLIENT, UserPool
from cognito_guard._pool import common_resource_server
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
def test_an_invalid_pool_id_is_refused_with_a_hint(pool_id: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"AWS console|not an AWS region"):
        UserPool(pool_id, client_ids={"client"})


def test_the_longest_pool_id_is_accepted() -> None:
    assert UserPool("eu-central-1_" + "a" * 42, client_ids=ANY_CLIENT).region == "eu-central-1"


@pytest.mark.parametrize(
    "client_ids",
    [
        "client",
        b"client",
        "",
        set(),
        [],
        None,
        5,
        {""},
        [None],
        {"two words"},
        {"tab\t"},
        {" padded"},
        {"a,b"},
        '["a","b"]',
        ['["a"', '"b"]'],
        {"'quoted'"},
        {"the-name-of-a-client"},
        {"gr\u00f6\u00dfe"},
        {"a" * 129},
    ],
)
def test_an_invalid_client_id_is_refused_with_what_to_write(client_ids: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"client_ids must.*Write client_ids=\{'7lhl.*COGNITO_CLIENT_IDS="):
        UserPool(ID, client_ids=client_ids)


@pytest.mark.parametrize("client_ids", ["*", {"*"}, ["abc", "*"]])
def test_a_star_is_not_a_client_id(client_ids: Any) -> None:
    with pytest.raises(ConfigurationError, match="write client_ids=ANY_CLIENT"):
        UserPool(ID, client_ids=client_ids, issuers=["https://issuer.example"])


def test_the_longest_client_id_is_accepted() -> None:
    assert UserPool(ID, client_ids={"a" * 128, "a+b_C"}).client_ids == frozenset({"a" * 128, "a+b_C"})


def test_another_issuer_may_have_client_ids_of_another_form() -> None:
    pool = UserPool(ID, client_ids={"orders-worker.1"}, issuers=["https://issuer.example"])

    assert pool.has_own_issuers
    assert pool.client_ids == frozenset({"orders-worker.1"})
    with pytest.raises(ConfigurationError, match="client_ids must"):
        UserPool(ID, client_ids={'["a"'}, issuers=["https://issuer.example"])


@pytest.mark.parametrize(
    "identifier", ["orders", "https://api.example.com", "https://api.example.com/admin/", "a" * 256]
)
def test_a_resource_server_is_a_name_or_a_url(identifier: str) -> None:
    pool = UserPool(ID, client_ids=ANY_CLIENT, resource_servers=[identifier])

    assert pool.resource_servers == {identifier}
    assert repr(identifier) in repr(pool)


def test_resource_servers_need_not_be_named() -> None:
    assert UserPool(ID, client_ids=ANY_CLIENT).resource_servers == frozenset()


@pytest.mark.parametrize(
    "identifiers", ["orders", b"orders", "", [], set(), {""}, {"two words"}, {'"orders"'}, {"a" * 257}, [None], 5]
)
def test_resource_servers_must_be_a_collection_of_identifiers(identifiers: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"resource_servers must|identifier of a resource server must"):
        UserPool(ID, client_ids=ANY_CLIENT, resource_servers=identifiers)


@pytest.mark.parametrize(
    ("servers", "common"),
    [
        ([None], None),
        ([{"orders"}], "orders"),
        ([{"orders"}, {"orders"}], "orders"),
        ([{"orders", "billing"}], None),
        ([{"orders"}, {"billing"}], None),
        ([{"orders"}, None], None),
    ],
)
def test_pools_have_a_resource_server_in_common_if_it_is_the_only_one_of_each(
    servers: list[set[str] | None], common: str | None
) -> None:
    pools = [UserPool(ID, client_ids=ANY_CLIENT, resource_servers=each) for each in servers]

    assert common_resource_server(pools) == common


def test_issuers_are_kept_as_given() -> None:
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


@pytest.mark.parametrize(
    ("options", "region", "similar"),
    [
        ({}, "eu-centrall-1", "eu-central-1"),
        ({"replica_regions": ["us-eastt-2"]}, "us-eastt-2", "us-east-2"),
    ],
)
def test_a_region_that_aws_does_not_list_gets_a_warning(
    caplog: pytest.LogCaptureFixture, options: Any, region: str, similar: str
) -> None:
    pool = UserPool(ID if options else f"{region}_AbC", client_ids=ANY_CLIENT, **options)

    assert any(f".{region}." in issuer for issuer in pool.issuers)
    assert [(record.name, record.levelno) for record in caplog.records] == [("cognito_guard", logging.WARNING)]
    assert f"{pool.pool_id}: AWS lists no region '{region}'; did you mean '{similar}'?" in caplog.text


def test_a_region_that_resembles_no_other_gets_a_warning_without_a_guess(caplog: pytest.LogCaptureFixture) -> None:
    UserPool("zz-qqqqqqqqqqqqqqqqqqqq-77_AbC", client_ids=ANY_CLIENT)

    assert caplog.records[0].getMessage().endswith("AWS lists no region 'zz-qqqqqqqqqqqqqqqqqqqq-77'")


@pytest.mark.parametrize("region", ["us-east-1", "eusc-de-east-1", "us-gov-west-1", "us-isob-west-1", "ap-southeast-7"])
def test_a_region_that_aws_lists_gets_no_warning(caplog: pytest.LogCaptureFixture, region: str) -> None:
    UserPool(f"{region}_AbC", client_ids=ANY_CLIENT, replica_regions=[region])

    assert not caplog.records


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


def test_an_http_issuer_off_loopback_needs_its_own_jwks_url() -> None:
    with pytest.raises(ConfigurationError, match="https://"):
        UserPool(ID, client_ids=ANY_CLIENT, issuers=["http://cognito.internal/pool"])

    pool = UserPool(
        ID, client_ids=ANY_CLIENT, issuers=["http://cognito.internal/pool"], jwks_url="http://localhost/jwks"
    )
    assert pool.issuer == "http://cognito.internal/pool"


@pytest.mark.parametrize("option", ["jwks_url", "token_url"])
def test_plain_http_between_containers_has_to_be_allowed(option: str, caplog: pytest.LogCaptureFixture) -> None:
    options: Any = {option: "http://cognito:9229/jwks.json"}
    with pytest.raises(ConfigurationError, match=r"allow_insecure_http=True.*COGNITO_ALLOW_INSECURE_HTTP=1"):
        UserPool(ID, client_ids=ANY_CLIENT, **options)

    pool = UserPool(ID, client_ids=ANY_CLIENT, allow_insecure_http=True, **options)

    assert options[option] in {*pool.jwks_urls, pool.token_url}
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cognito_guard", logging.WARNING)
    assert f"{ID}: allow_insecure_http=True. Anyone between here and {options[option]} can" in record.getMessage()


def test_plain_http_may_be_allowed_for_an_issuer(caplog: pytest.LogCaptureFixture) -> None:
    pool = UserPool(ID, client_ids=ANY_CLIENT, issuers=["http://cognito:9229/pool"], allow_insecure_http=True)

    assert pool.jwks_urls == ("http://cognito:9229/pool/.well-known/jwks.json",)
    assert "http://cognito:9229/pool/.well-known/jwks.json" in caplog.text


@pytest.mark.parametrize("options", [{}, {"jwks_url": "http://127.0.0.1:9229/jwks.json"}])
def test_a_permission_for_plain_http_that_is_not_needed_gets_a_warning(
    options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    UserPool(ID, client_ids=ANY_CLIENT, allow_insecure_http=True, **options)

    assert "allow_insecure_http=True is not needed" in caplog.text


@pytest.mark.parametrize("url", ["ftp://cognito:9229", "http://user@cognito:9229", "http://cognito:9229/", ""])
def test_the_permission_is_for_plain_http_only(url: str) -> None:
    with pytest.raises(ConfigurationError, match="jwks_url must be an absolute URL"):
        UserPool(ID, client_ids=ANY_CLIENT, jwks_url=url, allow_insecure_http=True)


@pytest.mark.parametrize("value", ["1", "0", 1, 0, None])
def test_only_true_allows_plain_http(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="allow_insecure_http must be True or False"):
        UserPool(ID, client_ids=ANY_CLIENT, allow_insecure_http=value)


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
def test_a_file_that_is_not_a_key_set_is_refused(tmp_path: Path, content: bytes | None) -> None:
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
            "COGNITO_RESOURCE_SERVERS": "orders, https://api.example.com,",
            "COGNITO_AUDIENCE": "https://api.example.com, https://api.example.org",
        }
    )

    assert pool.pool_id == ID
    assert pool.client_ids == frozenset({"one", "two"})
    assert pool.issuers == ("https://issuer.example/pool",)
    assert pool.jwks_urls == ("http://127.0.0.1:9229/jwks.json",)
    assert pool.token_url == "https://orders.auth.eu-central-1.amazoncognito.com/oauth2/token"
    assert pool.resource_servers == {"orders", "https://api.example.com"}
    assert pool.audience == {"https://api.example.com", "https://api.example.org"}


def test_the_environment_names_replicas() -> None:
    environ = {
        "COGNITO_USER_POOL_ID": ID,
        "COGNITO_CLIENT_IDS": "one",
        "COGNITO_REPLICA_REGIONS": "us-east-1,us-west-2",
    }

    assert (
        UserPool.from_env(environ).issuers
        == UserPool(ID, client_ids={"one"}, replica_regions=["us-east-1", "us-west-2"]).issuers
    )


@pytest.mark.parametrize(("value", "allowed"), [("1", True), (" 1 ", True), ("0", False), ("", False), (None, False)])
def test_the_environment_may_allow_plain_http(value: str | None, allowed: bool) -> None:
    environ = {"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": "one", "COGNITO_JWKS_URL": "http://cognito:9229/jwks"}
    if value is not None:
        environ["COGNITO_ALLOW_INSECURE_HTTP"] = value

    if allowed:
        assert UserPool.from_env(environ).jwks_urls == ("http://cognito:9229/jwks",)
    else:
        with pytest.raises(ConfigurationError, match="COGNITO_ALLOW_INSECURE_HTTP=1"):
            UserPool.from_env(environ)


@pytest.mark.parametrize("value", ["true", "yes", "2", "no"])
def test_only_1_in_the_environment_allows_plain_http(value: str) -> None:
    environ = {"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": "one", "COGNITO_ALLOW_INSECURE_HTTP": value}
    with pytest.raises(ConfigurationError, match="COGNITO_ALLOW_INSECURE_HTTP must be 1"):
        UserPool.from_env(environ)


@pytest.mark.parametrize("name", ["ISSUER", "JWKS_URL", "TOKEN_URL", "RESOURCE_SERVERS", "AUDIENCE", "REPLICA_REGIONS"])
def test_an_empty_variable_is_not_set(name: str) -> None:
    environ = {"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": "one"}

    bare, blank = UserPool.from_env(environ), UserPool.from_env(environ | {f"COGNITO_{name}": " "})

    assert all(getattr(bare, slot) == getattr(blank, slot) for slot in UserPool.__slots__)


@pytest.mark.parametrize("name", ["RESOURCE_SERVERS", "AUDIENCE"])
def test_a_variable_with_only_commas_is_refused(name: str) -> None:
    environ = {"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": "one", f"COGNITO_{name}": ","}
    with pytest.raises(ConfigurationError, match=f"{name.lower()} must"):
        UserPool.from_env(environ)


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


@pytest.mark.parametrize("text", ['["a","b"]', "a b", "*", "{a}"])
def test_client_ids_in_the_environment_are_separated_by_commas(text: str) -> None:
    with pytest.raises(ConfigurationError, match="client_ids must"):
        UserPool.from_env({"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": text})


def test_client_ids_with_only_commas_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="client_ids must"):
        UserPool.from_env({"COGNITO_USER_POOL_ID": ID, "COGNITO_CLIENT_IDS": ","})


def test_a_pool_shows_which_one_it_is() -> None:
    assert repr(UserPool(ID, client_ids=ANY_CLIENT)) == f"UserPool('{ID}', client_ids={ANY_CLIENT!r})"
