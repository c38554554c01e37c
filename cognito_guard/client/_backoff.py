"""How long to wait before the next token request after a failure."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Final

from cognito_guard.client._failure import Failure
from cognito_guard.client._seams import Seams

_FIRST: Final = 0.5
_LONGEST: Final = 5.0
_LONGEST_THROTTLED: Final = 30.0
_REFUSED: Final = 10.0
_LONGEST_REFUSED: Final = 60.0
_LONGEST_RETRY_AFTER: Final = 5 * 60.0
_SPREAD: Final = 0.1


class Backoff:
    """
    Delays that grow with each failure and differ between processes.

    Not thread-safe, and need not be: the jobs of one client run one after another. A job that was given up can only
    change a delay.

    Args:
        seams: The monotonic clock and the randomness.

    Attributes:
        not_before: The monotonic time before which no request is due.
        failure: The last failure, None after a success.

    """

    def __init__(self, seams: Seams) -> None:
        self._seams: Final = seams
        self._failures = 0
        self.not_before = float("-inf")
        self.failure: Failure | None = None

    def note_success(self) -> None:
        """Reset the delay to the shortest one."""
        self._failures = 0
        self.not_before = float("-inf")
        self.failure = None

    def note_failure(self, failure: Failure) -> float:
        """
        Return the seconds until the next request is due.

        A failure that may pass, such as 429, 5xx or no connection: as long as its `Retry-After` says, up to 5 minutes.
        Up to a tenth is added, so that the processes of a fleet do not return at the same moment. Without
        `Retry-After`, the delay doubles from 0.5 to 5 s (to 30 s when over quota), and is multiplied by a random number
        between 0.5 and 1. Calls wait 10 s by default: with longer delays they would fail although the endpoint is back.

        Any other failure, such as `invalid_client`: the delay doubles from 10 to 60 s. A wrong secret must not use up
        the account's quota of token requests.
        """
        spread = 1 + _SPREAD * self._seams.random()
        if not failure.passing:
            delay = min(_LONGEST_REFUSED, _REFUSED * 2.0**self._failures) * spread
        elif failure.retry_after is None:
            longest = _LONGEST_THROTTLED if failure.error == "throttled" else _LONGEST
            delay = min(longest, _FIRST * 2.0**self._failures) * (1 + self._seams.random()) / 2
        else:
            delay = min(_LONGEST_RETRY_AFTER, failure.retry_after) * spread
        self._failures = min(self._failures + 1, 10)  # 2**10 is above every limit
        self.failure = failure
        self.not_before = self._seams.timer() + delay
        return delay

    def gives_up(self, urgent: bool, deadline: float) -> Failure | None:  # noqa: FBT001 - of an errand
        """Return the last failure if the caller gains nothing from waiting for the next request; else None."""
        if self.failure is not None and (not urgent or not self.failure.passing or self.not_before >= deadline):
            return self.failure
        return None


def retry_after(value: str | None, now: float) -> float | None:
    """
    Return the seconds that a `Retry-After` header asks for (RFC 9110 section 10.2.3), or None if it is invalid.

    Args:
        value: Whole seconds or an HTTP date.
        now: Seconds since the epoch.

    """
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError, OverflowError):
        return None


class ForcedPurchases:
    """
    Limits the purchases that a 401 of the API causes.

    An API that answers 401 to every token, because its audience or client list is wrong, would otherwise cause one
    purchase per call. The pause after such a purchase is 10 s. It doubles with each further one, up to 15 minutes.

    Args:
        timer: Monotonic clock, in seconds.

    """

    _SHORTEST: Final = 10.0
    _LONGEST: Final = 15 * 60.0

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer: Final = timer
        self._pause = self._SHORTEST
        self._last = float("-inf")

    def allow(self) -> bool:
        """Return whether one more purchase is allowed now, and count it if so."""
        now = self._timer()
        since = now - self._last
        if since < self._pause:
            return False
        # After a long time without a 401, start with the shortest pause again.
        quiet = since >= 4 * self._pause
        self._pause = self._SHORTEST if quiet else min(self._LONGEST, self._pause * 2)
        self._last = now
        return True
