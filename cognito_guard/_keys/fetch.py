"""
One careful GET of a key set.

Blocking on purpose: it runs on a thread of its own (see `attempt`), with an event loop of its own, since only that
bounds everything - the look-up of the host, a handshake, a drip of bytes - by one deadline.

Nothing but the standard library, and nothing imported on that thread: a process that is forked while one of its
threads imports a module can never import it. An HTTP client would also cost each process 12 MB, and the first request
a quarter of a second.
"""

from __future__ import annotations

import asyncio
import base64
import encodings.idna  # noqa: F401 - or the first look-up would import it
import io
import os
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from email.message import Message
from http.client import parse_headers
from typing import Any, Final, Protocol
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import certifi

from cognito_guard._urls import is_loopback

MAX_LENGTH: Final = 64 * 1024
"""Largest key set read, in bytes, after decompression. Cognito's are below 1 KiB."""

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.\d (\d{3})( .*)?", re.DOTALL)
_HEADERS: Final = (
    "Accept: application/jwk-set+json, application/json",
    "Accept-Encoding: identity",
    "User-Agent: cognito-guard",
    "Connection: close",
)
_CERTIFI: Final = certifi.where()  # here, since it imports the rest of importlib.resources when it is first asked
_NEXT_ADDRESS: Final = 0.25
"""Seconds after which the next address of a host is tried beside the last one (RFC 8305 section 5)."""

Resolve = Callable[..., list[Any]]


class Fetch(Protocol):
    """What gets a key set; the seam for tests and for networks that need a client of their own."""

    def __call__(self, url: str, timeout: float) -> bytes:
        """
        Return the body behind *url*. Called on a thread where blocking is fine; any exception counts as a failure.

        Args:
            url: One of `UserPool.jwks_urls`.
            timeout: Seconds that the whole call may take. Until it returns there is no other attempt.

        """
        ...


class FetchError(Exception):
    """The key set was not obtained. The message is of our own words, safe to show on a status page."""


def fetch(url: str, timeout: float, *, resolve: Resolve = socket.getaddrinfo) -> bytes:
    """
    Return the body behind *url*; only a plain 200 of at most `MAX_LENGTH` bytes will do. Redirects are not followed.

    The environment names the authorities to trust (`SSL_CERT_FILE`, `SSL_CERT_DIR`; else those of the system and of
    certifi) and, for hosts other than loopback, an `http://` proxy (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).

    Args:
        url: Where the key set is.
        timeout: Seconds from the look-up of the host to the last byte.
        resolve: Looks up hosts, as `socket.getaddrinfo` does.

    Raises:
        FetchError: Anything else came, or nothing within *timeout* seconds.

    """
    try:
        parts = urlsplit(url)
        tls = _tls() if parts.scheme == "https" else None
        with asyncio.Runner(loop_factory=lambda: _Loop(resolve)) as runner:
            return runner.run(_get(parts, tls, timeout))
    except FetchError:
        raise
    except TimeoutError:
        raise FetchError(f"no complete answer within {timeout:.3g} s") from None
    except OSError as error:
        # What these say comes from the system, the resolver or OpenSSL. Other messages may quote the server.
        raise FetchError(f"the request failed: {type(error).__name__}: {error}") from error
    except Exception as error:
        raise FetchError(f"the request failed: {type(error).__name__}") from error


class _Loop(asyncio.SelectorEventLoop):
    """Looks up hosts on daemon threads. The usual ones keep the loop from closing, and the process from ending."""

    def __init__(self, resolve: Resolve) -> None:
        super().__init__()
        self._resolve: Final = resolve

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> list[Any]:
        answer = Future[list[Any]]()
        # Nobody may be waiting any more when the answer comes; it is to find a future that takes it nevertheless.
        answer.set_running_or_notify_cancel()

        def look_up() -> None:
            try:
                answer.set_result(self._resolve(host, port, **hints))
            except Exception as error:  # noqa: BLE001 - handed to who waits
                answer.set_exception(error)

        threading.Thread(target=look_up, name="cognito-guard look-up", daemon=True).start()
        return await asyncio.wrap_future(answer)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not os.environ.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"}:
        # Python on macOS and bare images come without any.
        context.load_verify_locations(_CERTIFI)
    return context


async def _get(parts: SplitResult, tls: ssl.SSLContext | None, timeout: float) -> bytes:  # noqa: ASYNC109 - of it all
    async with asyncio.timeout(timeout):
        host, port = parts.hostname or "", parts.port or (80 if tls is None else 443)
        proxy = None if tls is None else _proxy(host)
        reader, writer = await (
            _open(host=host, port=port, ssl=tls, happy_eyeballs_delay=_NEXT_ADDRESS)
            if proxy is None
            else _open(sock=await _tunnel(proxy, host, port), ssl=tls, server_hostname=host)
        )
        try:
            target = (parts.path or "/") + (parts.query and f"?{parts.query}")
            _send(writer, f"GET {target} HTTP/1.1", f"Host: {parts.netloc}", *_HEADERS)
            headers = await _head(reader, "status")
            return _decoded(await _body(reader, headers), headers.get("content-encoding", "identity"))
        finally:
            # Without the goodbyes of TLS, for which a server may let one wait.
            writer.transport.abort()


def _open(**options: Any) -> Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    return asyncio.open_connection(limit=MAX_LENGTH, **options)


async def _tunnel(proxy: SplitResult, host: str, port: int) -> socket.socket:
    reader, writer = await _open(host=proxy.hostname, port=proxy.port or 80)
    try:
        authority = f"{host}:{port}"
        _send(writer, f"CONNECT {authority} HTTP/1.1", f"Host: {authority}", *_credentials(proxy))
        await _head(reader, "the proxy's status")
        # The connection alone goes on, not its reader: what somebody in between put in ahead of the handshake would be
        # taken for the host's.
        connection: socket.socket = writer.get_extra_info("socket").dup()
        return connection
    finally:
        writer.transport.abort()


def _proxy(host: str) -> SplitResult | None:
    proxies = getproxies_environment()
    url = proxies.get("https") or proxies.get("all")
    if not url or is_loopback(host) or proxy_bypass(host):
        return None
    proxy = urlsplit(url if "://" in url else f"http://{url}")
    if proxy.scheme != "http":
        raise FetchError("the proxy that the environment names is not an http:// URL")
    return proxy


def _credentials(proxy: SplitResult) -> tuple[str, ...]:
    if proxy.username is None:
        return ()
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return (f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}",)


def _send(writer: asyncio.StreamWriter, *lines: str) -> None:
    writer.write("\r\n".join([*lines, "", ""]).encode("ascii"))


async def _head(reader: asyncio.StreamReader, what: str) -> Message:
    line, _, fields = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise FetchError("the answer is not HTTP")
    if match[1] != b"200":
        raise FetchError(f"{what} {int(match[1])} in place of 200")
    return parse_headers(io.BytesIO(fields))


async def _body(reader: asyncio.StreamReader, headers: Message) -> bytes:
    body = bytearray()
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked":
            raise FetchError("the answer has a transfer encoding that was not asked for")
        while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
            body += await reader.readexactly(_allowed(len(body) + size) - len(body))
            await reader.readexactly(len(b"\r\n"))
    elif length is not None:
        body += await reader.readexactly(_allowed(int(length)))
    else:
        while chunk := await reader.read(MAX_LENGTH):
            body += chunk
            _allowed(len(body))
    return bytes(body)


def _decoded(body: bytes, encoding: str) -> bytes:
    if encoding.lower() == "identity":
        return body
    if encoding.lower() != "gzip":
        raise FetchError("the answer has a content encoding that was not asked for")
    # A bomb grows a thousandfold: no more is inflated than tells that it is too long.
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = inflater.decompress(body, MAX_LENGTH + 1)
    except zlib.error as error:
        raise FetchError("the answer is not the gzip it claims to be") from error
    _allowed(len(content))
    if not inflater.eof:
        raise FetchError("the answer is truncated")
    return content


def _allowed(length: int) -> int:
    if length > MAX_LENGTH:
        raise FetchError(f"the answer is longer than {MAX_LENGTH} bytes")
    return length
