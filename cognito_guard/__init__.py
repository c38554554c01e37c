"""Guards FastAPI and Starlette APIs with AWS Cognito access tokens."""

from cognito_guard import errors
from cognito_guard._guard import CognitoGuard
from cognito_guard._keys import KeyPolicy
from cognito_guard._middleware import CognitoGuardMiddleware
from cognito_guard._pool import ANY_CLIENT, UserPool
from cognito_guard._principal import Principal

__all__ = [
    "ANY_CLIENT",
    "CognitoGuard",
    "CognitoGuardMiddleware",
    "KeyPolicy",
    "Principal",
    "UserPool",
    "errors",
]
