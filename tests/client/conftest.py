"""A token endpoint in process, and clients of it on clocks that tests move."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from cognito_guard.client import ClientCredentials, MemoryStore, Seams
from cognito_guard.client._options import cache_key
from cognito_guard.local import LocalClient, LocalCognito, LocalPool

TOKEN_URL = "https://orders.auth.example/oauth2/token"


class Endpoint(httpx.BaseTransport):
    """The token endpoint of a local pool, as a transport that counts and answers as a test sets."""

    def __init__(self, pool: LocalPool) -> None:
        self.cognito = LocalCognito(pool, console=False)
        self.forms: list[dict[str, str]] = []
        self.requests: list[httpx.Request] = []
        self.answer: Callable[[httpx.Request], httpx.Response | None] = lambda _: None
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    @property
    def calls(self) -> int:
        return len(self.forms)

    def say(self, status: int, content: object = None, **headers: str) -> None:
        """From now on answer with *status*."""
        self.answer = lambda _: httpx.Response(
            status, json=content, headers={name.replace("_", "-"): value for name, value in headers.items()}
        )

    def grant(self, lifetime: object) -> None:
        """From now on give tokens of that *lifetime*, each another one."""
        self.answer = lambda _: httpx.Response(
            200, json={"access_token": f"a.b.c{self.calls}", "expires_in": lifetime, "token_type": "Bearer"}
        )

    def recover(self) -> None:
        """From now on answer as the local pool does."""
        self.answer = lambda _: None

    def answer_all(self, works: Iterable[Callable[[], object]]) -> None:
        """Do *works*, each on its own thread; answer once a request has come."""
        threads = [threading.Thread(target=work) for work in works]
        for thread in threads:
            thread.start()
        assert self.asked.wait(30)
        self.open.set()
        for thread in threads:
            thread.join()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.forms.append(dict(parse_qsl(request.read().decode())))
        self.requests.append(request)
        answer, gate = self.answer, self.open
        self.asked.set()
        assert gate.wait(30)
        return answer(request) or asyncio.run(self._ask(request))

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.cognito)) as client:
            answer = await client.request(
                request.method, request.url, headers=dict(request.headers), content=request.content
            )
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


class Api:
    """An API in process. It remembers the tokens it gets, and answers 401 to those it does not accept."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        self.bodies: list[bytes] = []
        self.takes: Callable[[str], bool] = lambda _: True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        header = request.headers.get("authorization")
        self.tokens.append(header and header.removeprefix("Bearer "))
        self.bodies.append(request.read())
        taken = header is not None and self.takes(header.removeprefix("Bearer "))
        return httpx.Response(200 if taken else 401, json={"calls": len(self.tokens)})

    async def answer(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self(request)

    def client(self, auth: httpx.Auth, **options: Any) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self), auth=auth, base_url="https://api.example", **options)

    def async_client(self, auth: httpx.Auth, **options: Any) -> httpx.AsyncClient:
        transport = httpx.MockTransport(self.answer)
        return httpx.AsyncClient(transport=transport, auth=auth, base_url="https://api.example", **options)


@pytest.fixture
def endpoint(pool: LocalPool) -> Iterator[Endpoint]:
    endpoint = Endpoint(pool)
    yield endpoint
    endpoint.open.set()


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def naps() -> list[float]:
    """The seconds of each wait between attempts."""
    return []


@pytest.fixture
def seams(clock: Any, timer: Any, naps: list[float]) -> Seams:
    """Time that only waiting and tests move, and fixed random numbers."""

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        clock.advance(seconds)
        timer.advance(seconds)

    return Seams(clock=clock, timer=timer, sleep=sleep, random=lambda: 0.5)


@pytest.fixture
def make_client(endpoint: Endpoint, reader: LocalClient, seams: Seams) -> Callable[..., ClientCredentials]:
    """Make clients of the endpoint, with any options."""

    def make(**options: Any) -> ClientCredentials:
        defaults: dict[str, Any] = {
            "client_id": reader.client_id,
            "client_secret": reader.secret,
            "transport": endpoint,
            # Real seconds: on a busy machine half a second is not enough for a thread to start and answer.
            "store_timeout": 30,
            "seams": seams,
        }
        return ClientCredentials(options.pop("token_url", TOKEN_URL), **defaults | options)

    return make


@pytest.fixture
def client(make_client: Callable[..., ClientCredentials]) -> ClientCredentials:
    return make_client()


@pytest.fixture
def settle() -> Callable[[], None]:
    """Wait until no token is being got in the background."""

    def settle() -> None:
        for thread in threading.enumerate():
            if thread.name.startswith("cognito-guard token"):
                with suppress(RuntimeError):
                    thread.join(30)

    return settle


@pytest.fixture
def key(reader: LocalClient) -> str:
    """The cache key of the clients that are made without further options."""
    return cache_key("https://orders.auth.example/oauth2/token", reader.client_id, (), (), None)


@pytest.fixture
def memory(timer: Any) -> MemoryStore:
    return MemoryStore(timer=timer)
