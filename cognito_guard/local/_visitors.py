"""
Who may use the console.

It shows secrets and signs anything, so pages of other sites in the same browser must not get at it. A name that leads
here is refused (DNS rebinding), and so is an origin that is not this one. What every request needs besides, a header of
its own and JSON, no page of another origin can send without asking first, and nobody says yes (no CORS).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from starlette.requests import Request

_HEADER: Final = "x-cognito-guard"  # whatever its value
_HOST: Final = re.compile(r"(?:\[([^]]+)\]|([^:]+))(?::\d+)?")


def is_own_page(request: Request) -> bool:
    """Return whether the console page sent *request*, or somebody who is not a browser."""
    own = f"{request.scope['scheme']}://{request.headers.get('host', '')}"
    return (
        is_own_host(request)
        and request.headers.get("origin", own) == own
        and request.headers.get("sec-fetch-site", "same-origin") == "same-origin"
        and request.headers.get("content-type", "").partition(";")[0].strip() == "application/json"
        and _HEADER in request.headers
    )


def is_own_host(request: Request) -> bool:
    """Return whether *request* came to an address, or to a name that no DNS server can point here."""
    host = _HOST.fullmatch(request.headers.get("host", ""))
    name = "" if host is None else host[1] or host[2]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
