"""
One careful GET of a key set.

Blocking on purpose: it runs on a thread of its own (see `_keys`), with an event loop of its own, since only that bounds
everything - connecting, a handshake, a drip of bytes - by one deadline.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import anyio

from cognito_guard._pool import is_loopback

if TYPE_CHECKING:
    import httpx

MAX_LENGTH: Final = 64 * 1024
"""Largest key set read, in bytes, after decompression. Cognito's are below 1 KiB."""

_HEADERS: Final = {
    "accept": "application/jwk-set+json, application/json",
    "accept-encoding": "identity",
    "user-agent": "cognito-guard",
}


class Fetch(Protocol):
    """What gets a key set; the seam for tests and for networks that need a client of their own."""

    def __call__(self, url: str, timeout: float) -> bytes:
        """
        Return the body behind *url*. Called on a thread where blocking is fine; any exception counts as a failure.

        Args:
            url: One of `UserPool.jwks_urls`.
            timeout: Seconds that the whole call may take.

        """
        ...


class FetchError(Exception):
    """The key set was not obtained. The message is of our own words, safe to show on a status page."""


def fetch(url: str, timeout: float) -> bytes:
    """
    Return the body behind *url*; only a plain 200 of at most `MAX_LENGTH` bytes will do. Redirects are not followed.

    Proxies and certificates are those of the environment (`HTTPS_PROXY`, `SSL_CERT_FILE`), except for loopback.

    Raises:
        FetchError: Anything else came, or nothing within *timeout* seconds.

    """
    # httpx costs a quarter of a second to import: paid here, off the event loop, and only by who needs it.
    import httpx  # noqa: PLC0415

    try:
        return anyio.run(_get, url, timeout)
    except TimeoutError:
        raise FetchError(f"no complete answer within {timeout:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise FetchError(f"the request failed: {type(error).__name__}") from error


async def _get(url: str, timeout: float) -> bytes:  # noqa: ASYNC109 - fetch() is given it by its caller
    import httpx  # noqa: PLC0415

    with anyio.fail_after(timeout):
        async with (
            httpx.AsyncClient(timeout=None, trust_env=not is_loopback(urlsplit(url).hostname or "")) as client,  # noqa: S113 - fail_after bounds all of it
            client.stream("GET", url, headers=_HEADERS, follow_redirects=False) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise FetchError(f"status {response.status_code} in place of 200")
            return _decoded(await _raw_body(response), response.headers.get("content-encoding", "identity"))


async def _raw_body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > MAX_LENGTH:
            raise _too_long()
    return bytes(body)


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding.lower() == "identity":
        return body
    if encoding.lower() != "gzip":
        raise FetchError("the answer has a content encoding that was not asked for")
    # Not left to httpx: it inflates whatever has arrived, and a bomb grows a thousandfold.
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = inflater.decompress(body, MAX_LENGTH + 1)
    except zlib.error as error:
        raise FetchError("the answer is not the gzip it claims to be") from error
    if len(content) > MAX_LENGTH:
        raise _too_long()
    if not inflater.eof:
        raise FetchError("the answer is truncated")
    return content


def _too_long() -> FetchError:
    return FetchError(f"the answer is longer than {MAX_LENGTH} bytes")
