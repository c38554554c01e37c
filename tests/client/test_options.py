"""The options of a client, and its status and events."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from cognito_guard.client import ClientCredentials, TokenBought, TokenEvent, TokenRequestError
from cognito_guard.client._credentials import PRICE
from cognito_guard.errors import ConfigurationError

Make = Callable[..., ClientCredentials]
Settle = Callable[[], None]

ENVIRON = {
    "COGNITO_TOKEN_URL": "https://orders.auth.example/oauth2/token",
    "COGNITO_CLIENT_ID": "a0client",
    "COGNITO_CLIENT_SECRET": "the_secret",
}


@pytest.mark.parametrize(
    "url",
    [
        "",
        "orders.auth.example/oauth2/token",
        "ftp://orders.auth.example/oauth2/token",
        "https:///oauth2/token",
        "https://user:pass@orders.auth.example/oauth2/token",
        "https://orders.auth.example/oauth2/token?x=y",
        "https://orders.auth.example/oauth2/token#x",
        "https://orders.auth.example:99999/oauth2/token",
        "https://orders.auth.example:0/oauth2/token",
        "https://orders.auth.example/oauth2/ token",
        "https://orders.auth.example/\u00f6auth2/token",
        "https://orders.auth.example/\noauth2/token",
        "https://[::1/oauth2/token",
        None,
    ],
)
def test_an_invalid_token_endpoint_is_refused(make_client: Make, url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^token_url must be the absolute URL of the token endpoint"):
        make_client(token_url=url)


@pytest.mark.parametrize("url", ["http://orders.auth.example/oauth2/token", "http://10.0.0.1/oauth2/token"])
def test_a_secret_is_not_sent_in_the_clear(make_client: Make, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^token_url must be an https:// URL, because the client secret"):
        make_client(token_url=url)

    assert make_client(token_url=url, allow_insecure_http=True)


@pytest.mark.parametrize("host", ["127.0.0.1:9229", "localhost", "[::1]:9229"])
def test_a_secret_may_be_sent_over_loopback(make_client: Make, host: str) -> None:
    assert make_client(token_url=f"http://{host}/oauth2/token")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"client_id": ""}, "client_id must be an app client id"),
        ({"client_id": "two words"}, "client_id must be an app client id"),
        ({"client_id": "x" * 129}, "client_id must be an app client id"),
        ({"client_id": None}, "client_id must be an app client id"),
        ({"scopes": "orders/order.read"}, "scopes must be a collection of scopes"),
        ({"scopes": ["two words"]}, "scopes must be a collection of scopes"),
        ({"scopes": [""]}, "scopes must be a collection of scopes"),
        ({"scopes": ['a"b']}, "scopes must be a collection of scopes"),
        ({"scopes": [7]}, "scopes must be a collection of scopes"),
        ({"resource": ""}, "resource must be a resource server identifier"),
        ({"resource": ["a", ""]}, "resource must be a resource server identifier"),
        ({"resource": [7]}, "resource must be a resource server identifier"),
        ({"resource": "a\nb"}, "resource must be a resource server identifier"),
        ({"aws_client_metadata": {"a": 1}}, "aws_client_metadata must be a mapping of strings to strings"),
        ({"aws_client_metadata": {1: "a"}}, "aws_client_metadata must be a mapping of strings to strings"),
        ({"aws_client_metadata": "a=b"}, "aws_client_metadata must be a mapping of strings to strings"),
        ({"hosts": "api.example"}, "hosts must be a non-empty collection of host names"),
        ({"hosts": []}, "hosts must be a non-empty collection of host names"),
        ({"hosts": [""]}, "hosts must be a non-empty collection of host names"),
        ({"hosts": [7]}, "hosts must be a non-empty collection of host names"),
        ({"hosts": ["https://api.example"]}, "hosts must be a non-empty collection of host names"),
        ({"hosts": ["api.example:8443"]}, "hosts must be a non-empty collection of host names"),
        ({"hosts": ["api.example/orders"]}, "hosts must be a non-empty collection of host names"),
        ({"hosts": ["not:an:address"]}, "hosts must be a non-empty collection of host names"),
        ({"timeout": 0}, "timeout must be a number of seconds, 0.001 or more; got 0"),
        ({"timeout": -1}, "timeout must be a number of seconds"),
        ({"timeout": True}, "timeout must be a number of seconds"),
        ({"timeout": "10"}, "timeout must be a number of seconds"),
        ({"timeout": float("inf")}, "timeout must be a number of seconds"),
        ({"timeout": float("nan")}, "timeout must be a number of seconds"),
        ({"store_timeout": -0.1}, "store_timeout must be a number of seconds, 0 or more"),
        ({"price": -1}, "price must be a number of US dollars, 0 or more"),
        ({"credentials_in": "query"}, "credentials_in must be 'body' or 'header'; got 'query'"),
    ],
    ids=str,
)
def test_an_invalid_option_is_refused(make_client: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_client(**options)

    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("secret", ["", [], ["a", "b", "c"], [""], b"bytes", None, ["a", None], "n\u00f6n", "a\nb"])
def test_an_invalid_secret_is_refused_without_showing_it(make_client: Make, secret: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^client_secret must be a non-empty string") as caught:
        make_client(client_secret=secret)

    assert str(caught.value).endswith(f"got a value of type {type(secret).__name__}")


def test_an_ipv6_address_is_a_host(make_client: Make, api: Any) -> None:
    assert api.client(make_client(hosts={"::1"})).get("https://[::1]:8443/").status_code == 200


# Environment variables


def test_variables_describe_a_client() -> None:
    client = ClientCredentials.from_env(ENVIRON | {"COGNITO_SCOPES": "orders/order.write, orders/order.read"})

    assert repr(client) == (
        "ClientCredentials('https://orders.auth.example/oauth2/token', client_id='a0client', "
        "scopes=('orders/order.read', 'orders/order.write'))"
    )


@pytest.mark.parametrize("name", sorted(ENVIRON))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_variable_is_reported(name: str, value: str | None) -> None:
    environ = {**ENVIRON, name: value}

    with pytest.raises(ConfigurationError, match=f"the environment variable {name} is not set"):
        ClientCredentials.from_env({key: each for key, each in environ.items() if each is not None})


def test_every_setting_has_a_variable(endpoint: Any) -> None:
    environ = ENVIRON | {
        "COGNITO_TOKEN_URL": " http://cognito.internal/oauth2/token ",
        "COGNITO_CLIENT_SECRET_2": "the_second_secret",
        "COGNITO_SCOPES": "a/b",
        "COGNITO_RESOURCE": "orders",
        "COGNITO_ALLOW_INSECURE_HTTP": "1",
    }
    endpoint.say(400, {"error": "invalid_client"})
    with pytest.raises(TokenRequestError):
        ClientCredentials.from_env(environ, transport=endpoint).token_sync()

    assert str(endpoint.requests[0].url) == "http://cognito.internal/oauth2/token"
    assert endpoint.forms == [
        {
            "grant_type": "client_credentials",
            "scope": "a/b",
            "resource": "orders",
            "client_id": "a0client",
            "client_secret": secret,
        }
        for secret in ("the_secret", "the_second_secret")
    ]


@pytest.mark.parametrize("value", ["0", " ", ""])
def test_plain_http_is_off(value: str) -> None:
    with pytest.raises(ConfigurationError, match="https"):
        ClientCredentials.from_env(
            ENVIRON | {"COGNITO_TOKEN_URL": "http://x.example/token", "COGNITO_ALLOW_INSECURE_HTTP": value}
        )


@pytest.mark.parametrize("value", ["true", "yes", "01", "-1"])
def test_a_switch_that_is_neither_1_nor_0_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"COGNITO_ALLOW_INSECURE_HTTP must be 1, 0 or not set, got '{value}'"):
        ClientCredentials.from_env(ENVIRON | {"COGNITO_ALLOW_INSECURE_HTTP": value})


def test_arguments_override_variables() -> None:
    assert "scopes=('c/d',)" in repr(ClientCredentials.from_env(ENVIRON | {"COGNITO_SCOPES": "a/b"}, scopes=["c/d"]))


# Status and events


def test_status_and_events_show_the_cost(
    make_client: Make, clock: Any, settle: Settle, caplog: pytest.LogCaptureFixture, reader: Any
) -> None:
    caplog.set_level(logging.INFO, "cognito_guard.client")
    events: list[TokenEvent] = []
    client = make_client(on_event=events.append, scopes=["orders/order.read"])
    before = client.status()
    for _ in range(1000):
        client.token_sync()
    clock.advance(0.76 * 3600)
    client.token_sync()
    settle()
    after = client.status()

    assert (before.bought, before.reused, before.spent, before.expires_at) == (0, 0, 0.0, None)
    assert (after.bought, after.reused, after.spent) == (2, 999, 2 * PRICE)
    assert (after.shared, after.failed, after.last_error, after.store_away) == (0, 0, None, False)
    assert events == [
        TokenBought(reader.client_id, ("orders/order.read",), 3600.0, 1, 0, PRICE),
        TokenBought(reader.client_id, ("orders/order.read",), 3600.0, 2, 999, 2 * PRICE),
    ]
    assert (
        f"bought an access token for client {reader.client_id}, good for 3600 s; "
        "2 bought so far for 0.00450, 999 calls reused one" in caplog.text
    )


def test_reading_the_status_does_not_count_as_a_call(client: ClientCredentials) -> None:
    client.token_sync()
    client.token_sync()

    assert [client.status().reused for _ in range(5)] == [1] * 5


def test_status_forgets_a_token_that_expired(client: ClientCredentials, clock: Any) -> None:
    client.token_sync()
    clock.advance(3599.999)
    assert client.status().expires_at is not None
    clock.advance(0.001)
    assert client.status().expires_at is None


def test_a_success_ends_the_last_error(make_client: Make, endpoint: Any, timer: Any) -> None:
    client = make_client()
    endpoint.say(400, {"error": "invalid_scope"})
    with pytest.raises(TokenRequestError):
        client.token_sync()
    assert client.status().last_error == "invalid_scope"

    endpoint.recover()
    timer.advance(60)
    client.token_sync()
    assert (client.status().last_error, client.status().failed) == (None, 1)


def test_another_price_counts(make_client: Make) -> None:
    client = make_client(price=1)
    client.token_sync()

    assert client.status().spent == 1.0


def test_an_event_handler_that_fails_does_not_lose_the_token(
    make_client: Make, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(event: TokenEvent) -> None:
        raise ZeroDivisionError(event)

    assert make_client(on_event=fail).token_sync()
    assert "on_event raised ZeroDivisionError" in caplog.text
