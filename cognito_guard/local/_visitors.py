"""
Who may use the console.

The console shows secrets and signs anything, so pages of other sites in the same browser must not reach it. Host names
other than localhost are refused, because of DNS rebinding. Other origins are refused too. Each request also needs a
header of the page and JSON: another origin can only send these after a CORS preflight, and no preflight is allowed.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from starlette.requests import Request

_HEADER: Final = "x-cognito-guard"  # any value
_HOST: Final = re.compile(r"(?:\[([^]]+)\]|([^:]+))(?::\d+)?")


def is_own_page(request: Request) -> bool:
    """Return whether *request* comes from the console page, or not from a browser."""
    own = f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    return (
        is_own_host(request)
        and request.headers.get("origin", own) == own
        and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
        and request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        and _HEADER in request.headers
    )


def is_own_host(request: Request) -> bool:
    """Return whether *request* was sent to an IP address or to localhost, which DNS cannot redirect."""
    host = _HOST.fullmatch(request.headers.get("host", ""))
    name = "" if host is None else host[1] or host[2]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
