"""
A stand-in for an Amazon Cognito user pool: the tokens, the token endpoint and the key set, on your own machine.

NOT for production: it gives valid tokens to everyone who asks. No code that handles requests imports it.
"""

from cognito_guard.local._client_settings import ClientSettings
from cognito_guard.local._clients import ClientSecret, LocalClient
from cognito_guard.local._disputed import DisputedAnswers
from cognito_guard.local._faults import Fault, Faults
from cognito_guard.local._keys import PoolKeys, SigningKey
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import SeenRequest
from cognito_guard.local._scopes import ResourceServer
from cognito_guard.local._server import LocalCognito
from cognito_guard.local._serving import serving

__all__ = [
    "ClientSecret",
    "ClientSettings",
    "DisputedAnswers",
    "Fault",
    "Faults",
    "LocalClient",
    "LocalCognito",
    "LocalPool",
    "PoolKeys",
    "ResourceServer",
    "SeenRequest",
    "SigningKey",
    "serving",
]
