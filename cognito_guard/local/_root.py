"""The URL at which this server was called."""

from __future__ import annotations

from starlette.datastructures import URL
from starlette.requests import HTTPConnection


def root_url(request: HTTPConnection) -> str:
    """Return the URL of this app, also below a mount, without a final slash. Starlette checks the Host header."""
    # Leave the query string out: it comes from the caller and may not be valid text.
    scope = {**request.scope, "path": request.scope.get("root_path", ""), "query_string": b""}
    return str(URL(scope=scope)).rstrip("/")
