"""A caller of the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Caller:
    """
    A client, or a user of a client, with certain permissions.

    Pass it to an HTTP client as `auth=`: httpx, httpx2 and Starlette's TestClient accept it. Each request then gets a
    new token, valid at the time of the clock. Use `headers` if only headers are possible, as for websockets.

    Args:
        token: Returns a token that is valid now.

    """

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    @property
    def token(self) -> str:
        """An access token issued just now."""
        return self._token()

    @property
    def headers(self) -> dict[str, str]:
        """The headers with a token issued just now."""
        return {"Authorization": f"Bearer {self.token}"}

    def __call__(self, request: Any) -> Any:
        """Return *request* of an HTTP client, with a token."""
        request.headers.update(self.headers)
        return request
