"""Scopes, in full and in short."""

from __future__ import annotations

from typing import Any

import pytest

from cognito_guard._grammar import check_scope, full_scope, resource_server_of
from cognito_guard.errors import ConfigurationError


@pytest.mark.parametrize(
    ("scope", "identifier"),
    [
        ("orders/order.read", "orders"),
        ("https://api.example.com/read", "https://api.example.com"),
        ("https://api.example.com/admin/read", "https://api.example.com/admin"),
        ("https://api.example.com//read", "https://api.example.com/"),
        ("aws.cognito/dcr/register", "aws.cognito/dcr"),
        ("openid", ""),
        ("aws.cognito.signin.user.admin", ""),
    ],
)
def test_a_scope_belongs_to_the_text_before_its_last_slash(scope: str, identifier: str) -> None:
    assert resource_server_of(scope) == identifier


@pytest.mark.parametrize("identifier", ["orders", "https://api.example.com"])
def test_a_short_scope_belongs_to_the_only_resource_server(identifier: str) -> None:
    assert full_scope("order.read", identifier) == f"{identifier}/order.read"


@pytest.mark.parametrize("scope", ["openid", "email", "phone", "profile", "aws.cognito.signin.user.admin"])
@pytest.mark.parametrize("identifier", ["orders", None])
def test_cognitos_own_scopes_are_full(scope: str, identifier: str | None) -> None:
    assert full_scope(scope, identifier) == scope


@pytest.mark.parametrize("scope", ["billing/read", "orders/order.read", "https://api.example.com/read", "a/", "/a"])
@pytest.mark.parametrize("identifier", ["orders", None])
def test_a_scope_with_a_slash_is_full(scope: str, identifier: str | None) -> None:
    assert full_scope(scope, identifier) == scope


def test_a_short_scope_without_a_resource_server_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'order\.read' is a short scope.*resource_servers=\{'orders'\}"):
        full_scope("order.read", None)


def test_another_issuer_may_write_short_scopes() -> None:
    assert full_scope("order.read", None, allow_short=True) == "order.read"
    assert full_scope("order.read", "orders", allow_short=True) == "orders/order.read"


@pytest.mark.parametrize("scope", ["", "two words", 'quo"te', None, 5, ["a/b"]])
def test_an_invalid_scope_is_refused(scope: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a scope"):
        full_scope(scope, "orders", allow_short=True)


@pytest.mark.parametrize("scope", ["", "a b", " a", "a\t", "a\n", 'a"', "a\\", "\u00e4", None, 5, ["a"], lambda: None])
def test_a_value_that_is_not_one_scope_is_refused(scope: object) -> None:
    with pytest.raises(ConfigurationError, match="is not a scope"):
        check_scope(scope)


def test_a_scope_may_be_a_url() -> None:
    assert check_scope("https://api.example.com/order.read") == "https://api.example.com/order.read"
