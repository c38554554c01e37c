"""URLs as configuration: which ones are accepted, and from which ones the guard may fetch."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from cognito_guard.errors import ConfigurationError


def check_url(option: str, url: str) -> str:
    """
    Return *url* as it is.

    Raises:
        ConfigurationError: It is not an absolute http or https URL, names a user, has a fragment, or ends with a slash.

    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"https", "http"} and bool(parts.hostname) and not {"@", "#"}.intersection(url)
    except (AttributeError, TypeError, ValueError):
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url or url.endswith("/"):
        raise ConfigurationError(f"{option} must be an absolute URL without fragment or final slash; got {url!r}")
    return url


def check_fetchable(option: str, url: str, *, allow_insecure_http: bool) -> str:
    """
    Return *url* as it is.

    Raises:
        ConfigurationError: As `check_url`; or the URL is plain http to another host and *allow_insecure_http* is False.

    """
    if is_insecure(check_url(option, url)) and not allow_insecure_http:
        raise ConfigurationError(
            f"{option} must be an https:// URL; got {url!r}. Over plain http://, anyone in between can replace the "
            "keys, so it is for loopback hosts (127.0.0.1, localhost) only. For containers in "
            "development, write UserPool(..., allow_insecure_http=True) or set COGNITO_ALLOW_INSECURE_HTTP=1."
        )
    return url


def is_insecure(url: str) -> bool:
    """Return whether *url* is plain http to a host other than this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Return whether *host*, a name or an address, is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
