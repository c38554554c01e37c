"""What API Gateway hands to a Lambda function."""

from __future__ import annotations

from typing import Any


def event(path: str, token: str | None) -> dict[str, Any]:
    """Return the event of a GET (payload format 2.0)."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": "api.example"} | ({} if token is None else {"authorization": f"Bearer {token}"}),
        "requestContext": {"http": {"method": "GET", "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"}},
        "isBase64Encoded": False,
    }
