"""`GetClientToken`: the client-credentials grant as an operation of the AWS API."""

from __future__ import annotations

from typing import Any

from cognito_guard._grammar import CLIENT_ID, CLIENT_SECRET, SCOPE
from cognito_guard.local._call import Call
from cognito_guard.local._client_settings import MOST_SCOPES
from cognito_guard.local._grants import GrantRefusedError, authenticated_client, granted_scopes
from cognito_guard.local._members import OperationError
from cognito_guard.local._record import note_client
from cognito_guard.local._root import root_url
from cognito_guard.local._trigger import TriggerFailedError


def get_client_token(call: Call) -> dict[str, Any]:
    """
    Return a token as `GetClientToken` does. AWS signatures are not checked.

    Raises:
        OperationError: The request is refused.

    """
    client_id = call.members.text("ClientId", CLIENT_ID)
    secret = call.members.text("Secret", CLIENT_SECRET)
    requested = tuple(dict.fromkeys(call.members.texts("Scopes", SCOPE, MOST_SCOPES)))
    metadata = call.members.strings("ClientMetadata")
    try:
        pool, client = authenticated_client(call.pools, [client_id], [secret])
    except GrantRefusedError as refused:
        if any(pool.find_client(client_id) for pool in call.pools):
            raise OperationError("NotAuthorizedException", "Invalid client secret.", refused.reason) from refused
        raise OperationError(
            "ResourceNotFoundException", f"User pool client {client_id} does not exist.", refused.reason
        ) from refused
    note_client(call.request, client.client_id)
    if not client.allow_client_token_auth:
        raise OperationError("InvalidParameterException", "ALLOW_CLIENT_TOKEN_AUTH flow not enabled for this client")
    try:
        scopes = granted_scopes(pool, client, requested, call.disputed)
        token = pool.issue(client, scopes, base_url=root_url(call.request), metadata=metadata)
    except GrantRefusedError as refused:
        message = f"Invalid scope requested: {' '.join(requested)}"
        raise OperationError("InvalidParameterException", message, refused.reason) from refused
    except TriggerFailedError as failed:
        message = "PreTokenGeneration failed with error."
        raise OperationError("UserLambdaValidationException", message, str(failed)) from failed
    return {
        "ClientAuthenticationResult": {
            "AccessToken": token,
            "ExpiresIn": client.access_token_validity,
            "TokenType": "Bearer",
        }
    }
