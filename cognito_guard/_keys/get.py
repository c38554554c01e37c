"""
One GET of a key set with httpx, within one deadline.

The GET blocks, so it runs on its own thread (see `attempt`) with its own event loop (see `loop`). Only this applies one
deadline to the look-up of the host, the handshake and a slow answer. Importing this module imports everything the GET
uses; nothing may be imported on that thread.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from importlib import import_module
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx

from cognito_guard._keys.fetch import MAX_LENGTH, FetchError
from cognito_guard._keys.loop import OneJobLoop, Resolve
from cognito_guard._urls import is_loopback

# httpx and its dependencies import these at their first use.
for _name in ("encodings.idna", "idna", "httpcore", "httpcore._backends.anyio", "anyio._backends._asyncio", "socksio"):
    with suppress(ImportError):
        import_module(_name)

_HEADERS: Final = {
    "Accept": "application/jwk-set+json, application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "cognito-guard",
    "Connection": "close",
}
_CA_VARIABLES: Final = ("SSL_CERT_FILE", "SSL_CERT_DIR")

_REGION: Final = "check the region in the pool id, and that this machine can resolve public host names"
_ROUTE: Final = (
    "check the way out: NAT gateway or VPC endpoint, route table, security group; or name a proxy in HTTPS_PROXY"
)
_PROXY: Final = "check the proxy that HTTPS_PROXY or ALL_PROXY names; list hosts that need none in NO_PROXY"
_CERTIFICATE: Final = "if a proxy inspects TLS, name its certificate authority in SSL_CERT_FILE; check the clock"
_POOL: Final = "check that the user pool exists in this region, and jwks_url if it is set"
_BLOCKED: Final = "check for a proxy or firewall that blocks the URL"
_AWS: Final = "the endpoint has a problem; see the AWS Health Dashboard if it lasts"
_NO_KEY_SET: Final = "check jwks_url, and for a proxy or login page that answers instead"


def prepare(urls: Iterable[str]) -> None:
    """Make the TLS context now if one of *urls* needs it."""
    if any(url.startswith("https:") for url in urls):
        _tls()


def get(
    url: str, timeout: float, *, resolve: Resolve = socket.getaddrinfo, timer: Callable[[], float] = time.monotonic
) -> bytes:
    """
    Return the body behind *url*. Only status 200 with at most `MAX_LENGTH` bytes is accepted.

    Redirects are not followed. Environment variables set the trusted authorities (`SSL_CERT_FILE`, `SSL_CERT_DIR`; else
    those of the system and of certifi) and, for hosts other than loopback, a proxy (`HTTPS_PROXY`, `ALL_PROXY`,
    `NO_PROXY`, as in httpx).

    Args:
        url: The URL of the key set.
        timeout: Seconds from the look-up of the host to the last byte; see `OneJobLoop.within`.
        resolve: Looks up hosts, as `socket.getaddrinfo` does.
        timer: Monotonic clock, in seconds.

    Raises:
        FetchError: The answer was not accepted, or there was none within *timeout* seconds.

    """
    attempt = _Get(url)
    try:
        with asyncio.Runner(loop_factory=lambda: OneJobLoop(resolve, timer)) as runner:
            return runner.run(attempt.run(timeout))
    except FetchError:
        raise
    except Exception as error:
        raise attempt.failure(error) from error


@lru_cache(maxsize=4)
def _tls_of(*files: str | None) -> ssl.SSLContext:
    if any(files):
        return ssl.create_default_context()
    # Python on macOS and in minimal images has no authorities. Use those of certifi, a dependency of httpx, and the
    # system's.
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context


def _tls() -> ssl.SSLContext:
    return _tls_of(*map(os.environ.get, _CA_VARIABLES))


class _Get:
    """One GET. It records the current step, so that an error can name the step that failed."""

    def __init__(self, url: str) -> None:
        self._url: Final = url
        self._step = ""
        self._host = self._peer = ""

    async def run(self, timeout: float) -> bytes:  # noqa: ASYNC109 - of it all
        loop = cast("OneJobLoop", asyncio.get_running_loop())
        try:
            return await loop.within(timeout, self._run())
        except TimeoutError:
            raise self._too_late(timeout, looking_up=loop.looking_up) from None

    async def _run(self) -> bytes:
        parts = urlsplit(self._url)
        local = is_loopback(parts.hostname or "")
        # Making the real context takes a tenth of a second. Plain http does not need it.
        verify = _tls() if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            client = httpx.AsyncClient(headers=_HEADERS, verify=verify, trust_env=not local, timeout=None)  # noqa: S113 - `within` bounds all of it
        except Exception as error:
            raise FetchError("the proxy that the environment names cannot be used", _PROXY) from error
        async with (
            client,
            client.stream("GET", self._url, extensions={"trace": self._trace}) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise _wrong_status(response.status_code)
            return await _body(response)

    async def _trace(self, event: str, info: dict[str, Any]) -> None:
        # An event is such as "connection.connect_tcp.started" (httpcore, "Request extensions: trace").
        _, step, moment = event.rsplit(".", 2)
        if moment == "started":
            self._step = step
            if step == "connect_tcp":
                self._host, self._peer = info["host"], f"{info['host']}:{info['port']}"

    def _too_late(self, timeout: float, *, looking_up: bool) -> FetchError:
        limit = f"within {timeout:.3g} s"
        if looking_up:
            return FetchError(f"the look-up of {self._host} gave no answer {limit}", _REGION)
        if self._step == "connect_tcp":
            return FetchError(f"no connection to {self._peer} {limit}", _ROUTE)
        if self._step == "start_tls":
            return FetchError(f"no TLS handshake with {self._peer} {limit}", _ROUTE)
        return FetchError(f"no complete answer from {self._peer} {limit}", _AWS)

    def failure(self, error: Exception) -> FetchError:
        # Only messages of the system, the resolver and OpenSSL are shown. Other messages may quote the server.
        root = _os_error(error)
        if isinstance(root, socket.gaierror):
            return FetchError(f"the look-up of {self._host} failed: {root.strerror}", _REGION)
        if isinstance(root, ssl.SSLError):
            return FetchError(f"the TLS handshake with {self._peer} failed: {root.strerror}", _CERTIFICATE)
        if isinstance(error, httpx.ProxyError):
            status = re.match(r"\d{3}\b", str(error))
            return FetchError(f"the proxy's status {status[0] if status else 'unknown'} instead of 200", _PROXY)
        if isinstance(error, httpx.ConnectError):
            reason = "the connection was closed" if root is None else os.strerror(root.errno or 0)
            return FetchError(f"no connection to {self._peer}: {reason}", _ROUTE)
        if isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
            return FetchError(f"the answer from {self._peer} is cut short or not HTTP", _BLOCKED)
        return FetchError(f"the request failed: {type(error).__name__}")


def _os_error(error: BaseException | None) -> OSError | None:
    """Return the error of the system, the resolver or OpenSSL; of several attempts to connect, that of the first."""
    found = None
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            found = error
        group = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
        error = next(iter(group), None) or error.__cause__ or error.__context__
    return found


def _wrong_status(status: int) -> FetchError:
    if status in {400, 404}:
        advice = _POOL
    elif status >= 500 or status == 429:  # noqa: PLR2004 - server errors, too many requests
        advice = _AWS
    else:
        advice = _BLOCKED
    return FetchError(f"status {status} instead of 200", advice)


async def _body(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        _check_length(body)
    encoding = response.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return bytes(body)
    if encoding != "gzip":
        raise FetchError("the answer has a content encoding that was not asked for", _BLOCKED)
    # Gzip can expand a thousand times. Stop one byte after the limit: that is enough to see that it is too long.
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = inflater.decompress(body, MAX_LENGTH + 1)
    except zlib.error as error:
        raise FetchError("the answer says it is gzip, but is not", _BLOCKED) from error
    _check_length(content)
    if not inflater.eof:
        raise FetchError("the answer is truncated", _BLOCKED)
    return content


def _check_length(content: bytes | bytearray) -> None:
    if len(content) > MAX_LENGTH:
        raise FetchError(f"the answer is longer than {MAX_LENGTH} bytes", _NO_KEY_SET)
