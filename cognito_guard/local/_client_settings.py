"""The settings of an app client, as one frozen value: from file or flag to token."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from cognito_guard._grammar import CLIENT_ID, CLIENT_NAME, CLIENT_SECRET, SCOPE, check_strings
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._refused import SettingRefusedError

CLIENT_CREDENTIALS: Final = "client_credentials"
FLOWS: Final = (CLIENT_CREDENTIALS, "code", "implicit")
MOST_SCOPES: Final = 50  # for one client, and for one request
MOST_SECRETS: Final = 2
SYSTEM_SCOPES: Final = ("openid", "email", "phone", "profile", "aws.cognito.signin.user.admin")
SHORTEST_VALIDITY: Final = 5 * 60
LONGEST_VALIDITY: Final = 24 * 60 * 60

_CLAIMS_OF_COGNITO: Final = frozenset(
    {"acr", "amr", "at_hash", "aud", "auth_time", "azp", "client_id", "device_key", "event_id", "exp", "iat"}
    | {"identities", "iss", "jti", "nbf", "nonce", "origin_jti", "scope", "sub", "token_use", "username", "version"}
)
_CHANGEABLE: Final = frozenset({"cognito:groups", "cognito:roles", "cognito:preferred_role"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSettings:
    """
    All settings of an app client. `LocalPool.add_client` explains them.

    Attributes:
        members: Settings of the API that have no effect here. They are described as given.

    Raises:
        SettingRefusedError: Cognito would not accept these settings together.
        ConfigurationError: One of them is malformed.

    """

    name: str | None = None
    scopes: Collection[str] = ()
    client_id: str | None = None
    secrets: Collection[str] | None = field(default=None, repr=False)
    access_token_validity: int = 60 * 60
    allowed_flows: Collection[str] = (CLIENT_CREDENTIALS,)
    allow_client_token_auth: bool = True
    claims: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        set_to = object.__setattr__  # other code sees frozen fields
        if self.name is not None:
            CLIENT_NAME.check(self.name)
        if self.client_id is not None:
            CLIENT_ID.check(self.client_id)
        set_to(self, "scopes", check_strings("scopes", self.scopes, most=MOST_SCOPES))
        set_to(self, "allowed_flows", check_strings("allowed_flows", self.allowed_flows))
        if self.secrets is not None:
            set_to(self, "secrets", check_strings("secrets", self.secrets, most=MOST_SECRETS))
            for secret in self.secrets:
                CLIENT_SECRET.check(secret)
        self._check_validity()
        self._check_flows()
        self._check_scopes()
        set_to(self, "claims", MappingProxyType(dict(check_claims(self.claims))))
        set_to(self, "members", MappingProxyType(dict(self.members)))

    def _check_validity(self) -> None:
        validity = self.access_token_validity
        if not isinstance(validity, int) or not SHORTEST_VALIDITY <= validity <= LONGEST_VALIDITY:
            raise SettingRefusedError(
                f"access_token_validity must be {SHORTEST_VALIDITY} to {LONGEST_VALIDITY} seconds "
                f"(5 minutes to 1 day), got {validity!r}"
            )

    def _check_flows(self) -> None:
        for flow in self.allowed_flows:
            if flow not in FLOWS:
                raise ConfigurationError(f"allowed_flows must be of {', '.join(FLOWS)}, got {flow!r}")
        if CLIENT_CREDENTIALS not in self.allowed_flows:
            return
        # This sentence and the following ones are Cognito's own.
        if len(self.allowed_flows) > 1:
            raise SettingRefusedError(
                "client_credentials flow can not be selected along with code flow or implicit flow.",
                "InvalidOAuthFlowException",
            )
        if self.secrets is not None and not self.secrets:
            raise SettingRefusedError(
                "client_credentials flow can not be selected if client does not have a client secret.",
                "InvalidOAuthFlowException",
            )

    def _check_scopes(self) -> None:
        if self.allowed_flows and not self.scopes:
            raise SettingRefusedError(
                "AllowedOAuthFlows and AllowedOAuthScopes are required if user pool client is allowed to use OAuth "
                "flows."
            )
        for scope in self.scopes:
            SCOPE.check(scope)
            if scope in SYSTEM_SCOPES and CLIENT_CREDENTIALS in self.allowed_flows:
                raise SettingRefusedError(
                    f"{scope} is not supported with client_credentials flow", "InvalidOAuthFlowException"
                )


def check_claims(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    """
    Return *claims* if a pre-token-generation trigger may add them to an access token.

    Raises:
        ConfigurationError: It does not map names to JSON values, or has a claim that only Cognito sets (developer
            guide, *Pre token generation Lambda trigger*).

    """
    if not isinstance(claims, Mapping) or not all(isinstance(name, str) for name in claims):
        raise ConfigurationError('claims must map names to JSON values, such as {"tenant": "acme"}')
    for name in claims:
        if name in _CLAIMS_OF_COGNITO or (name.startswith("cognito:") and name not in _CHANGEABLE):
            raise ConfigurationError(f"the claim {name!r} is set by Cognito; a trigger cannot change it")
    try:
        json.dumps(dict(claims), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"claims must hold JSON values only: {error}") from error
    return claims
