"""Somebody who calls the app."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Caller:
    """
    A client, or a user by way of one, with certain permissions.

    Pass it to an HTTP client as `auth=`: httpx, httpx2 and Starlette's TestClient take it. Each request then has a
    token of its own, as good as new, whatever the clock shows. Where only headers are taken, as for websockets, there
    are `headers`.

    Args:
        token: Returns a token that is good now.

    """

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token

    @property
    def token(self) -> str:
        """An access token issued just now."""
        return self._token()

    @property
    def headers(self) -> dict[str, str]:
        """The headers that carry a token issued just now."""
        return {"Authorization": f"Bearer {self.token}"}

    def __call__(self, request: Any) -> Any:
        """Return *request* of an HTTP client, with a token."""
        request.headers.update(self.headers)
        return request
