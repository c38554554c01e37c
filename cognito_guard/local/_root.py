"""The URL under which this server was called."""

from __future__ import annotations

from starlette.datastructures import URL
from starlette.requests import HTTPConnection


def root_url(request: HTTPConnection) -> str:
    """Return where this app is reached, also below a mount, without a final slash. Starlette checks the Host header."""
    # The query string is a stranger's and may not even be text.
    scope = {**request.scope, "path": request.scope.get("root_path", ""), "query_string": b""}
    return str(URL(scope=scope)).rstrip("/")
