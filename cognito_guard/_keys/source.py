"""The URLs of one user pool's key set. They are asked in turn until one gives keys."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from cognito_guard._keys.fetch import Fetch, FetchError
from cognito_guard._keys.jwks import Key, NoUsableKeyError, parse_jwks

OUTLIVED: Final = FetchError(
    "the fetch did not end within its timeout",
    "the process was stopped meanwhile, had too little processor time, or its own fetch ignores the timeout",
)
NO_THREAD: Final = FetchError("no thread could be started", "check the limits on threads and memory of the process")
_NO_KEY_SET: Final = "check jwks_url, and for a proxy or login page that answers instead"
_OWN_FETCH: Final = "check the function given as fetch"


class KeySource:
    """
    Gets the keys behind *urls*.

    Args:
        urls: The URLs. All of them publish the same keys.
        fetch: Gets the document behind a URL.
        timer: Monotonic clock, in seconds.

    """

    def __init__(self, urls: Iterable[str], fetch: Fetch, timer: Callable[[], float]) -> None:
        self._urls: Final = deque(urls)
        self._fetch: Final = fetch
        self._timer: Final = timer

    def keys(self, timeout: float) -> dict[str, Key]:
        """
        Return the usable keys, by `kid`. Starts with the URL that worked last.

        Args:
            timeout: Seconds for all URLs together. The next one is asked only if there is time left.

        Raises:
            FetchError: No URL gave keys. The message names each URL and what went wrong.

        """
        deadline = self._timer() + timeout
        urls_by_failure: dict[str, list[str]] = {}
        advice: dict[str, None] = {}
        for _ in range(len(self._urls)):
            url = self._urls[0]
            try:
                return parse_jwks(_bytes(self._fetch(url, deadline - self._timer())))
            except BaseException as error:  # noqa: BLE001 - the user's own fetch may raise anything
                failure = _failure(error)
            urls_by_failure.setdefault(str(failure), []).append(url)
            advice[failure.advice] = None
            # The next attempt starts with a URL that did not use up the time of this one.
            self._urls.rotate(-1)
            if self._timer() >= deadline:
                break
        raise FetchError(
            "; ".join(f"{' and '.join(urls)}: {failure}" for failure, urls in urls_by_failure.items()),
            "; ".join(filter(None, advice)),
        )


def _bytes(body: object) -> bytes:
    if not isinstance(body, bytes):
        raise FetchError(f"the fetch returned {type(body).__name__}, not bytes", _OWN_FETCH)
    return body


def _failure(error: BaseException) -> FetchError:
    if isinstance(error, FetchError):
        return error
    if isinstance(error, NoUsableKeyError):
        return FetchError(str(error), _NO_KEY_SET)
    # The message of the error may quote the server.
    return FetchError(f"the fetch raised {type(error).__name__}", _OWN_FETCH)
