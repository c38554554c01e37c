"""Why there is no token, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from cognito_guard.errors import TokenRequestError


@dataclass(frozen=True, slots=True)
class Failure:
    """
    One failed attempt to get a token.

    A value and not an exception: an exception would carry the frames of the thread, which contain secrets, to every
    caller.

    Attributes:
        error: The code, as in `TokenRequestError.error`.
        status: The HTTP status of the answer, or None.
        retry_after: Seconds that the answer asks to wait for, or None.
        passing: Whether the same request can succeed later.
        cause: The type of the exception that ended the attempt, or None.
    """

    error: str
    status: int | None = None
    retry_after: float | None = None
    passing: bool = False
    cause: str | None = None

    def exception(self, retry_after: float | None) -> TokenRequestError:
        """Return a new exception for one caller, who may try again after *retry_after* seconds."""
        return TokenRequestError(self.error, self.status, retry_after, self.cause)
