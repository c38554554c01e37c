"""The HTTP surface: an ASGI app that serves user pools as Cognito does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._body import BodyTooLargeError, read_body
from cognito_guard.local._client_token import client_token_response
from cognito_guard.local._console import console_routes
from cognito_guard.local._faults import Faults, NoAnswer
from cognito_guard.local._grants import DisputedAnswers
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import Recorder, SeenRequest, note_reason
from cognito_guard.local._token_endpoint import token_response

_LARGEST_BODY: Final = 16 * 1024  # bytes; 50 scopes of 256 characters fit

_TokenAnswer = Callable[[Request, bytes, Sequence[LocalPool], DisputedAnswers], Response]


class LocalCognito:
    """
    An ASGI app that stands in for Cognito: token endpoint, `GetClientToken`, key sets and discovery documents.

    It is NOT for production. Serve it with any ASGI server, mount it, or call it in process; or use it without HTTP,
    only for the tokens it mints. `mint`, `mint_user`, `mint_id`, `jwks` and `user_pool` are those of the first pool.

    Args:
        *pools: The user pools to serve, each with an id of its own. The client id decides which of them answers at the
            token endpoint. By default one, with a resource server `orders` (`order.read` and `order.write`) and a
            client that may ask for both.
        disputed: How to answer where it is not known for sure how Cognito does.
        console: Whether there is a console page at `/`. It shows secrets and hands out tokens to people at this
            machine, not to pages of other sites that are open in their browsers.
        on_change: Called when something was changed at the console that is worth saving.
        sleep: Waits a number of seconds, for `faults`.

    Attributes:
        pools: The user pools.
        pool: The first of them.
        disputed: As given; may be set anew at any time.
        faults: What goes wrong on purpose.

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
        self.pools: Final = pools or (_default_pool(),)
        self.disputed = DisputedAnswers() if disputed is None else disputed
        self.faults: Final = Faults(sleep)
        self._by_id: Final = {pool.pool_id: pool for pool in self.pools}
        if len(self._by_id) < len(self.pools):
            raise ConfigurationError("each pool needs an id of its own")
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
                    Route("/", self._get_client_token, methods=["POST"]),
                    Route("/{pool_id}/.well-known/jwks.json", self._jwks, methods=["GET"]),
                    Route("/{pool_id}/.well-known/openid-configuration", self._discovery, methods=["GET"]),
                ],
                middleware=[
                    Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "POST"], allow_headers=["*"])
                ],
            )
        )
        # Beside it, not within: the console is for no other origin, and what it asks for is no traffic to look at.
        pages = console_routes(self.pools, self.faults, self._cognito, on_change) if console else ()
        self._app: Final = Starlette(routes=[*pages, Mount("/", self._cognito)], lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await self._app(scope, receive, send)

    @property
    def requests(self) -> tuple[SeenRequest, ...]:
        """The last 200 requests, the oldest first."""
        return self._cognito.requests

    def prepare(self) -> None:
        """Make all keys now, which takes a moment. When served, this is done before the first request."""
        for pool in self.pools:
            pool.prepare()

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        await anyio.to_thread.run_sync(self.prepare)
        yield

    async def _oauth2_token(self, request: Request) -> Response:
        return await self._issue(request, token_response)

    async def _get_client_token(self, request: Request) -> Response:
        return await self._issue(request, client_token_response)

    async def _issue(self, request: Request, answer: _TokenAnswer) -> Response:
        try:
            body = await read_body(request, _LARGEST_BODY)
        except BodyTooLargeError:
            note_reason(request, f"The body is larger than {_LARGEST_BODY} bytes.")
            return JSONResponse({"error": "invalid_request"}, 413)
        if body is None:
            return NoAnswer()
        return await self.faults.disturb("token", request.receive) or answer(request, body, self.pools, self.disputed)

    async def _jwks(self, request: Request) -> Response:
        pool = self._by_id.get(request.path_params["pool_id"])
        if pool is None:
            return _no_such_pool(request)
        return await self.faults.disturb("jwks", request.receive) or JSONResponse(pool.jwks())

    async def _discovery(self, request: Request) -> Response:
        pool = self._by_id.get(request.path_params["pool_id"])
        if pool is None:
            return _no_such_pool(request)
        root = _root_url(request)
        return JSONResponse(
            {
                "grant_types_supported": ["client_credentials"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "issuer": pool.issuer,
                "jwks_uri": f"{root}/{pool.pool_id}/.well-known/jwks.json",
                "response_types_supported": ["code", "token"],
                "scopes_supported": pool.scopes,
                "subject_types_supported": ["public"],
                "token_endpoint": f"{root}/oauth2/token",
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            }
        )


def _default_pool() -> LocalPool:
    pool = LocalPool()
    server = pool.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
    pool.add_client(name="orders", scopes=server.full_names)
    return pool


def _no_such_pool(request: Request) -> Response:
    return JSONResponse({"message": f"User pool {request.path_params['pool_id']} does not exist."}, 404)


def _root_url(request: Request) -> str:
    # Where this very app is reached, also below a mount; Starlette checks the Host header. The query string is a
    # stranger's and may be no text at all.
    scope = {**request.scope, "path": request.scope.get("root_path", ""), "query_string": b""}
    return str(URL(scope=scope)).rstrip("/")
