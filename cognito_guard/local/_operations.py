"""The operations of the AWS API that describe a pool, and those that set up clients and resource servers."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from cognito_guard._grammar import (
    CLIENT_NAME,
    CLIENT_SECRET,
    RESOURCE_SERVER_IDENTIFIER,
    SCOPE,
    SCOPE_DESCRIPTION,
    SCOPE_NAME,
    Form,
)
from cognito_guard.local._call import Call
from cognito_guard.local._client_settings import FLOWS, MOST_SCOPES, ClientSettings
from cognito_guard.local._client_token import get_client_token
from cognito_guard.local._described import (
    described_client,
    described_pool,
    described_resource_server,
    described_secret,
    listed_client,
)
from cognito_guard.local._members import Members, OperationError
from cognito_guard.local._scopes import MOST_SCOPES_OF_A_SERVER, RESOURCE_SERVER_NAME
from cognito_guard.local._sticky import SECRET_LENGTH, random_word

Operation = Callable[[Call], dict[str, Any]]

_Item = TypeVar("_Item")

_SECRET_ID: Final = Form("the id of a secret", re.compile(r".+", re.DOTALL), 128)
_PAGE: Final = Form("a pagination token", re.compile(r"\S+"), 131_072)
_MOST_LISTED: Final = 60
_MOST_SERVERS_LISTED: Final = 50
_SECONDS: Final = {"seconds": 1, "minutes": 60, "hours": 60 * 60, "days": 24 * 60 * 60}
_LONGEST: Final = 86_400
_MOST_AUTH_FLOWS: Final = 100
_AUTH_FLOW: Final = Form("an authentication flow", re.compile(r"[A-Z_]+"), 100)
# Settings for users' sign-in. They have no effect here, and are described as given.
_FOR_USERS: Final = frozenset(
    {"RefreshTokenValidity", "AccessTokenValidity", "IdTokenValidity", "TokenValidityUnits", "ReadAttributes"}
    | {"WriteAttributes", "ExplicitAuthFlows", "SupportedIdentityProviders", "CallbackURLs", "LogoutURLs"}
    | {"DefaultRedirectURI", "AllowedOAuthFlows", "AllowedOAuthFlowsUserPoolClient", "AnalyticsConfiguration"}
    | {"PreventUserExistenceErrors", "EnableTokenRevocation", "EnablePropagateAdditionalUserContextData"}
    | {"AuthSessionValidity", "RefreshTokenRotation"}
)


def _describe_user_pool(call: Call) -> dict[str, Any]:
    return {"UserPool": described_pool(call.pool())}


def _list_user_pool_clients(call: Call) -> dict[str, Any]:
    pool = call.pool()
    clients, rest = _page(call.members, pool.clients, _MOST_LISTED)
    return {"UserPoolClients": [listed_client(pool, client) for client in clients], **rest}


def _describe_user_pool_client(call: Call) -> dict[str, Any]:
    pool = call.pool()
    return {"UserPoolClient": described_client(pool, call.client(pool))}


def _create_user_pool_client(call: Call) -> dict[str, Any]:
    pool, members = call.pool(), call.members
    flows = members.choices("AllowedOAuthFlows", FLOWS)
    secret = members.optional_text("ClientSecret", CLIENT_SECRET)
    if secret is not None and members.flag("GenerateSecret"):
        raise OperationError("InvalidParameterException", "ClientSecret and GenerateSecret cannot be used together.")
    given = () if secret is None else (secret,)
    client = pool.add(
        ClientSettings(
            name=members.text("ClientName", CLIENT_NAME),
            scopes=members.texts("AllowedOAuthScopes", SCOPE, MOST_SCOPES),
            secrets=None if members.flag("GenerateSecret") else given,
            access_token_validity=_validity(members),
            # Without this flag, the flows are stored but do not work (boto3 issue 3916).
            allowed_flows=flows if members.flag("AllowedOAuthFlowsUserPoolClient") else (),
            allow_client_token_auth="ALLOW_CLIENT_TOKEN_AUTH"
            in members.texts("ExplicitAuthFlows", _AUTH_FLOW, _MOST_AUTH_FLOWS),
            members=members.chosen(_FOR_USERS),
        )
    )
    return {"UserPoolClient": described_client(pool, client)}


def _list_resource_servers(call: Call) -> dict[str, Any]:
    pool = call.pool()
    servers, rest = _page(call.members, pool.resource_servers, _MOST_SERVERS_LISTED)
    return {"ResourceServers": [described_resource_server(pool, server) for server in servers], **rest}


def _describe_resource_server(call: Call) -> dict[str, Any]:
    pool = call.pool()
    identifier = call.members.text("Identifier", RESOURCE_SERVER_IDENTIFIER)
    server = pool.find_resource_server(identifier)
    if server is None:
        raise OperationError("ResourceNotFoundException", f"Resource server {identifier} does not exist.")
    return {"ResourceServer": described_resource_server(pool, server)}


def _create_resource_server(call: Call) -> dict[str, Any]:
    pool, members = call.pool(), call.members
    server = pool.add_resource_server(
        members.text("Identifier", RESOURCE_SERVER_IDENTIFIER),
        {
            scope.text("ScopeName", SCOPE_NAME): scope.text("ScopeDescription", SCOPE_DESCRIPTION)
            for scope in members.structures("Scopes", MOST_SCOPES_OF_A_SERVER)
        },
        name=members.text("Name", RESOURCE_SERVER_NAME),
    )
    return {"ResourceServer": described_resource_server(pool, server)}


def _add_user_pool_client_secret(call: Call) -> dict[str, Any]:
    client = call.client(call.pool())
    given = call.members.optional_text("ClientSecret", CLIENT_SECRET)
    secret = client.add_secret(random_word(SECRET_LENGTH) if given is None else given)
    # Cognito shows a secret's value only once, and only if Cognito made it.
    value = {"ClientSecretValue": secret.value} if given is None else {}
    return {"ClientSecretDescriptor": described_secret(secret) | value}


def _list_user_pool_client_secrets(call: Call) -> dict[str, Any]:
    return {"ClientSecrets": [described_secret(secret) for secret in call.client(call.pool()).secrets]}


def _delete_user_pool_client_secret(call: Call) -> dict[str, Any]:
    call.client(call.pool()).delete_secret(call.members.text("ClientSecretId", _SECRET_ID))
    return {}


READING: Final[dict[str, Operation]] = {
    "GetClientToken": get_client_token,
    "DescribeUserPool": _describe_user_pool,
    "ListUserPoolClients": _list_user_pool_clients,
    "DescribeUserPoolClient": _describe_user_pool_client,
    "ListResourceServers": _list_resource_servers,
    "DescribeResourceServer": _describe_resource_server,
    "ListUserPoolClientSecrets": _list_user_pool_client_secrets,
}
"""Operations that change nothing, by name."""

CHANGING: Final[dict[str, Operation]] = {
    "CreateUserPoolClient": _create_user_pool_client,
    "CreateResourceServer": _create_resource_server,
    "AddUserPoolClientSecret": _add_user_pool_client_secret,
    "DeleteUserPoolClientSecret": _delete_user_pool_client_secret,
}
"""Operations that change a pool, by name."""


def _validity(members: Members) -> int:
    """Return `AccessTokenValidity` in seconds. The default unit is hours."""
    unit = members.structure("TokenValidityUnits").choice("AccessToken", tuple(_SECONDS), "hours")
    if "AccessTokenValidity" not in members:
        return 60 * 60
    return members.number("AccessTokenValidity", 1, _LONGEST, 1) * _SECONDS[unit]


def _page(members: Members, items: Sequence[_Item], most: int) -> tuple[Sequence[_Item], dict[str, str]]:
    """Return the items of the requested page, and `NextToken` if there are more."""
    size = members.number("MaxResults", 1, most, most)
    token = members.optional_text("NextToken", _PAGE) or "0"
    if not re.fullmatch(r"[0-9]{1,9}", token):
        raise OperationError("InvalidParameterException", "Invalid pagination token.")
    start = int(token)
    end = start + size
    return items[start:end], {"NextToken": str(end)} if end < len(items) else {}
