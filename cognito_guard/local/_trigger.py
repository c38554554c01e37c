"""The pre-token-generation trigger, version 3: your Lambda handler, called as Cognito calls it for a machine."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._client_settings import check_claims

Handler = Callable[[dict[str, Any], Any], Any]
"""`handler(event, context)`, as AWS Lambda calls it."""

_DETAILS: Final = "claimsAndScopeOverrideDetails"
_TIME_LIMIT: Final = 5000  # milliseconds; Cognito gives a trigger 5 seconds


class TriggerFailedError(ConfigurationError):
    """The handler raised an exception, or returned something that Cognito would not accept."""


@dataclass(frozen=True, slots=True)
class LambdaContext:
    """The second argument of a handler. There is no time limit here."""

    function_name: str = "pre-token-generation"
    function_version: str = "$LATEST"
    invoked_function_arn: str = "arn:aws:lambda:local:000000000000:function:pre-token-generation"
    memory_limit_in_mb: str = "128"
    log_group_name: str = "/aws/lambda/pre-token-generation"
    log_stream_name: str = "local"
    aws_request_id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def get_remaining_time_in_millis(self) -> int:
        """Return 5000, the time that Cognito gives a trigger."""
        return _TIME_LIMIT


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenChanges:
    """The changes that a trigger makes to an access token."""

    claims: Mapping[str, Any] = field(default_factory=dict)
    suppressed: Collection[str] = ()
    added_scopes: Collection[str] = ()
    suppressed_scopes: Collection[str] = ()

    def scopes(self, granted: Collection[str]) -> tuple[str, ...]:
        """Return the *granted* scopes with these changes made."""
        return tuple(scope for scope in (*granted, *self.added_scopes) if scope not in self.suppressed_scopes)


NO_CHANGES: Final = TokenChanges()


def pre_token_generation(
    handler: Handler, *, pool_id: str, client_id: str, scopes: Collection[str], metadata: Mapping[str, str]
) -> TokenChanges:
    """
    Return the changes that *handler* makes to the access token of a machine.

    Args:
        handler: Called with the event of `TokenGeneration_ClientCredentials` (developer guide, *Pre token generation
            Lambda trigger*). It may change and return the event, or return another one.
        pool_id: The user pool.
        client_id: The app client.
        scopes: The scopes that the token would grant.
        metadata: `aws_client_metadata` of the request.

    Raises:
        TriggerFailedError: The handler failed. The message says how.

    """
    event = _event(pool_id, client_id, scopes, metadata)
    try:
        answer = handler(event, LambdaContext())
    except Exception as error:
        raise TriggerFailedError(f"The handler of pre_token_generation raised {error!r}.") from error
    try:
        return _changes(answer)
    except ConfigurationError as error:
        raise TriggerFailedError(f"The handler of pre_token_generation returned a wrong answer: {error}.") from error


def _event(pool_id: str, client_id: str, scopes: Collection[str], metadata: Mapping[str, str]) -> dict[str, Any]:
    return {
        "version": "3",
        "triggerSource": "TokenGeneration_ClientCredentials",
        "region": pool_id.partition("_")[0],
        "userPoolId": pool_id,
        "userName": "ClientCredentials",
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": client_id},
        "request": {
            "userAttributes": {},
            "groupConfiguration": {"groupsToOverride": [], "iamRolesToOverride": [], "preferredRole": None},
            "scopes": list(scopes),
            "clientMetadata": dict(metadata),
        },
        "response": {_DETAILS: None},
    }


def _changes(answer: Any) -> TokenChanges:
    response = _mapping("response", _mapping("the event", answer).get("response"))
    access = _mapping(_DETAILS, response.get(_DETAILS)).get("accessTokenGeneration")
    details = _mapping("accessTokenGeneration", access)
    claims = _mapping("claimsToAddOrOverride", details.get("claimsToAddOrOverride"))
    suppressed = _texts("claimsToSuppress", details.get("claimsToSuppress"))
    check_claims(dict(claims) | dict.fromkeys(suppressed))
    return TokenChanges(
        claims=claims,
        suppressed=suppressed,
        added_scopes=_texts("scopesToAdd", details.get("scopesToAdd")),
        suppressed_scopes=_texts("scopesToSuppress", details.get("scopesToSuppress")),
    )


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigurationError(f"{name} must be an object")
    return value


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) and " " not in each for each in value):
        raise ConfigurationError(f"{name} must be a list of strings without blanks")
    return tuple(value)
