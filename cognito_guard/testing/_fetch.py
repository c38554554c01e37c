"""The key set of a `LocalCognito`, fetched without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Final

import anyio
from starlette.types import ASGIApp, Message, Scope

from cognito_guard._keys.fetch import FetchError

_patience: Final[ContextVar[float | None]] = ContextVar("_patience", default=None)


async def sleep(seconds: float) -> None:
    """Wait *seconds*. In an `InProcessFetch`, do not wait, but give up if the wait would exceed the time-out."""
    left = _patience.get()
    if left is None:
        await anyio.sleep(seconds)
    elif seconds >= left:
        raise TimeoutError
    else:
        _patience.set(left - seconds)


class InProcessFetch:
    """
    A guard's `fetch` that calls an ASGI app. Waiting is simulated, so it takes no time.

    Args:
        app: A `LocalCognito` made with `sleep`.
        paths: For each URL that a guard asks, the path of the key set in *app*.

    """

    def __init__(self, app: ASGIApp, paths: Mapping[str, str]) -> None:
        self._app: Final = app
        self._paths: Final = paths

    def __call__(self, url: str, timeout: float) -> bytes:
        """Return the body behind *url*; see `cognito_guard.CognitoGuard`."""
        return asyncio.run(self._get(self._paths[url], timeout))

    async def _get(self, path: str, timeout: float) -> bytes:  # noqa: ASYNC109 - reckoned
        _patience.set(timeout)
        body, status = b"", 0
        requests: list[Message] = [{"type": "http.request"}]

        async def receive() -> Message:
            if not requests:
                await asyncio.Event().wait()
            return requests.pop()

        async def send(message: Message) -> None:
            nonlocal body, status
            status = message.get("status", status)
            body += message.get("body", b"")

        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "server": ("localhost", 80),
            "client": ("127.0.0.1", 0),
        }
        try:
            await self._app(scope, receive, send)
        except* TimeoutError as errors:
            raise FetchError(f"no complete answer within {timeout:.3g} s") from errors
        if status != 200:  # noqa: PLR2004 - OK
            raise FetchError(f"status {status} instead of 200")
        return body
