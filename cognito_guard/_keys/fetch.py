"""The function that gets a key set. Replace it in tests, or to use your own HTTP client."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Final, Protocol

MAX_LENGTH: Final = 64 * 1024
"""Largest key set that is read, in bytes, after decompression. Cognito's are below 1 KiB."""


class Fetch(Protocol):
    """The function that gets a key set. Replace it in tests, or to use your own HTTP client."""

    def __call__(self, url: str, timeout: float) -> bytes:
        """
        Return the body behind *url*. May block: it is called on its own thread. Any exception counts as a failure.

        Args:
            url: One of `UserPool.jwks_urls`.
            timeout: Seconds that the whole call may take. A call that takes longer counts as failed; one more attempt
                may start beside it.

        """
        ...


class FetchError(Exception):
    """
    The key set was not obtained.

    Attributes:
        advice: What to look at, or "".

    Message and advice contain no text of the server, so they are safe to show on a status page.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice: Final = advice


def built_in(urls: Iterable[str]) -> Fetch:
    """
    Return the built-in GET, after importing everything it uses and making its TLS context for *urls*.

    Call it when a guard is made. If a process is forked while one of its threads imports a module, the child can never
    import that module. An import on the event loop makes requests wait.
    """
    # Not imported above: `import cognito_guard` does not import httpx.
    get = import_module("cognito_guard._keys.get")
    get.prepare(urls)
    built_in: Fetch = get.get
    return built_in
