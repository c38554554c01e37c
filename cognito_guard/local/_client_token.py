"""`GetClientToken`: the same grant as an operation of the AWS API (JSON 1.1 protocol)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cognito_guard._grammar import CLIENT_ID, CLIENT_SECRET, SCOPE, check_strings
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._clients import MOST_SCOPES
from cognito_guard.local._grants import DisputedAnswers, GrantRefusedError, authenticated_client, granted_scopes
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import note_client

_TARGET: Final = "AWSCognitoIdentityProviderService.GetClientToken"


class _OperationError(Exception):
    def __init__(self, kind: str, message: str) -> None:
        self.kind = kind
        self.message = message
        super().__init__(kind)


def client_token_response(
    request: Request, body: bytes, pools: Sequence[LocalPool], disputed: DisputedAnswers
) -> Response:
    """Return the answer to *request*, whose body is *body*. Signatures of AWS are not looked at, as by Cognito."""
    try:
        return _answer(200, {"ClientAuthenticationResult": _issue(request, body, pools, disputed)})
    except _OperationError as error:
        return _answer(400, {"__type": error.kind, "message": error.message}, {"x-amzn-ErrorType": error.kind})


def _issue(request: Request, body: bytes, pools: Sequence[LocalPool], disputed: DisputedAnswers) -> dict[str, Any]:
    if request.headers.get("x-amz-target") != _TARGET:
        raise _OperationError("UnknownOperationException", "Only GetClientToken is served here.")
    client_id, secret, requested = _members(body)
    if not any(pool.find_client(client_id) for pool in pools):
        raise _OperationError("ResourceNotFoundException", f"User pool client {client_id} does not exist.")
    try:
        pool, client = authenticated_client(pools, [client_id], [secret])
    except GrantRefusedError as refused:
        raise _OperationError("NotAuthorizedException", "Invalid client secret.") from refused
    note_client(request, client.client_id)
    if not client.allow_client_token_auth:
        raise _OperationError("InvalidParameterException", "ALLOW_CLIENT_TOKEN_AUTH flow not enabled for this client")
    try:
        granted = granted_scopes(pool, client, requested, disputed)
    except GrantRefusedError as refused:
        raise _OperationError(
            "InvalidParameterException", f"Invalid scope requested: {' '.join(requested)}"
        ) from refused
    return {
        "AccessToken": pool.mint(*granted, client_id=client.client_id),
        "ExpiresIn": client.access_token_validity,
        "TokenType": "Bearer",
    }


def _members(body: bytes) -> tuple[str, str, tuple[str, ...]]:
    try:
        members = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _OperationError("SerializationException", "The body is not JSON.") from error
    if not isinstance(members, dict):
        raise _OperationError("SerializationException", "The body is not a JSON object.")
    try:
        client_id = CLIENT_ID.check(members.get("ClientId", ""))
        secret = CLIENT_SECRET.check(members.get("Secret", ""))
        scopes = check_strings("Scopes", members.get("Scopes", []), most=MOST_SCOPES)
        return client_id, secret, tuple(SCOPE.check(scope) for scope in scopes)
    except ConfigurationError as error:
        raise _OperationError("InvalidParameterException", str(error)) from error


def _answer(status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    always = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
    return JSONResponse(content, status, always | (headers or {}))
