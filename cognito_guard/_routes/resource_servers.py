"""The resource servers that a user pool needs for the scopes that an app requires."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cognito_guard._routes.census import RouteEntry
from cognito_guard._routes.openapi import scope_descriptions
from cognito_guard.errors import ConfigurationError

# The scopes of OpenID Connect Core section 5.4 that Cognito supports.
_STANDARD: Final = frozenset({"openid", "email", "phone", "profile"})


@dataclass(frozen=True, slots=True)
class ResourceServer:
    """One resource server: its identifier, and a description for each of its scopes, by the scope's short name."""

    identifier: str
    scopes: dict[str, str]


def resource_servers(routes: Iterable[RouteEntry], descriptions: Mapping[str, str]) -> list[ResourceServer]:
    """
    Return the resource servers that define all scopes in *routes*, sorted.

    A scope is `<identifier>/<name>`; the identifier itself may contain slashes. Scopes that Cognito defines, such as
    `openid` and `aws.cognito.signin.user.admin`, are left out. Descriptions are cut to the length that Cognito accepts.
    A scope without a description is its own description.

    Raises:
        ConfigurationError: A scope does not have that form and is not one of Cognito's.

    """
    servers: dict[str, dict[str, str]] = {}
    for scope, description in scope_descriptions(routes, descriptions).items():
        identifier, slash, name = scope.rpartition("/")
        if not slash and (scope in _STANDARD or scope.startswith("aws.cognito.")):
            continue
        if not identifier or not name:
            raise ConfigurationError(
                f"the scope {scope!r} cannot be defined in a user pool; there it is '<resource server>/<name>'"
            )
        servers.setdefault(identifier, {})[name] = (description or scope)[:256]
    return [ResourceServer(identifier, scopes) for identifier, scopes in sorted(servers.items())]


def as_json(servers: Iterable[ResourceServer]) -> list[dict[str, Any]]:
    """Return *servers* as the arguments of `CreateResourceServer`, without the pool's id."""
    return [
        {
            "Identifier": server.identifier,
            # A name may not contain all characters of an identifier: no slashes and colons.
            "Name": re.sub(r"[^\w\s+=,.@-]", "-", server.identifier),
            "Scopes": [
                {"ScopeName": name, "ScopeDescription": description} for name, description in server.scopes.items()
            ],
        }
        for server in servers
    ]


def as_cloudformation(servers: Iterable[ResourceServer]) -> dict[str, Any]:
    """Return a CloudFormation template of *servers*. The user pool is a parameter of the template."""
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "The resource servers whose scopes the API requires.",
        "Parameters": {"UserPoolId": {"Type": "String", "Description": "The id of the user pool."}},
        "Resources": {
            _logical_id(number, properties["Identifier"]): {
                "Type": "AWS::Cognito::UserPoolResourceServer",
                "Properties": {"UserPoolId": {"Ref": "UserPoolId"}, **properties},
            }
            for number, properties in enumerate(as_json(servers), 1)
        },
    }


def _logical_id(number: int, identifier: str) -> str:
    # Only letters and digits are allowed. The number separates identifiers that differ in other characters.
    words = re.findall(r"[A-Za-z0-9]+", identifier)
    return "".join(word.capitalize() for word in words) + f"ResourceServer{number}"
