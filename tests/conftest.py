"""A user pool in memory, clocks that tests move, and a guard on both."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from hypothesis import HealthCheck, settings
from starlette.types import ASGIApp

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.local import LocalClient, LocalPool, PoolKeys, SigningKey
from tests.requests.recording import Recorder

POOL_ID = "eu-central-1_AbCdEf123"
NOW = 1_800_000_000.0

# No test is about how fast the machine is, and fixtures are the same for all examples of a test.
settings.register_profile(
    "tests", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.register_profile("fast", settings.get_profile("tests"), max_examples=20)


def pytest_configure(config: pytest.Config) -> None:
    """Look at all examples in the whole suite, and at a fifth of them in its fast part."""
    settings.load_profile("fast" if config.getoption("markexpr") == "not slow" else "tests")


def pytest_collection_finish() -> None:
    """Take what collecting made out of the sight of `gc.collect()`, which else takes a quarter of a second."""
    gc.collect()
    gc.freeze()


class ManualClock:
    """Shows the time it was set to."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class CountingFetch:
    """Returns the key set of a pool, or fails on demand, and counts its calls."""

    def __init__(self, pool: LocalPool) -> None:
        self.document: Callable[[], bytes] = lambda: json.dumps(pool.jwks()).encode()
        self.urls: list[str] = []

    def __call__(self, url: str, timeout: float) -> bytes:
        self.urls.append(url)
        return self.document()

    def fail(self, error: Exception) -> None:
        def document() -> bytes:
            raise error

        self.document = document

    @property
    def calls(self) -> int:
        return len(self.urls)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture(scope="session")
def pool_keys() -> PoolKeys:
    """RSA keys are slow to make: one pair for all tests that do not rotate them."""
    return PoolKeys()


@pytest.fixture(scope="session")
def key_pairs() -> list[RSAPrivateKey]:
    """What `new_keys` has made so far."""
    return []


@pytest.fixture
def new_keys(key_pairs: list[RSAPrivateKey]) -> Callable[[], PoolKeys]:
    """Make keys to rotate to: within a test each is another one, and tests have the same ones to save time."""
    numbers = itertools.count()

    def new_key() -> SigningKey:
        number = next(numbers)
        if number == len(key_pairs):
            key_pairs.append(generate_private_key(public_exponent=65537, key_size=2048))
        return SigningKey(private_key=key_pairs[number])

    return lambda: PoolKeys(new_key(), new_key())


@pytest.fixture
def clock() -> ManualClock:
    """The clock of tokens."""
    return ManualClock(NOW)


@pytest.fixture
def timer() -> ManualClock:
    """The timer by which keys age."""
    return ManualClock(1000.0)


@pytest.fixture
def pool(pool_keys: PoolKeys, clock: ManualClock) -> LocalPool:
    local = LocalPool(POOL_ID, keys=pool_keys, clock=clock)
    local.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
    return local


@pytest.fixture
def reader(pool: LocalPool) -> LocalClient:
    return pool.add_client(name="reader", scopes=["orders/order.read"])


@pytest.fixture
def token(pool: LocalPool, reader: LocalClient) -> str:
    return pool.mint(client_id=reader.client_id)


@pytest.fixture
def writer(pool: LocalPool) -> LocalClient:
    return pool.add_client(name="writer", scopes=["orders/order.read", "orders/order.write"])


@pytest.fixture
def may_read(pool: LocalPool, reader: LocalClient) -> str:
    return pool.mint(client_id=reader.client_id)


@pytest.fixture
def may_write(pool: LocalPool, writer: LocalClient) -> str:
    return pool.mint(client_id=writer.client_id)


@pytest.fixture
def fetch(pool: LocalPool) -> CountingFetch:
    return CountingFetch(pool)


@pytest.fixture
def user_pool(reader: LocalClient, writer: LocalClient) -> UserPool:
    return UserPool(POOL_ID, client_ids={reader.client_id, writer.client_id})


@pytest.fixture
def make_guard(
    user_pool: UserPool, clock: ManualClock, timer: ManualClock, fetch: CountingFetch
) -> Callable[..., CognitoGuard]:
    """Make guards of the pool, on the manual clocks, with any options."""

    def make(*pools: UserPool, **options: Any) -> CognitoGuard:
        seams: dict[str, Any] = {"clock": clock, "timer": timer, "fetch": fetch} | options
        return CognitoGuard(*(pools or (user_pool,)), **seams)

    return make


@pytest.fixture
def guard(make_guard: Callable[..., CognitoGuard]) -> CognitoGuard:
    return make_guard()


Call = Callable[..., Awaitable[httpx.Response]]


@pytest.fixture
def call() -> Call:
    """Makes one request to an app, in process."""

    async def call(
        app: ASGIApp, method: str, path: str, token: str | None = None, *, crash: bool = True, **options: Any
    ) -> httpx.Response:
        headers = dict(options.pop("headers", {}))
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        transport = httpx.ASGITransport(app, raise_app_exceptions=crash)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.request(method, path, headers=headers, **options)

    return call


class FaultServer:
    """A server on a real loopback socket. It sends exactly the bytes that a test sets."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.play: Callable[[socket.socket], None] = self.hang
        self.heads: list[bytes] = []
        self.asked = threading.Event()
        self.over = threading.Event()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/jwks.json"

    def say(self, *parts: bytes, every: float | None = None) -> None:
        """From now on answer with *parts* and close; with *every*, wait for so many seconds before each of them."""

        def play(conn: socket.socket) -> None:
            for part in parts:
                if every is not None and self.over.wait(every):
                    return
                conn.sendall(part)

        self.play = play

    def answer(self, body: bytes, *headers: str, status: str = "200 OK", length: int | None = None) -> None:
        """From now on send a whole answer. Its `Content-Length` may be wrong."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *headers, "", ""]
        self.say("\r\n".join(lines).encode() + body)

    def hang(self, conn: socket.socket) -> None:
        """Send nothing until the client has disconnected."""
        conn.recv(1)

    def close(self) -> None:
        self.over.set()
        # A connection wakes a thread that waits in accept(); closing the socket does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                conn, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(conn,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, conn: socket.socket) -> None:
        # Clients may disconnect early.
        with conn, suppress(OSError):
            if self._tls is not None:
                conn = self._tls.wrap_socket(conn, server_side=True)
            with conn:
                self.heads.append(conn.recv(65_536))
                self.asked.set()
                self.play(conn)


@pytest.fixture
def make_server() -> Iterator[Callable[..., FaultServer]]:
    """Make servers that play faults; they end with the test."""
    servers: list[FaultServer] = []

    def make(tls: ssl.SSLContext | None = None) -> FaultServer:
        servers.append(FaultServer(tls))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


@pytest.fixture
def server(make_server: Callable[..., FaultServer]) -> FaultServer:
    return make_server()


@pytest.fixture
def mangum_loop() -> Iterator[None]:
    """The event loop that Mangum looks for and never closes."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture
def record() -> Recorder:
    """What ran."""
    return Recorder()
