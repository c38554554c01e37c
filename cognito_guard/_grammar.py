"""The grammar of scopes and of Cognito's names, and its limits (API reference of `cognito-idp`)."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from cognito_guard.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Form:
    """The form of one kind of name: a pattern for the whole name, and how many characters it may have."""

    what: str
    pattern: re.Pattern[str]
    longest: int
    shortest: int = 1

    def check(self, value: str) -> str:
        """
        Return *value* as it is.

        Raises:
            ConfigurationError: *value* is not a string, is too short or too long, or has a character that is not
                allowed.

        """
        if not isinstance(value, str):
            raise ConfigurationError(f"{self.what} must be a string, got {type(value).__name__}")
        if not self.shortest <= len(value) <= self.longest:
            raise ConfigurationError(
                f"{self.what} must have {self.shortest} to {self.longest} characters, got {len(value)}"
            )
        if not self.pattern.fullmatch(value):
            raise ConfigurationError(f"{self.what} must match {self.pattern.pattern}")
        return value


# No blank, quote or backslash: a scope token of RFC 6749 section 3.3.
_PRINTABLE: Final = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
_WORD: Final = re.compile(r"[\w+]+", re.ASCII)
# Any issuer's ids match. A list that was not parsed does not.
_ANY_CLIENT_ID: Final = re.compile(r"[^\s\[\](){}\"',]+")
_CLIENT_IDS: Final = (
    "Write client_ids={'7lhlkkfbfb4q5kpp90urffao'}, or COGNITO_CLIENT_IDS=<id>,<id> in the environment."
)

RESOURCE_SERVER_IDENTIFIER: Final = Form("the identifier of a resource server", _PRINTABLE, 256)
SCOPE_NAME: Final = Form("the name of a scope", re.compile(r"[\x21\x23-\x2E\x30-\x5B\x5D-\x7E]+"), 256)
SCOPE_DESCRIPTION: Final = Form("the description of a scope", re.compile(r".+", re.DOTALL), 256)
SCOPE: Final = Form("a scope", _PRINTABLE, 256)
CLIENT_ID: Final = Form("a client id", _WORD, 128)
CLIENT_NAME: Final = Form("the name of a client", re.compile(r"[\w\s+=,.@-]+"), 128)
CLIENT_SECRET: Final = Form("a client secret", _WORD, longest=64, shortest=24)

OWN_SCOPES: Final = frozenset({"openid", "email", "phone", "profile", "aws.cognito.signin.user.admin"})
"""The scopes that Cognito defines itself. They belong to no resource server."""


def check_strings(option: str, values: Collection[str], *, most: int | None = None) -> tuple[str, ...]:
    """
    Return *values* in their order, without duplicates.

    Raises:
        ConfigurationError: *values* is a single string or not a collection of strings, or has more than *most* members.

    """
    # A string is a collection too: without this check, scopes="a/b" would mean the three scopes "a", "/" and "b".
    if isinstance(values, str) or not isinstance(values, Collection):
        raise ConfigurationError(f"{option} must be a collection of strings, such as a list")
    if not all(isinstance(value, str) for value in values):
        raise ConfigurationError(f"{option} must hold strings only")
    if most is not None and len(values) > most:
        raise ConfigurationError(f"{option} must be at most {most}, got {len(values)}")
    return tuple(dict.fromkeys(values))


def check_names(option: str, values: Collection[str], what: str) -> tuple[str, ...]:
    """
    Return *values*: at least one string, and none that is empty or contains a blank.

    Raises:
        ConfigurationError: The values are something else; the message calls them *what*.

    """
    # A string is a collection too: without this check, client_ids="abc" would accept the clients "a", "b" and "c".
    if isinstance(values, str | bytes) or not isinstance(values, Collection) or not values:
        raise ConfigurationError(f"{option} must be a non-empty collection of {what}, such as a set; got {values!r}")
    for value in values:
        if not isinstance(value, str) or not value or any(character.isspace() for character in value):
            raise ConfigurationError(f"{option} must hold {what}: non-empty strings without blanks; got {value!r}")
    return tuple(values)


def check_client_ids(values: Collection[str], *, any_form: bool = False) -> frozenset[str]:
    """
    Return *values* as a set of client ids.

    Args:
        values: What the user wrote.
        any_form: Also accept ids that Cognito does not give, such as ids with hyphens. For issuers other than Cognito.

    Raises:
        ConfigurationError: A value is not a client id; the message says what to write.

    """
    form = _ANY_CLIENT_ID if any_form else CLIENT_ID.pattern
    listed = values if isinstance(values, Collection) and not isinstance(values, str | bytes) else ()
    if values == "*" or "*" in listed:
        raise ConfigurationError("client_ids must not be '*'; to accept every client, write client_ids=ANY_CLIENT")
    if not listed:
        raise ConfigurationError(f"client_ids must be a collection of app client ids; got {values!r}. {_CLIENT_IDS}")
    for value in listed:
        if not isinstance(value, str) or len(value) > CLIENT_ID.longest or not form.fullmatch(value):
            raise ConfigurationError(
                f"client_ids must hold app client ids; {value!r} is none. An id has 1 to {CLIENT_ID.longest} letters, "
                f"digits, '_' and '+'; it is not the client's name. {_CLIENT_IDS}"
            )
    return frozenset(listed)


def resource_server_of(scope: str) -> str:
    """
    Return the identifier of the resource server that *scope* belongs to; `""` if it belongs to none.

    The last slash counts: an identifier may contain slashes, the name of a scope may not (CreateResourceServer, API
    reference).
    """
    return scope.rpartition("/")[0]


def full_scope(scope: object, identifier: str | None, *, allow_short: bool = False) -> str:
    """
    Return *scope* as written in tokens: `order.read` of the resource server `orders` is `orders/order.read`.

    Scopes with a slash and Cognito's own, such as `openid`, are returned as they are.

    Args:
        scope: What the user wrote.
        identifier: The only resource server of all pools of a guard; None if there is not exactly one.
        allow_short: Without *identifier*, accept a short scope as it is. For issuers other than Cognito.

    Raises:
        ConfigurationError: *scope* is not a scope; or it has a comma that is not part of *identifier*; or it is short,
            there is no *identifier*, and *allow_short* is False.

    """
    scope = check_scope(scope)
    if "," in scope and not allow_short and resource_server_of(scope) != identifier:
        listed = ", ".join(map(repr, filter(None, scope.split(","))))
        raise ConfigurationError(f"{scope!r} has a comma; write one scope for each argument: require({listed})")
    if "/" in scope or scope in OWN_SCOPES:
        return scope
    if identifier is not None:
        return f"{identifier}/{scope}"
    if allow_short:
        return scope
    raise ConfigurationError(
        f"{scope!r} is a short scope, and no token can have it: Cognito writes '<resource server>/{scope}'. Write "
        "it in full, such as require('orders/order.read'), or name the one resource server in each pool of this guard: "
        "UserPool(..., resource_servers={'orders'})"
    )


def check_scope(scope: object) -> str:
    """
    Return *scope* as it is.

    Raises:
        ConfigurationError: *scope* is not exactly one scope token.

    """
    if not isinstance(scope, str) or not _PRINTABLE.fullmatch(scope):
        raise ConfigurationError(
            f"{scope!r} is not a scope; expected one '<resource server>/<scope>' per argument, "
            "without blanks, quotes and backslashes, such as require('orders/order.read', 'orders/order.write')"
        )
    return scope
