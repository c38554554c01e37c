"""Guards FastAPI and Starlette APIs with AWS Cognito access tokens."""

from cognito_guard import errors
from cognito_guard._guard import CognitoGuard
from cognito_guard._keys.policy import KeyPolicy
from cognito_guard._pool import ANY_CLIENT, UserPool
from cognito_guard._principal import Principal
from cognito_guard._requests.middleware import CognitoGuardMiddleware

__all__ = [
    "ANY_CLIENT",
    "CognitoGuard",
    "CognitoGuardMiddleware",
    "KeyPolicy",
    "Principal",
    "UserPool",
    "errors",
]
