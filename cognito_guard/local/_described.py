"""User pools, clients, secrets and resource servers as the AWS API describes them."""

from __future__ import annotations

from typing import Any

from cognito_guard.local._clients import ClientSecret, LocalClient
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._scopes import ResourceServer

_REFRESH_TOKEN_DAYS = 30  # Cognito's default; refresh tokens are not issued here
_SESSION_MINUTES = 3  # Cognito's default; users cannot sign in here


def described_pool(pool: LocalPool) -> dict[str, Any]:
    """Return a `UserPoolType` of a pool that has clients and resource servers, but no users."""
    region = pool.pool_id.partition("_")[0]
    trigger = (
        {"PreTokenGenerationConfig": {"LambdaVersion": "V3_0", "LambdaArn": _function_arn(region)}}
        if pool.pre_token_generation
        else {}
    )
    return {
        "Id": pool.pool_id,
        "Name": pool.pool_id,
        "Arn": f"arn:aws:cognito-idp:{region}:000000000000:userpool/{pool.pool_id}",
        "CreationDate": pool.created_at,
        "LastModifiedDate": pool.created_at,
        "DeletionProtection": "INACTIVE",
        "EstimatedNumberOfUsers": 0,
        "IssuerConfiguration": {"Type": "UPDATED" if pool.issuer_is_updated else "ORIGINAL"},
        "LambdaConfig": trigger,
        "MfaConfiguration": "OFF",
        "UserPoolTags": {},
        "UserPoolTier": "ESSENTIALS",
    }


def described_client(pool: LocalPool, client: LocalClient) -> dict[str, Any]:
    """Return a `UserPoolClientType`. Members that were given when it was created are unchanged."""
    secret = {"ClientSecret": client.secret} if client.secrets else {}
    flows = {"ExplicitAuthFlows": ["ALLOW_CLIENT_TOKEN_AUTH"]} if client.allow_client_token_auth else {}
    return {
        "UserPoolId": pool.pool_id,
        "ClientName": client.name,
        "ClientId": client.client_id,
        **secret,
        "CreationDate": client.created_at,
        "LastModifiedDate": client.created_at,
        "RefreshTokenValidity": _REFRESH_TOKEN_DAYS,
        "AccessTokenValidity": client.access_token_validity,
        "TokenValidityUnits": {"AccessToken": "seconds"},
        **flows,
        "AllowedOAuthFlows": list(client.allowed_flows),
        "AllowedOAuthScopes": list(client.scopes),
        "AllowedOAuthFlowsUserPoolClient": bool(client.allowed_flows),
        "EnableTokenRevocation": True,
        "EnablePropagateAdditionalUserContextData": False,
        "AuthSessionValidity": _SESSION_MINUTES,
    } | dict(client.settings.members)


def listed_client(pool: LocalPool, client: LocalClient) -> dict[str, Any]:
    """Return a `UserPoolClientDescription`."""
    return {"ClientId": client.client_id, "UserPoolId": pool.pool_id, "ClientName": client.name}


def described_secret(secret: ClientSecret) -> dict[str, Any]:
    """Return a `ClientSecretDescriptorType`, without the value."""
    return {"ClientSecretId": secret.id, "ClientSecretCreateDate": secret.created_at}


def described_resource_server(pool: LocalPool, server: ResourceServer) -> dict[str, Any]:
    """Return a `ResourceServerType`."""
    return {
        "UserPoolId": pool.pool_id,
        "Identifier": server.identifier,
        "Name": server.name,
        "Scopes": [{"ScopeName": name, "ScopeDescription": description} for name, description in server.scopes.items()],
    }


def _function_arn(region: str) -> str:
    return f"arn:aws:lambda:{region}:000000000000:function:pre-token-generation"
