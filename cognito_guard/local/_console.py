"""The console: a page for people at this machine, and the JSON behind it."""

from __future__ import annotations

import dataclasses
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from importlib.resources import files
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from cognito_guard._grammar import check_strings
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._clients import LocalClient
from cognito_guard.local._faults import Fault, Faults, NoAnswer
from cognito_guard.local._judge import judge
from cognito_guard.local._keys import SigningKey
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import Recorder
from cognito_guard.local._visitors import is_own_host, is_own_page

_LARGEST_BODY: Final = 64 * 1024  # bytes
_FAULTS: Final[Mapping[str, Fault | None]] = {
    "none": None,
    "slow": Fault(delay=2.0),
    "hangs": Fault(hangs=True),
    "error": Fault(status=500),
    "bad_json": Fault(bad_json=True),
}

_Answer = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


def console_routes(
    pools: Sequence[LocalPool], faults: Faults, traffic: Recorder, on_change: Callable[[], object] | None
) -> list[BaseRoute]:
    """
    Return the routes of the console.

    Args:
        pools: What it shows and changes.
        faults: Likewise.
        traffic: Where requests are noted.
        on_change: Called after a change of *pools*, if given.

    """
    console = _Console(pools, faults, traffic, on_change)
    answers = {"state": console.state, "token": console.token, "judge": console.judge}
    answers |= {"keys": console.keys, "faults": console.faults}
    return [
        Route("/", _page, methods=["GET"]),
        Mount(
            "/console",
            routes=[Route(f"/{name}", _endpoint(answer), methods=["POST"]) for name, answer in answers.items()],
        ),
    ]


class _Console:
    """What the page asks for; raises ConfigurationError where that can not be had."""

    def __init__(
        self,
        pools: Sequence[LocalPool],
        faults: Faults,
        traffic: Recorder,
        on_change: Callable[[], object] | None,
    ) -> None:
        self._pools: Final = {pool.pool_id: pool for pool in pools}
        self._faults: Final = faults
        self._traffic: Final = traffic
        self._on_change: Final = on_change

    async def state(self, _asked: Mapping[str, Any]) -> Mapping[str, Any]:
        return {
            "pools": [_pool_state(pool) for pool in self._pools.values()],
            "faults": {route: _fault_name(getattr(self._faults, route)) for route in ("jwks", "token")},
            "requests": [dataclasses.asdict(seen) for seen in reversed(self._traffic.requests)],
        }

    async def token(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        pool = self._pool(asked)
        options: dict[str, Any] = {"client_id": _text(asked, "client_id")}
        kind = _text(asked, "kind")
        scopes = check_strings("scopes", asked.get("scopes", []))
        if kind == "machine":
            return {"token": pool.mint(*scopes, **options)}
        username = _text(asked, "username") or "somebody"
        options["groups"] = check_strings("groups", asked.get("groups", []))
        if kind == "user":
            return {"token": pool.mint_user(username, *scopes, **options)}
        if kind == "id":
            return {"token": pool.mint_id(username, **options)}
        raise ConfigurationError(f"there is no such kind of token: {kind!r}")

    async def judge(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        checks = await judge(self._pool(asked), _text(asked, "token"))
        return {"checks": [dataclasses.asdict(check) for check in checks]}

    async def keys(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        pool = self._pool(asked)
        actions: dict[str, Callable[[], object]] = {
            "rotate": pool.rotate,
            "withdraw": lambda: pool.withdraw(_text(asked, "kid")),
            "replace": lambda: pool.replace(_text(asked, "kid")),
        }
        action = actions.get(_text(asked, "action"))
        if action is None:
            raise ConfigurationError("action must be rotate, withdraw or replace")
        action()
        if self._on_change is not None:
            self._on_change()
        return {}

    async def faults(self, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        route, fault = _text(asked, "route"), _text(asked, "fault")
        if route not in {"jwks", "token"} or fault not in _FAULTS:
            raise ConfigurationError(f"route must be jwks or token, and fault one of {', '.join(_FAULTS)}")
        setattr(self._faults, route, _FAULTS[fault])
        return {}

    def _pool(self, asked: Mapping[str, Any]) -> LocalPool:
        pool = self._pools.get(_text(asked, "pool"))
        if pool is None:
            raise ConfigurationError("there is no such user pool here")
        return pool


def _text(asked: Mapping[str, Any], name: str) -> str:
    value = asked.get(name, "")
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be a string")
    return value


def _fault_name(fault: Fault | None) -> str:
    return next((name for name, known in _FAULTS.items() if known == fault), "other")


def _pool_state(pool: LocalPool) -> dict[str, Any]:
    published = {key.kid: key for key in pool.published}
    keys = published | {key.kid: key for key in (pool.keys.access, pool.keys.identity)}
    return {
        "id": pool.pool_id,
        "issuer": pool.issuer,
        "resource_servers": {server.identifier: dict(server.scopes) for server in pool.resource_servers},
        "clients": [_client_state(pool, client) for client in pool.clients],
        "keys": [
            {"kid": kid, "signs": _signs(pool, key), "published": published.get(kid) is key}
            for kid, key in keys.items()
        ],
    }


def _client_state(pool: LocalPool, client: LocalClient) -> dict[str, Any]:
    return {
        "id": client.client_id,
        "name": client.name,
        "scopes": pool.scopes_of(client),
        "secrets": [secret.value for secret in client.secrets],
        "access_token_validity": client.access_token_validity,
    }


def _signs(pool: LocalPool, key: SigningKey) -> str:
    if key is pool.keys.access:
        return "access tokens"
    return "ID tokens" if key is pool.keys.identity else "nothing new"


# HTTP


async def _page(request: Request) -> Response:
    if not is_own_host(request):
        return _refused("The console is there under an address or as localhost, not under another name.")
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer", **_PRIVATE}
    return Response(_template().replace("{{nonce}}", nonce), media_type="text/html", headers=headers)


_PRIVATE: Final = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@cache
def _template() -> str:
    return (files("cognito_guard.local") / "console.html").read_text(encoding="utf-8")


def _endpoint(answer: _Answer) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if not is_own_page(request):
            return _refused("Only the console page itself may ask for this.")
        body = b""
        try:
            async with aclosing(request.stream()) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > _LARGEST_BODY:
                        return JSONResponse({"error": "That is too long."}, 413, _PRIVATE)
        except ClientDisconnect:
            return NoAnswer()
        try:
            return JSONResponse(await answer(_members(body)), headers=_PRIVATE)
        except ConfigurationError as error:
            return JSONResponse({"error": str(error)}, 400, _PRIVATE)

    return endpoint


def _members(body: bytes) -> Mapping[str, Any]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("the body must be JSON") from error
    if not isinstance(asked, dict):
        raise ConfigurationError("the body must be a JSON object")
    return asked


def _refused(why: str) -> Response:
    return PlainTextResponse(why, 403, _PRIVATE)
