"""An ASGI app that serves user pools over HTTP as Cognito does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._body import BodyTooLargeError, read_body
from cognito_guard.local._console import console_routes
from cognito_guard.local._discovery import UNSERVED_PATHS, discovery_document
from cognito_guard.local._disputed import DisputedAnswers
from cognito_guard.local._faults import Faults, NoAnswer
from cognito_guard.local._json_api import api_response, is_for_token
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import Recorder, SeenRequest, note_reason, shown
from cognito_guard.local._root import root_url
from cognito_guard.local._setup import default_setup
from cognito_guard.local._token_endpoint import token_response

_LARGEST_TOKEN_REQUEST: Final = 16 * 1024  # bytes; 50 scopes of 256 characters fit
_LARGEST_API_REQUEST: Final = 256 * 1024  # bytes; a client with its most URLs fits

_FAULT: Final = "A fault is switched on."
_USERS_ONLY: Final = "Users cannot sign in at the local Cognito. Get their tokens from the console page or mint_user()."

_Answer = Callable[[Request, bytes, Sequence[LocalPool], DisputedAnswers], Response]


class LocalCognito:
    """
    An ASGI app that stands in for Cognito: token endpoint, AWS API, key sets and discovery documents.

    NOT for production: everyone who can reach it gets any token. Serve it with any ASGI server, mount it, or call it in
    process. You can also use it without HTTP, only to mint tokens. `mint`, `mint_user`, `mint_id`, `jwks` and
    `user_pool` are those of the first pool.

    Args:
        *pools: The user pools to serve, with different ids. At the token endpoint, the client id decides which pool
            answers. The default is one pool with a resource server `orders` (`order.read` and `order.write`) and a
            client that may ask for both scopes.
        disputed: How to answer where Cognito's answer is not known for certain.
        console: Whether there is a console page at `/`. It shows secrets and gives tokens to people at this machine,
            but not to pages of other sites in their browsers.
        on_change: Called after the console or the AWS API has changed something that a state file keeps.
        sleep: Waits a number of seconds, for `faults`.

    Attributes:
        pools: The user pools.
        pool: The first of them.
        disputed: As given; may be changed at any time.
        faults: The faults, to switch on and off.

    Raises:
        ConfigurationError: Two pools have the same id.

    """

    def __init__(
        self,
        *pools: LocalPool,
        disputed: DisputedAnswers | None = None,
        console: bool = True,
        on_change: Callable[[], object] | None = None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        self.pools: Final = pools or tuple(pool.make() for pool in default_setup().pools)
        self.disputed: DisputedAnswers = DisputedAnswers() if disputed is None else disputed
        self.faults: Final = Faults(sleep)
        self._on_change: Final = on_change
        self._by_id: Final = {pool.pool_id: pool for pool in self.pools}
        if len(self._by_id) < len(self.pools):
            raise ConfigurationError("each pool needs a different id")
        self.pool: Final = self.pools[0]
        self.mint: Final = self.pool.mint
        self.mint_user: Final = self.pool.mint_user
        self.mint_id: Final = self.pool.mint_id
        self.jwks: Final = self.pool.jwks
        self.user_pool: Final = self.pool.user_pool
        self._cognito: Final = Recorder(
            Starlette(
                routes=[
                    Route("/oauth2/token", self._oauth2_token, methods=["POST"]),
                    Route("/", self._api, methods=["POST"]),
                    *(Route(path, _not_served, methods=["GET", "POST"]) for path in UNSERVED_PATHS),
                    Route("/{pool_id}/.well-known/jwks.json", self._jwks, methods=["GET"]),
                    Route("/{pool_id}/.well-known/openid-configuration", self._discovery, methods=["GET"]),
                ],
                middleware=[
                    Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["*"])
                ],
            )
        )
        # The console is outside of CORS and of the record: no other origin may call it, and its requests are not
        # recorded.
        pages = console_routes(self.pools, self.faults, self._cognito, on_change) if console else ()
        self._app: Final = Starlette(routes=[*pages, Mount("/", self._cognito)], lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            self._note_url(scope)
        inner = dict(scope)
        if "query_string" in scope:
            # Servers log the query from this dict, and it may contain a client secret.
            scope["query_string"] = b""
        await self._app(inner, receive, send)

    def served_at(self, url: str) -> None:
        """
        Tell the pools with `issuer="self"` their URL. `serving` calls this.

        With another server, the URL of the first request is used.
        """
        for pool in self.pools:
            pool.served_at(url)

    def _note_url(self, scope: Scope) -> None:
        if any(pool.issuer_is_here and not pool.is_served for pool in self.pools):
            self.served_at(root_url(HTTPConnection(scope)))

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """The last 200 requests, the oldest first."""
        return self._cognito.requests

    def prepare(self) -> None:
        """Make all keys now, which takes a moment. A server does this before the first request."""
        for pool in self.pools:
            pool.prepare()

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(self.prepare)
        yield

    async def _oauth2_token(self, request: Request) -> Response:
        return await self._answer(request, token_response, _LARGEST_TOKEN_REQUEST, is_for_token=True)

    async def _api(self, request: Request) -> Response:
        answer = partial(api_response, on_change=self._on_change)
        return await self._answer(request, answer, _LARGEST_API_REQUEST, is_for_token=is_for_token(request))

    async def _answer(self, request: Request, answer: _Answer, largest: int, *, is_for_token: bool) -> Response:
        try:
            body = await read_body(request, largest)
        except BodyTooLargeError:
            reason = f"The body is larger than {largest} bytes."
            note_reason(request, reason)
            return JSONResponse({"error": "invalid_request", "message": reason}, 413)
        if body is None:
            return NoAnswer()
        disturbed = await self.faults.disturb("token", request.receive) if is_for_token else None
        if disturbed is not None:
            note_reason(request, _FAULT)
            return disturbed
        # On a thread: the handler of a trigger may be slow, or call this server.
        return await anyio.to_thread.run_sync(answer, request, body, self.pools, self.disputed)

    async def _jwks(self, request: Request) -> Response:
        pool = self._by_id.get(request.path_params["pool_id"])
        if pool is None:
            return _no_such_pool(request)
        disturbed = await self.faults.disturb("jwks", request.receive)
        if disturbed is not None:
            note_reason(request, _FAULT)
            return disturbed
        return JSONResponse(pool.jwks())

    async def _discovery(self, request: Request) -> Response:
        pool = self._by_id.get(request.path_params["pool_id"])
        if pool is None:
            return _no_such_pool(request)
        return JSONResponse(discovery_document(pool, root_url(request)))


async def _not_served(request: Request) -> Response:
    note_reason(request, _USERS_ONLY)
    return JSONResponse({"message": _USERS_ONLY}, 501)


def _no_such_pool(request: Request) -> Response:
    pool_id = request.path_params["pool_id"]
    note_reason(request, f"There is no user pool {shown(pool_id)} here.")
    return JSONResponse({"message": f"User pool {shown(pool_id)} does not exist."}, 404)
