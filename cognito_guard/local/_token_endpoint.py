"""`POST /oauth2/token`: the client-credentials grant over HTTP (RFC 6749 section 4.4), with Cognito's answers."""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cognito_guard.local._body import NotJsonError, json_object
from cognito_guard.local._client_settings import CLIENT_CREDENTIALS
from cognito_guard.local._disputed import DisputedAnswers
from cognito_guard.local._grants import (
    GrantRefusedError,
    authenticated_client,
    check_flow,
    granted_scopes,
    invalid_client,
)
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import note_client, note_reason, shown
from cognito_guard.local._root import root_url
from cognito_guard.local._trigger import TriggerFailedError

_FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = frozenset({"application/json", "application/*", "*/*"})
_USER_GRANTS: Final = ("authorization_code", "refresh_token")
_MOST_PARAMETERS: Final = 100


class _MediaTypeError(Exception):
    """Content-Type or Accept does not fit a token request; the message says why."""


def token_response(request: Request, body: bytes, pools: Sequence[LocalPool], disputed: DisputedAnswers) -> Response:
    """Return the answer to *request*, whose body is *body*."""
    try:
        _check_media_types(request)
        return _answer(200, _issue(request, body, pools, disputed))
    except _MediaTypeError as error:
        note_reason(request, str(error))
        return _answer(400, {"error": "invalid_request"}) if disputed.wrong_media_type == 400 else _empty(405)  # noqa: PLR2004
    except GrantRefusedError as refused:
        note_reason(request, f"{refused.error}. {refused.reason}")
        content = {"error": refused.error, "error_description": refused.description}
        status = disputed.invalid_client_status if refused.error == "invalid_client" else 400
        return _answer(status, {name: value for name, value in content.items() if value is not None})


def _issue(
    request: Request, body: bytes, pools: Sequence[LocalPool], disputed: DisputedAnswers
) -> dict[str, str | int]:
    parameters = _parameters(request, body)
    if "grant_type" not in parameters:
        raise _invalid_request("The parameter grant_type is missing, neither in the body nor in the query.")
    grant_type = parameters["grant_type"]
    if grant_type not in {CLIENT_CREDENTIALS, *_USER_GRANTS}:
        raise GrantRefusedError(
            "unsupported_grant_type", f"grant_type is {shown(grant_type)}; expected {CLIENT_CREDENTIALS}."
        )
    pool, client = authenticated_client(pools, *_credentials(request, parameters))
    note_client(request, client.client_id)
    if grant_type in _USER_GRANTS:
        raise GrantRefusedError(
            "invalid_grant", "The local Cognito issues no codes and no refresh tokens, so this one cannot be valid."
        )
    check_flow(client, disputed)
    if "resource" in parameters:
        raise _invalid_request("The parameter resource is for users' sign-in; machines cannot bind a token to one.")
    metadata = _metadata(parameters)
    # Split only at blanks: a tab is not a separator (RFC 6749 section 3.3).
    requested = [scope for scope in dict.fromkeys(parameters.get("scope", "").split(" ")) if scope]
    scopes = granted_scopes(pool, client, requested, disputed)
    try:
        token = pool.issue(client, scopes, base_url=root_url(request), metadata=metadata)
    except TriggerFailedError as failed:
        raise GrantRefusedError("invalid_request", str(failed), "PreTokenGeneration failed with error.") from failed
    return {"access_token": token, "expires_in": client.access_token_validity, "token_type": "Bearer"}


def _check_media_types(request: Request) -> None:
    content_type = request.headers.get("content-type", "")
    if _media_type(content_type) != _FORM:
        found = f"The Content-Type is {shown(content_type)}" if content_type else "There is no Content-Type"
        raise _MediaTypeError(f"{found}; the token endpoint takes {_FORM} only.")
    accepted = [part for line in request.headers.getlist("accept") for part in line.split(",") if part.strip()]
    if accepted and not any(_media_type(part) in _JSON for part in accepted):
        raise _MediaTypeError(f"The Accept header is {shown(','.join(accepted))}; it must allow application/json.")


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _parameters(request: Request, body: bytes) -> dict[str, str]:
    """Return the parameters of query and body together, as the real endpoint does."""
    pairs: list[tuple[str, str]] = []
    for where, encoded in (("query", request.scope["query_string"]), ("body", body)):
        try:
            # A parameter without a value counts as missing (RFC 6749 section 3.2). parse_qsl does that.
            pairs += parse_qsl(encoded.decode("ascii"), errors="strict", max_num_fields=_MOST_PARAMETERS)
        except ValueError as error:
            raise _invalid_request(f"The {where} is not form-encoded: {type(error).__name__}.") from error
    parameters: dict[str, str] = {}
    for name, value in pairs:
        if name in parameters:
            raise _invalid_request(f"The parameter {shown(name)} is sent twice, in the body, the query or both.")
        parameters[name] = value
    return parameters


def _credentials(request: Request, parameters: Mapping[str, str]) -> tuple[tuple[str, ...], tuple[str | None, ...]]:
    authorization = request.headers.getlist("authorization")
    if len(authorization) > 1:
        raise _invalid_request("There are two Authorization headers.")
    scheme, _, encoded = authorization[0].partition(" ") if authorization else ("", "", "")
    if scheme.lower() != "basic":
        if "client_id" not in parameters:
            raise _invalid_request("There is no Authorization header with Basic, and no parameter client_id.")
        return (parameters["client_id"],), (parameters.get("client_secret"),)
    try:
        client_id, secret = base64.b64decode(encoded.strip(), validate=True).decode().split(":", 1)
    except ValueError as error:
        raise invalid_client("The Authorization header is not Basic base64(<client id>:<client secret>).") from error
    # RFC 6749 section 2.3.1 asks for form encoding, but many clients send raw values: "+" may mean itself or a blank.
    client_ids = (client_id, unquote_plus(client_id))
    if "client_secret" in parameters:
        raise _invalid_request("The client authenticates twice: with an Authorization header and with client_secret.")
    if parameters.get("client_id", client_id) not in client_ids:
        raise _invalid_request("The parameter client_id differs from the id in the Authorization header.")
    return client_ids, (secret, unquote_plus(secret))


def _metadata(parameters: Mapping[str, str]) -> dict[str, str]:
    text = parameters.get("aws_client_metadata", "{}")
    try:
        metadata = json_object(text.encode())
    except NotJsonError as error:
        hint = " It is encoded twice." if text.startswith("%7B") else ""
        raise _invalid_request(f"The parameter aws_client_metadata is not a JSON object, URL-encoded.{hint}") from error
    if not all(isinstance(value, str) for value in metadata.values()):
        raise _invalid_request("The parameter aws_client_metadata must map names to strings.")
    return metadata


def _invalid_request(reason: str) -> GrantRefusedError:
    return GrantRefusedError("invalid_request", reason)


def _answer(status: int, content: dict[str, str | int]) -> Response:
    return JSONResponse(content, status, _headers() | {"Content-Type": "application/json;charset=UTF-8"})


def _empty(status: int) -> Response:
    return Response(status_code=status, headers=_headers() | {"Allow": "POST"})


def _headers() -> dict[str, str]:
    # Cognito sends two more: Strict-Transport-Security, after which a browser would refuse plain http on this host, and
    # a cookie of its login pages.
    return {
        "Cache-Control": "no-cache, no-store, max-age=0, must-revalidate",
        "Pragma": "no-cache",
        "Expires": "0",
        "x-amz-cognito-request-id": str(uuid.uuid4()),
        "X-Content-Type-Options": "nosniff",
        "X-XSS-Protection": "0",
        "X-Frame-Options": "DENY",
    }
