"""From errors to challenges (RFC 6750)."""

from __future__ import annotations

import pytest

from cognito_guard._refusals.challenge import challenge, check_realm
from cognito_guard.errors import (
    BearerError,
    ClaimError,
    ConfigurationError,
    ExpiredTokenError,
    InsufficientScopeError,
    InvalidRequestError,
    MissingTokenError,
)


@pytest.mark.parametrize(
    ("error", "realm", "expected"),
    [
        (MissingTokenError(), None, "Bearer"),
        (MissingTokenError(), "orders", 'Bearer realm="orders"'),
        (
            ExpiredTokenError(),
            "orders",
            'Bearer realm="orders", error="invalid_token", error_description="The access token has expired."',
        ),
        (InvalidRequestError("repeated_header"), None, 'Bearer error="invalid_request", error_description="{}"'),
        (ClaimError("client_id"), None, 'Bearer error="invalid_token", error_description="{}"'),
        (InsufficientScopeError("group"), None, 'Bearer error="insufficient_scope", error_description="{}"'),
        (
            InsufficientScopeError("scope", ("a/b", "c/d")),
            None,
            'Bearer error="insufficient_scope", error_description="{}", scope="a/b c/d"',
        ),
    ],
)
def test_the_challenge_is_spelled_as_the_rfc_wants(error: BearerError, realm: str | None, expected: str) -> None:
    assert challenge(error, realm) == expected.format(error.description)


@pytest.mark.parametrize("realm", ["", 'a"b', "a\\b", "a\nb", "\u00e4", 5])
def test_a_realm_that_cannot_be_quoted_is_refused(realm: str) -> None:
    with pytest.raises(ConfigurationError, match="realm must"):
        check_realm(realm)


def test_a_plain_realm_is_accepted() -> None:
    assert check_realm("Orders API, v2") == "Orders API, v2"
    assert check_realm(None) is None
