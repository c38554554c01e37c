"""One POST to the token endpoint (RFC 6749 section 4.4.2)."""

from __future__ import annotations

import base64
import encodings.idna  # noqa: F401 - see below
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Final
from urllib.parse import quote_plus, urlencode

import httpx

from cognito_guard.client._answer import Grant, read_answer
from cognito_guard.client._failure import Failure
from cognito_guard.client._seams import Seams

# httpx imports these when the first client is made; a look-up of a host imports the codec. That would happen on our
# thread. If a process is forked while a thread imports a module, the child can never import it.
for _name in ("certifi", "httpcore"):
    import_module(_name)

_LONGEST_BODY: Final = 64 * 1024  # in bytes; a token has a few KiB
_HEADERS: Final = {
    "Accept": "application/json",
    "Content-Type": "application/x-www-form-urlencoded",
    "User-Agent": "cognito-guard",
}


class TokenRequest:
    """
    Asks a token endpoint for tokens.

    Args:
        token_url: The endpoint.
        client_id: The app client.
        parameters: The parameters besides the grant type: scopes, resource, metadata.
        in_header: Send id and secret in an Authorization header (Basic) instead of the body.
        transport: Sends the requests. None: each request has its own connection.
        timeout: Seconds that one request may take.
        seams: The clocks.

    """

    def __init__(
        self,
        token_url: str,
        client_id: str,
        parameters: Sequence[tuple[str, str]],
        *,
        in_header: bool,
        transport: httpx.BaseTransport | None,
        timeout: float,
        seams: Seams,
    ) -> None:
        self._token_url: Final = token_url
        self._client_id: Final = client_id
        self._parameters: Final = (("grant_type", "client_credentials"), *parameters)
        self._in_header: Final = in_header
        self._transport: Final = transport
        self._timeout: Final = timeout
        self._seams: Final = seams

    def send(self, secret: str, secrets: Collection[str]) -> Grant | Failure:
        """
        Return the token that the endpoint gives for *secret*, or the failure.

        Never raises: an exception of httpx contains the request, and the request contains the secret.

        Args:
            secret: The client's secret to send.
            secrets: What must not be in an error code.

        """
        try:
            status, headers, body = self._post(secret)
        except httpx.TimeoutException as error:
            return Failure("timeout", passing=True, cause=type(error).__name__)
        except _TooLongError:
            return Failure("invalid_answer")
        except Exception as error:  # noqa: BLE001 - a transport of the caller's, or a mock, may raise anything
            return Failure("unreachable", passing=True, cause=type(error).__name__)
        return read_answer(status, headers, body, now=self._seams.clock(), secrets=secrets)

    def _post(self, secret: str) -> tuple[int, httpx.Headers, bytes]:
        deadline = self._seams.timer() + self._timeout
        # Made and closed for this request, so that a forked child never shares a connection.
        client = httpx.Client(transport=self._transport, timeout=self._timeout, follow_redirects=False)
        with ExitStack() as until_done:
            if self._transport is None:
                until_done.callback(client.close)
            response = until_done.enter_context(
                client.stream("POST", self._token_url, content=self._body(secret), headers=self._headers(secret))
            )
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) > _LONGEST_BODY:
                    raise _TooLongError
                # httpx limits the wait for each part, not the total time.
                if self._seams.timer() > deadline:
                    raise httpx.ReadTimeout("")
            return response.status_code, response.headers, body

    def _body(self, secret: str) -> bytes:
        credentials = () if self._in_header else (("client_id", self._client_id), ("client_secret", secret))
        return urlencode([*self._parameters, *credentials]).encode("ascii")

    def _headers(self, secret: str) -> dict[str, str]:
        if not self._in_header:
            return _HEADERS
        # RFC 6749 section 2.3.1: form-encode both before joining them.
        pair = f"{quote_plus(self._client_id)}:{quote_plus(secret)}"
        return {**_HEADERS, "Authorization": f"Basic {base64.b64encode(pair.encode('ascii')).decode('ascii')}"}


class _TooLongError(Exception):
    """The answer is longer than any token."""
