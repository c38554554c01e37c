"""What gets a key set: the seam for tests and for networks that need their own HTTP client."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Final, Protocol

MAX_LENGTH: Final = 64 * 1024
"""Largest key set read, in bytes, after decompression. Cognito's are below 1 KiB."""


class Fetch(Protocol):
    """What gets a key set; the seam for tests and for networks that need a client of their own."""

    def __call__(self, url: str, timeout: float) -> bytes:
        """
        Return the body behind *url*. Called on a thread where blocking is fine; any exception counts as a failure.

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

    The message and the advice are in our own words, safe to show on a status page.
    """

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice: Final = advice


def built_in(urls: Iterable[str]) -> Fetch:
    """
    Return the built-in GET, made ready for *urls*: everything it uses is imported, and the TLS context is made.

    Call it where a guard is made. A process that is forked while one of its threads imports a module can never import
    that module, and an import on the event loop makes requests wait.
    """
    # Not imported above: `import cognito_guard` does not import httpx.
    get = import_module("cognito_guard._keys.get")
    get.prepare(urls)
    built_in: Fetch = get.get
    return built_in
