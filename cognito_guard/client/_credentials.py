"""The client-credentials grant for callers of an API (RFC 6749 section 4.4)."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Collection, Generator, Mapping
from typing import Any, Final, Literal

import httpx

from cognito_guard.client._auth_class import AuthClass
from cognito_guard.client._bounded_store import BoundedStore
from cognito_guard.client._buyer import Buyer
from cognito_guard.client._environment import options_from
from cognito_guard.client._events import TokenEvent
from cognito_guard.client._holder import Holder, Outcome, Wait
from cognito_guard.client._ledger import ClientStatus, Ledger
from cognito_guard.client._memory_store import MemoryStore
from cognito_guard.client._options import (
    cache_key,
    checked_client_id,
    checked_metadata,
    checked_number,
    checked_resources,
    checked_scopes,
    parameters,
)
from cognito_guard.client._seams import Seams
from cognito_guard.client._secrets import ClientSecret, Secrets
from cognito_guard.client._store import TokenStore
from cognito_guard.client._target import Targets, token_endpoint
from cognito_guard.client._token import Token
from cognito_guard.client._token_request import TokenRequest
from cognito_guard.errors import ConfigurationError

logger = logging.getLogger("cognito_guard.client")

PRICE: Final = 0.00225
"""US dollars per token request of the client-credentials grant, first tier (https://aws.amazon.com/cognito/pricing)."""

_UNAUTHORIZED: Final = 401


class ClientCredentials(AuthClass):
    """
    Gets access tokens with a client's id and secret, and sends them: `httpx.AsyncClient(auth=ClientCredentials(...))`.

    Make one object per API and share it. It is safe to use from threads, event loops (asyncio and trio) and forked
    processes at once. A token is bought once, renewed in the background after 70 to 80 % of its life, and used until a
    few seconds before it expires. The first call waits for the token.

    If the API answers 401, the request is sent once more with another token, if its body is in memory and it was not
    redirected. After such a purchase, the next one that a 401 causes waits 10 s, and later up to 15 minutes.

    Not checked: what the token grants. The API checks that.

    Args:
        token_url: The token endpoint of the user pool's domain, `https://DOMAIN/oauth2/token`.
        client_id: The app client.
        client_secret: Its secret; or two during a rotation: the second is tried if the first is refused; or a callable
            that returns one or two. The callable is called on a thread each time a token is needed, and may block.
        scopes: The scopes to ask for, each as `resource-server/scope`; by default all scopes of the client.
        resource: The resource server, or several, to bind the token to (RFC 8707).
        aws_client_metadata: Passed to the pool's pre token generation trigger.
        hosts: The only hosts that get the token; by default every host.
        allow_insecure_http: Send secret and token over plain http to hosts other than loopback. Logs a warning.
        credentials_in: Where id and secret are sent. In the header they are form-encoded (RFC 6749 section 2.3.1); how
            Cognito reads a `+` there is not documented.
        store: A store that processes share tokens in: `FileStore`, `RedisStore` or another `TokenStore`. By default
            this object keeps its own tokens.
        timeout: Seconds that a call waits for a token; one token request may take half of them.
        store_timeout: Seconds that one answer of the store may take; a later one counts as a miss.
        price: The price of one token, for `status()` and events.
        on_event: Called with each event, on a thread; must not block.
        transport: Sends token requests, for your own proxy or certificates. It is not closed.
        seams: Time, waiting and randomness; for tests.

    Raises:
        ConfigurationError: An argument is invalid; the message says what to write.

    """

    def __init__(
        self,
        token_url: str,
        *,
        client_id: str,
        client_secret: ClientSecret,
        scopes: Collection[str] = (),
        resource: str | Collection[str] = (),
        aws_client_metadata: Mapping[str, str] | None = None,
        hosts: Collection[str] | None = None,
        allow_insecure_http: bool = False,
        credentials_in: Literal["body", "header"] = "body",
        store: TokenStore | None = None,
        timeout: float = 10.0,
        store_timeout: float = 0.5,
        price: float = PRICE,
        on_event: Callable[[TokenEvent], object] | None = None,
        transport: httpx.BaseTransport | None = None,
        seams: Seams | None = None,
    ) -> None:
        seams = Seams() if seams is None else seams
        self._token_url: Final = token_endpoint(token_url, allow_insecure_http=allow_insecure_http)
        self._client_id: Final = checked_client_id(client_id)
        self._scopes: Final = checked_scopes(scopes)
        self._targets: Final = Targets(hosts, allow_insecure_http=allow_insecure_http)
        resources, metadata = checked_resources(resource), checked_metadata(aws_client_metadata)
        patience = checked_number("timeout", timeout, least=0.001) / 2
        if credentials_in not in {"body", "header"}:
            raise ConfigurationError(f"credentials_in must be 'body' or 'header'; got {credentials_in!r}")
        self._store: Final = BoundedStore(
            MemoryStore(timer=seams.timer) if store is None else store,
            timeout=checked_number("store_timeout", store_timeout),
            seams=seams,
        )
        self._ledger: Final = Ledger(
            client_id,
            self._scopes,
            price=checked_number("price", price, unit="US dollars"),
            on_event=on_event,
        )
        buyer = Buyer(
            cache_key(token_url, client_id, self._scopes, resources, metadata),
            secrets=Secrets(client_secret),
            request=TokenRequest(
                token_url,
                client_id,
                parameters(self._scopes, resources, metadata),
                in_header=credentials_in == "header",
                transport=transport,
                timeout=patience,
                seams=seams,
            ),
            store=self._store,
            ledger=self._ledger,
            patience=patience,
            seams=seams,
        )
        self._holder: Final = Holder(buyer, self._ledger, timeout=timeout, seams=seams)
        if allow_insecure_http:
            logger.warning("client %s sends its secret and its tokens over plain http where URLs say so", client_id)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ, **options: Any) -> ClientCredentials:
        """
        Return the client that environment variables describe.

        `COGNITO_TOKEN_URL`, `COGNITO_CLIENT_ID` and `COGNITO_CLIENT_SECRET` are required. `COGNITO_CLIENT_SECRET_2` is
        the second secret of a rotation, `COGNITO_SCOPES` the scopes (separated by blanks or commas),
        `COGNITO_RESOURCE` the resource, and `COGNITO_ALLOW_INSECURE_HTTP=1` allows plain http.

        Args:
            environ: The variables.
            **options: Further arguments of `ClientCredentials`. They override variables.

        Raises:
            ConfigurationError: A required variable is missing or empty, or a value is invalid.

        """
        return cls(**{**options_from(environ), **options})

    async def token(self) -> str:
        """
        Return an access token. Runs on asyncio and on trio.

        Raises:
            TokenRequestError: There is none; the message says what to do.

        """
        return (await self._find_async()).value

    async def headers(self) -> dict[str, str]:
        """
        Return the headers to send, for aiohttp, the metadata of a gRPC call, and others.

        Raises:
            TokenRequestError: There is no token; the message says what to do.

        """
        return {"Authorization": (await self._find_async()).header}

    def token_sync(self) -> str:
        """
        Return an access token, like `token`, for callers without an event loop. Blocks while it waits.

        Raises:
            TokenRequestError: There is none; the message says what to do.

        """
        return self._find().value

    def headers_sync(self) -> dict[str, str]:
        """
        Return the headers, like `headers`, for callers without an event loop. Blocks while it waits.

        Raises:
            TokenRequestError: There is no token; the message says what to do.

        """
        return {"Authorization": self._find().header}

    def status(self) -> ClientStatus:
        """Return what was bought, reused and paid so far, and the state of the client."""
        return self._ledger.status(expires_at=self._holder.expires_at, store_away=self._store.away)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the token with *request*; called by `httpx.Client`."""
        self._targets.check(request.url)
        token = self._find()
        request.headers["Authorization"] = token.header
        in_memory = _is_in_memory(request)
        response = yield request
        # After a redirect the 401 may come from somewhere that got no token, and the first request may have had an
        # effect.
        if response.status_code == _UNAUTHORIZED and in_memory and not response.history:
            wait = self._holder.replace(token)
            for job, seconds in wait:
                job.wait(seconds)
            if isinstance(wait.outcome, Token):
                request.headers["Authorization"] = wait.outcome.header
                yield request

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Send the token with *request*; called by `httpx.AsyncClient`."""
        self._targets.check(request.url)
        token = await self._find_async()
        request.headers["Authorization"] = token.header
        in_memory = _is_in_memory(request)
        response = yield request
        # After a redirect the 401 may come from somewhere that got no token, and the first request may have had an
        # effect.
        if response.status_code == _UNAUTHORIZED and in_memory and not response.history:
            wait = self._holder.replace(token)
            for job, seconds in wait:
                await job.wait_async(seconds)
            if isinstance(wait.outcome, Token):
                request.headers["Authorization"] = wait.outcome.header
                yield request

    def _find(self) -> Token:
        token = self._holder.find()
        if token is None:
            wait = self._holder.wait()
            for job, seconds in wait:
                job.wait(seconds)
            token = self._outcome(wait)
        return token

    async def _find_async(self) -> Token:
        token = self._holder.find()
        if token is None:
            wait = self._holder.wait()
            for job, seconds in wait:
                await job.wait_async(seconds)
            token = self._outcome(wait)
        return token

    def _outcome(self, wait: Wait) -> Token:
        outcome: Outcome = wait.outcome
        if isinstance(outcome, Token):
            return outcome
        raise self._holder.exception(outcome)

    def __repr__(self) -> str:
        return f"ClientCredentials({self._token_url!r}, client_id={self._client_id!r}, scopes={self._scopes!r})"


def _is_in_memory(request: httpx.Request) -> bool:
    """Return whether the body can be sent twice. A generator or a file is used up after the first time."""
    try:
        return request.content is not None
    except RuntimeError:
        return False
