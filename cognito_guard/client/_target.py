"""Where tokens and secrets may be sent."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

from cognito_guard._urls import is_loopback
from cognito_guard.errors import ConfigurationError


class Address(Protocol):
    """A URL of httpx or httpx2."""

    @property
    def scheme(self) -> str:
        """The scheme, such as `https`, in lower case."""
        ...

    @property
    def host(self) -> str:
        """The host without port and brackets, in lower case."""
        ...


class Targets:
    """
    Decides which requests may carry the token.

    Args:
        hosts: The only hosts that may get it, or None for any.
        allow_insecure_http: Whether plain http is allowed beyond loopback.

    Raises:
        ConfigurationError: A host has a scheme, port or path, or *hosts* is empty.

    """

    def __init__(self, hosts: Collection[str] | None, *, allow_insecure_http: bool) -> None:
        self._hosts: Final = None if hosts is None else _hosts(hosts)
        self._allow_insecure_http: Final = allow_insecure_http

    def check(self, url: Address) -> None:
        """
        Return if a request to *url* may carry the token.

        Raises:
            ConfigurationError: It may not carry the token. Nothing has been sent.

        """
        if url.scheme != "https" and not self._allow_insecure_http and not is_loopback(url.host):
            raise ConfigurationError(
                f"the access token is not sent to {url.scheme}://{url.host}, because anyone in between could read it; "
                "use https, or allow_insecure_http=True in a network that you trust"
            )
        if self._hosts is not None and url.host not in self._hosts:
            raise ConfigurationError(
                f"the access token is not sent to {url.host}; hosts= names {', '.join(sorted(self._hosts))}"
            )


def _hosts(hosts: Collection[str]) -> frozenset[str]:
    if isinstance(hosts, str) or not hosts or not all(isinstance(host, str) and _is_host(host) for host in hosts):
        raise ConfigurationError(
            "hosts must be a non-empty collection of host names without scheme, port and path, such as "
            f"{{'api.example.com'}}; got {hosts!r}"
        )
    return frozenset(host.lower() for host in hosts)


def _is_host(host: str) -> bool:
    address = f"[{host}]" if ":" in host else host
    try:
        return bool(host) and urlsplit(f"https://{address}/").hostname == host.lower()
    except ValueError:
        return False


def token_endpoint(url: str, *, allow_insecure_http: bool) -> str:
    """
    Return *url* if a client's secret may be sent to it.

    Raises:
        ConfigurationError: It is not an absolute URL; or it has a user, a query or a fragment; or it is plain http to a
            host that is not loopback, without *allow_insecure_http*.

    """
    parts = _parts(url)
    if parts is None:
        raise ConfigurationError(
            "token_url must be the absolute URL of the token endpoint without user, query and fragment, such as "
            f"'https://DOMAIN/oauth2/token'; got {url!r}"
        )
    if parts.scheme != "https" and not allow_insecure_http and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            "token_url must be an https:// URL, because the client secret is sent to it; plain http:// is for loopback "
            f"hosts only, or with allow_insecure_http=True; got {url!r}"
        )
    return url


def _parts(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        # Reading the port raises if it is invalid.
        usable = parts.scheme in {"https", "http"} and bool(parts.hostname) and parts.port != 0
    except (AttributeError, TypeError, ValueError):
        return None
    plain = usable and url.isascii() and url.isprintable() and not any(character in url for character in " @?#")
    return parts if plain else None
