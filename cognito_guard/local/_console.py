"""The console: a page for people at this machine, and the JSON behind it."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._body import BodyTooLargeError, read_body
from cognito_guard.local._console_actions import Answer, ConsoleActions
from cognito_guard.local._console_request import ConsoleRequest, ConsoleRequestError
from cognito_guard.local._faults import Faults, NoAnswer
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import Recorder
from cognito_guard.local._visitors import is_own_host, is_own_page

_LARGEST_BODY: Final = 64 * 1024  # bytes
_PRIVATE: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SCRIPTS: Final = ("tools", "tokens", "pool", "traffic", "main")

_Action = Callable[[ConsoleRequest], Awaitable[Answer]]


def console_routes(
    pools: Sequence[LocalPool], faults: Faults, traffic: Recorder, on_change: Callable[[], object] | None
) -> list[BaseRoute]:
    """
    Return the routes of the console.

    Args:
        pools: The pools that it shows and changes.
        faults: The faults that it shows and changes.
        traffic: The record of requests.
        on_change: Called after a change of *pools*, if given.

    """
    console = ConsoleActions(pools, faults, traffic, on_change)
    actions: dict[str, _Action] = {
        "state": console.state,
        "token": console.token,
        "judge": console.judge,
        "keys": console.keys,
        "clients": console.clients,
        "scopes": console.scopes,
        "faults": console.faults,
    }
    return [
        Route("/", _page, methods=["GET"]),
        Mount(
            "/console",
            routes=[Route(f"/{name}", _endpoint(action), methods=["POST"]) for name, action in actions.items()],
        ),
    ]


async def _page(request: Request) -> Response:
    if not is_own_host(request):
        return _refused("The console is served under an IP address or localhost only, not under another name.")
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", **_PRIVATE}
    return Response(_template().replace("{{nonce}}", nonce), media_type="text/html", headers=headers)


@cache
def _template() -> str:
    """Return the page with style and scripts inside: it is one file and loads nothing else."""
    folder = files("cognito_guard.local") / "console"

    def text(name: str) -> str:
        return (folder / name).read_text(encoding="utf-8")

    script = "\n".join(text(f"{name}.js") for name in _SCRIPTS)
    return text("page.html").replace("{{style}}", text("style.css")).replace("{{script}}", script)


def _endpoint(action: _Action) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not is_own_page(request):
            return _refused("Only the console page may call this endpoint.")
        try:
            body = await read_body(request, _LARGEST_BODY)
        except BodyTooLargeError:
            return JSONResponse({"error": "The body is larger than 64 KiB."}, 413, _PRIVATE)
        if body is None:
            return NoAnswer()
        try:
            return JSONResponse(await action(ConsoleRequest.parse(body)), headers=_PRIVATE)
        except (ConsoleRequestError, ConfigurationError) as error:
            return JSONResponse({"error": str(error)}, 400, _PRIVATE)

    return endpoint


def _refused(why: str) -> Response:
    return PlainTextResponse(why, 403, _PRIVATE)
