"""
Everything that can go wrong, as one tree.

    GuardError
    ├── ConfigurationError            a setting is invalid; raised at import or start-up (also a ValueError)
    ├── RefusalError                  a request is refused (also a Starlette HTTPException)
    │   ├── BearerError               ... because of the caller (RFC 6750 section 3.1)
    │   │   ├── MissingTokenError         401  no bearer token was sent
    │   │   ├── InvalidRequestError       400  the Authorization header is not one "Bearer <token>"
    │   │   ├── InvalidTokenError         401  the token is not accepted
    │   │   │   ├── MalformedTokenError        the token is not a JWT of the form that Cognito uses
    │   │   │   ├── ClaimError                 a claim is missing, of the wrong type or of another value
    │   │   │   │   └── AudienceError              the token is meant for another API
    │   │   │   ├── ExpiredTokenError          the token has expired
    │   │   │   └── SignatureError             the signature was not made by a key of the pool
    │   │   └── InsufficientScopeError    403  the token is valid, but does not grant what the route requires
    │   ├── KeysUnavailableError      503  ... because there are no keys to verify the token with
    │   └── NotInstalledError         500  ... because the guard is not installed
    └── TokenRequestError             a token could not be obtained (the calling side)

A refusal's `reason` is for logs and metrics, its `description` for the caller. Both come from the fixed vocabulary
below. Nothing from a token or a request ever gets into them.
"""

from __future__ import annotations

from typing import ClassVar, Self

from starlette.exceptions import HTTPException

__all__ = [
    "AudienceError",
    "BearerError",
    "ClaimError",
    "ConfigurationError",
    "ExpiredTokenError",
    "GuardError",
    "InsufficientScopeError",
    "InvalidRequestError",
    "InvalidTokenError",
    "KeysUnavailableError",
    "MalformedTokenError",
    "MissingTokenError",
    "NotInstalledError",
    "RefusalError",
    "SignatureError",
    "TokenRequestError",
]


class GuardError(Exception):
    """Base of all errors of this package."""


class ConfigurationError(GuardError, ValueError):
    """A setting is invalid; the message says how to fix it."""


class RefusalError(GuardError, HTTPException):
    """
    Base of the errors that refuse a request. Each knows its status and its words.

    Attributes:
        status: The HTTP status to answer with (`status_code` is the same, for Starlette's handlers).
        code: The error code in the answer (RFC 6750 section 3.1), or None if the RFC asks for none.
        reason: A stable word for logs and metrics, more precise than *code*.
        description: One sentence for the caller, printable ASCII without quotes or backslashes.
        headers: The headers of the answer; None until a guard has set them.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str | None] = None
    _vocabulary: ClassVar[dict[str, str]] = {}

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.description: str = self._vocabulary[reason]
        super().__init__(self.status, self.description)

    def with_headers(self, headers: dict[str, str]) -> Self:
        """Return a copy with *headers* and without traceback."""
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__, headers=headers)
        return copy

    def __str__(self) -> str:
        return f"{self.description} ({self.reason})"


class BearerError(RefusalError):
    """The caller's token, or its absence, is the cause (RFC 6750 section 3)."""


class MissingTokenError(BearerError):
    """No bearer token was sent. The challenge carries no error code (RFC 6750 section 3.1)."""

    status = 401
    _vocabulary: ClassVar = {"missing_token": "A bearer access token is required."}

    def __init__(self) -> None:
        super().__init__("missing_token")


class InvalidRequestError(BearerError):
    """The Authorization header is malformed or sent more than once."""

    status = 400
    code: ClassVar[str | None] = "invalid_request"
    _vocabulary: ClassVar = {
        "repeated_header": "The Authorization header was sent more than once.",
        "malformed_header": "The Authorization header is not of the form: Bearer token.",
    }


class InvalidTokenError(BearerError):
    """The token is not accepted: it is expired, malformed, or from elsewhere, for example."""

    status = 401
    code: ClassVar[str | None] = "invalid_token"


class MalformedTokenError(InvalidTokenError):
    """The token is not a compact JWS with a header like Cognito's."""

    _vocabulary: ClassVar = {
        "oversized": "The access token is too long.",
        "malformed": "The access token is not a well-formed JWT.",
        "algorithm": "The access token is not signed with RS256.",
        "critical_header": "The access token has a critical header parameter that is not understood.",
        "token_type": "The typ in the header of the access token is not that of an access token.",
    }


class ClaimError(InvalidTokenError):
    """
    One claim is missing, has the wrong type, or has a value that is not accepted.

    Attributes:
        claim: The name of the claim, one of those this package checks.
    """

    _vocabulary: ClassVar = {
        f"claim_{claim}": f"The claim {claim} of the access token is missing or not accepted."
        for claim in ("iss", "token_use", "client_id", "exp", "nbf", "iat", "scope", "sub", "username", "jti")
    } | {"claim_cognito:groups": "The claim cognito:groups of the access token is not accepted."}

    def __init__(self, claim: str, reason: str | None = None) -> None:
        self.claim = claim
        super().__init__(reason or f"claim_{claim}")


class AudienceError(ClaimError):
    """
    The token is not meant for this API, by its scopes or its `aud`.

    `UserPool` has the rules. `claim` is `aud`, even if a scope of this API would have been enough.
    """

    _vocabulary: ClassVar = {"audience": "The access token is not meant for this API."}

    def __init__(self) -> None:
        super().__init__("aud", "audience")


class ExpiredTokenError(InvalidTokenError):
    """The token has expired. Nothing is said about the rest of it."""

    _vocabulary: ClassVar = {"expired": "The access token has expired."}

    def __init__(self) -> None:
        super().__init__("expired")


class SignatureError(InvalidTokenError):
    """The signature was not made by a key that the user pool publishes."""

    _vocabulary: ClassVar = {
        "unknown_key": "The access token is signed with a key that the user pool does not publish.",
        "signature": "The signature of the access token does not match.",
    }


class InsufficientScopeError(BearerError):
    """
    The token is valid, but does not grant what the route requires.

    Attributes:
        required: The scopes that the route asks for, sorted; empty if it asks for something else.
        needed: What the route asks for, in words; for logs.
    """

    status = 403
    code: ClassVar[str | None] = "insufficient_scope"
    _vocabulary: ClassVar = {
        "scope": "The access token lacks a scope that this resource requires.",
        "group": "The user is in none of the groups that this resource requires.",
        "caller": "This resource is not for callers of this kind.",
        "condition": "The caller does not meet a condition of this resource.",
    }

    def __init__(self, reason: str, required: tuple[str, ...] = (), needed: str = "") -> None:
        self.required = required
        self.needed = needed
        super().__init__(reason)


class KeysUnavailableError(RefusalError):
    """
    There is no key to verify the token with: the user pool's key set could not be fetched.

    Attributes:
        retry_after: Whole seconds after which the caller may try again, at least 1.
    """

    status = 503
    code: ClassVar[str | None] = "temporarily_unavailable"
    _vocabulary: ClassVar = {"keys_unavailable": "The keys to verify access tokens are not available at the moment."}

    def __init__(self, retry_after: int) -> None:
        self.retry_after = retry_after
        super().__init__("keys_unavailable")


class NotInstalledError(RefusalError):
    """A route has a requirement of this guard, but the guard has not seen the request."""

    status = 500
    code: ClassVar[str | None] = "server_error"
    _vocabulary: ClassVar = {"not_installed": "The server is not set up to verify access tokens."}

    def __init__(self) -> None:
        super().__init__("not_installed")


class TokenRequestError(GuardError):
    """
    No token was obtained from the token endpoint (the calling side, `cognito_guard.client`).

    Message and attributes never contain a secret, a token or text that the token endpoint wrote.

    Attributes:
        error: The OAuth error code of the answer (RFC 6749 section 5.2, RFC 8707 section 2), or one of this package:
            `throttled`, `unavailable`, `unreachable`, `timeout`, `redirected`, `invalid_answer`,
            `secret_unavailable`, `no_thread`.
        status: The HTTP status of the answer, or None if there was none.
        retry_after: Seconds after which another call may succeed, or None if only a change of settings helps.
        cause: The type of the exception that ended the attempt, such as `ConnectError`, or None.
        advice: What to do, in one sentence.
    """

    _advice: ClassVar[dict[str, str]] = {
        "invalid_client": "Compare client_id and client_secret with the app client in the AWS console; during a "
        "rotation pass both secrets.",
        "invalid_grant": "Enable the client_credentials flow of the app client and assign the scopes to it.",
        "unauthorized_client": "Enable the client_credentials flow of the app client and assign the scopes to it.",
        "invalid_scope": "Write scopes as resource-server/scope, and assign each of them to the app client.",
        "invalid_request": "Check token_url, resource and aws_client_metadata.",
        "invalid_target": "Use a resource that the user pool has a resource server for.",
        "unsupported_grant_type": "Check that token_url ends in /oauth2/token.",
        "throttled": "Share tokens between processes with store=, or use tokens that live longer.",
        "unavailable": "Call again later; the token endpoint reports a failure of its own.",
        "unreachable": "Check that this machine can reach the host of token_url, and that its certificate is valid.",
        "timeout": "Call again later, or raise timeout; the token endpoint did not answer in time.",
        "redirected": "Write the final address of the token endpoint in token_url; redirects are not followed.",
        "invalid_answer": "Check that token_url is the token endpoint of the user pool, such as "
        "https://DOMAIN/oauth2/token.",
        "secret_unavailable": "Check what client_secret() does: it raised an exception, or did not return one or "
        "two strings.",
        "no_thread": "Call before the interpreter shuts down, or allow the process more threads.",
    }

    def __init__(
        self, error: str, status: int | None = None, retry_after: float | None = None, cause: str | None = None
    ) -> None:
        self.error = error
        self.status = status
        self.retry_after = retry_after
        self.cause = cause
        self.advice: str = self._advice.get(error, "Look the error code up in the documentation of the token endpoint.")
        super().__init__(error, status, retry_after, cause)

    def __str__(self) -> str:
        status = None if self.status is None else f"HTTP status {self.status}"
        details = ", ".join(filter(None, (status, self.cause)))
        return f"no access token: {self.error}{details and f' ({details})'}. {self.advice}"
