"""Tokens as Cognito writes them: which claims, in which order, in which bytes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cognito_guard.local._keys import SigningKey, base64url

USER_SIGN_IN_SCOPE: Final = "aws.cognito.signin.user.admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """The origin of a token: its issuer, its client, and when it was issued (seconds since the epoch)."""

    issuer: str
    client_id: str
    issued_at: int
    expires_at: int


def machine_claims(occasion: Occasion, scope: str | None) -> dict[str, Any]:
    """Return the claims of an access token of the client-credentials grant. Its `sub` is the client id."""
    return {
        "sub": occasion.client_id,
        "token_use": "access",
        "scope": scope,
        "auth_time": occasion.issued_at,
        "iss": occasion.issuer,
        "exp": occasion.expires_at,
        "iat": occasion.issued_at,
        "version": 2,
        "jti": str(uuid.uuid4()),
        "client_id": occasion.client_id,
    }


def user_claims(occasion: Occasion, username: str, groups: Collection[str], scope: str | None) -> dict[str, Any]:
    """Return the claims of a user's access token: with *scope* of managed login, without it of a sign-in by API."""
    return {
        "sub": _subject(occasion.issuer, username),
        "cognito:groups": list(groups) or None,
        "iss": occasion.issuer,
        "version": 2 if scope else None,
        "client_id": occasion.client_id,
        "origin_jti": str(uuid.uuid4()),
        "event_id": str(uuid.uuid4()),
        "token_use": "access",
        "scope": scope or USER_SIGN_IN_SCOPE,
        "auth_time": occasion.issued_at,
        "exp": occasion.expires_at,
        "iat": occasion.issued_at,
        "jti": str(uuid.uuid4()),
        "username": username,
    }


def identity_claims(occasion: Occasion, username: str, groups: Collection[str]) -> dict[str, Any]:
    """Return the claims of a user's ID token: the client is the audience, and there is no scope."""
    return {
        "sub": _subject(occasion.issuer, username),
        "cognito:groups": list(groups) or None,
        "iss": occasion.issuer,
        "cognito:username": username,
        "origin_jti": str(uuid.uuid4()),
        "aud": occasion.client_id,
        "event_id": str(uuid.uuid4()),
        "token_use": "id",
        "auth_time": occasion.issued_at,
        "exp": occasion.expires_at,
        "iat": occasion.issued_at,
        "jti": str(uuid.uuid4()),
    }


def changed(members: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return *members* with *changes*, in their old order, and without those that are then None."""
    return {name: value for name, value in {**members, **changes}.items() if value is not None}


def encode(header: Mapping[str, Any], claims: Mapping[str, Any], key: SigningKey) -> str:
    """Return a JWT of these two parts, signed with *key* (RFC 7515 section 7.1)."""
    signed = f"{_segment(header)}.{_segment(claims)}"
    return f"{signed}.{base64url(key.sign(signed.encode()))}"


def _segment(members: Mapping[str, Any]) -> str:
    text = json.dumps(dict(members), separators=(",", ":"))
    # Cognito escapes slashes. Code that compares bytes instead of parsing fails here too.
    return base64url(text.replace("/", "\\/").encode())


def _subject(issuer: str, username: str) -> str:
    # A user has the same `sub` in each token, as in a real pool.
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{issuer}/{username}"))
