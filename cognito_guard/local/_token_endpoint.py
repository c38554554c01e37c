"""`POST /oauth2/token`: the client-credentials grant over HTTP (RFC 6749 section 4.4), in Cognito's words."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cognito_guard.local._clients import CLIENT_CREDENTIALS
from cognito_guard.local._grants import DisputedAnswers, GrantRefusedError, authenticated_client, granted_scopes
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import note_client

_USER_GRANTS: Final = ("authorization_code", "refresh_token")


def token_response(request: Request, body: bytes, pools: Sequence[LocalPool], disputed: DisputedAnswers) -> Response:
    """Return the answer to *request*, whose body is *body*."""
    try:
        return _answer(200, _issue(request, body, pools, disputed))
    except GrantRefusedError as refused:
        content = {"error": refused.error, "error_description": refused.description}
        status = disputed.invalid_client_status if refused.error == "invalid_client" else 400
        return _answer(status, {name: value for name, value in content.items() if value is not None})


def _issue(
    request: Request, body: bytes, pools: Sequence[LocalPool], disputed: DisputedAnswers
) -> dict[str, str | int]:
    parameters = _parameters(request, body)
    if "grant_type" not in parameters:
        raise GrantRefusedError("invalid_request")
    grant_type = parameters["grant_type"]
    if grant_type not in {CLIENT_CREDENTIALS, *_USER_GRANTS}:
        raise GrantRefusedError("unsupported_grant_type")
    pool, client = authenticated_client(pools, *_credentials(request, parameters))
    note_client(request, client.client_id)
    if grant_type in _USER_GRANTS:
        # No code and no refresh token is ever given out here, so none can be right.
        raise GrantRefusedError("invalid_grant")
    if CLIENT_CREDENTIALS not in client.allowed_flows:
        raise GrantRefusedError(disputed.flow_not_enabled)
    # Split at blanks and nothing else: a tab is no separator (RFC 6749 section 3.3).
    requested = [scope for scope in dict.fromkeys(parameters.get("scope", "").split(" ")) if scope]
    return {
        "access_token": pool.mint(*granted_scopes(pool, client, requested, disputed), client_id=client.client_id),
        "expires_in": client.access_token_validity,
        "token_type": "Bearer",
    }


def _parameters(request: Request, body: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise GrantRefusedError("invalid_request")
    try:
        # A parameter without a value counts as left out (RFC 6749 section 3.2), which is what parse_qsl does.
        pairs = parse_qsl(body.decode("ascii"), errors="strict", max_num_fields=100)
    except ValueError as error:
        raise GrantRefusedError("invalid_request") from error
    parameters = dict(pairs)
    if len(parameters) < len(pairs):
        raise GrantRefusedError("invalid_request")
    return parameters


def _credentials(request: Request, parameters: dict[str, str]) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    authorization = request.headers.getlist("authorization")
    if len(authorization) > 1:
        raise GrantRefusedError("invalid_request")
    scheme, _, encoded = authorization[0].partition(" ") if authorization else ("", "", "")
    if scheme.lower() != "basic":
        if "client_id" not in parameters:
            raise GrantRefusedError("invalid_request")
        return (parameters["client_id"],), (parameters.get("client_secret"),)
    try:
        client_id, secret = base64.b64decode(encoded.strip(), validate=True).decode().split(":", 1)
    except ValueError as error:
        raise GrantRefusedError("invalid_client", "invalid_client_secret") from error
    # RFC 6749 section 2.3.1 wants both form-encoded, and many clients send them raw: a "+" may be itself or "%2B".
    client_ids = (client_id, unquote_plus(client_id))
    if "client_secret" in parameters or parameters.get("client_id", client_id) not in client_ids:
        raise GrantRefusedError("invalid_request")
    return client_ids, (secret, unquote_plus(secret))


def _answer(status: int, content: dict[str, str | int]) -> Response:
    # Cognito sends two more: Strict-Transport-Security, which would lock a browser out of plain http on this very host,
    # and a cookie of its login pages.
    headers = {
        "Content-Type": "application/json;charset=UTF-8",
        "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
        "Pragma": "no-cache",
        "Expires": "0",
        "x-amz-cognito-request-id": str(uuid.uuid4()),
        "X-Content-Type-Options": "nosniff",
        "X-XSS-Protection": "0",
        "X-Frame-Options": "DENY",
    }
    return JSONResponse(content, status, headers)
