"""The OpenID Connect discovery document, with the members that Cognito's has."""

from __future__ import annotations

from typing import Any, Final

from cognito_guard.local._pool import LocalPool

UNSERVED_PATHS: Final = ("/oauth2/authorize", "/logout", "/oauth2/revoke", "/oauth2/userInfo")
"""Endpoints that are in the document because OpenID Connect libraries require them. They are for users' sign-in."""


def discovery_document(pool: LocalPool, root: str) -> dict[str, Any]:
    """Return the discovery document of *pool*, served at *root*."""
    return {
        "authorization_endpoint": f"{root}/oauth2/authorize",
        "end_session_endpoint": f"{root}/logout",
        "id_token_signing_alg_values_supported": ["RS256"],
        "issuer": pool.issuer_at(root),
        "jwks_uri": f"{root}/{pool.pool_id}/.well-known/jwks.json",
        "response_types_supported": ["code", "token"],
        "revocation_endpoint": f"{root}/oauth2/revoke",
        "scopes_supported": ["openid", "email", "phone", "profile"],
        "subject_types_supported": ["public"],
        "token_endpoint": f"{root}/oauth2/token",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "userinfo_endpoint": f"{root}/oauth2/userInfo",
    }
