"""Key sets on a clock that tests move, and fetches that wait until a test lets them go."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from cognito_guard import ANY_CLIENT, CognitoGuard, KeyPolicy, UserPool
from cognito_guard._keys.key_set import KeySet
from cognito_guard._report.reporter import Reporter
from cognito_guard._requests.internals import internals_of
from cognito_guard.events import Event
from cognito_guard.local import LocalPool
from tests.keys.gate import IN_TIME, Gate

POOL_ID = "eu-central-1_AbCdEf123"
ORIGINAL = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/.well-known/jwks.json"
POLICY = KeyPolicy(max_age=100.0, stale_for=1_000.0, cooldown=10.0, timeout=3.0)


@pytest.fixture
def gate(fetch: Any) -> Gate:
    """A fetch that hangs until the test opens it."""
    return Gate(fetch)


@pytest.fixture
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("cognito-guard")]
    list(map(partial(threading.Thread.join, timeout=IN_TIME), left))
    assert not any(thread.is_alive() for thread in left)


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def make_keys(timer: Any, fetch: Any, events: list[Event]) -> Callable[..., KeySet]:
    one_url = UserPool(POOL_ID, client_ids=ANY_CLIENT, jwks_url=ORIGINAL)

    def make(pool: UserPool = one_url, *, policy: KeyPolicy = POLICY, **options: Any) -> KeySet:
        seams: dict[str, Any] = {"fetch": fetch, "timer": timer, "jitter": lambda: 1.0} | options
        return KeySet(pool, policy, Reporter(events.append), **seams)

    return make


@pytest.fixture
def keys(make_keys: Callable[..., KeySet]) -> KeySet:
    return make_keys()


@pytest.fixture
def kid(pool: LocalPool) -> str:
    return pool.keys.access.kid


@pytest.fixture
def settle() -> Callable[[KeySet], None]:
    """Wait for the attempt under way, without an event loop of the test's own."""
    return lambda keys: asyncio.run(keys.settle())


@pytest.fixture
def settle_from_a_thread(settle: Callable[[KeySet], None]) -> Callable[[KeySet], None]:
    def settle_from_a_thread(keys: KeySet) -> None:
        thread = threading.Thread(target=settle, args=(keys,))
        thread.start()
        thread.join()

    return settle_from_a_thread


@pytest.fixture
def refresh() -> Callable[[CognitoGuard], None]:
    """Refresh the keys of a guard if that is due, and wait for the end of it."""

    def refresh(guard: CognitoGuard) -> None:
        asyncio.run(guard.prefetch())
        asyncio.run(internals_of(guard).verifier.issuers.settle())

    return refresh


@pytest.fixture
def at_once() -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Run a coroutine to its end, which must come before it has waited for anything."""

    def at_once(coro: Coroutine[Any, Any, Any]) -> Any:
        with pytest.raises(StopIteration) as stop:
            coro.send(None)
        return stop.value.value

    return at_once


@pytest.fixture
def loaded(make_keys: Callable[..., KeySet], fetch: Any, settle: Callable[[KeySet], None]) -> KeySet:
    keys = make_keys()
    asyncio.run(keys.load())
    settle(keys)
    assert fetch.calls == 1
    return keys


@pytest.fixture
def warm_keys(make_keys: Callable[..., KeySet], gate: Gate, settle: Callable[[KeySet], None]) -> KeySet:
    """Keys that have been fetched; every further fetch hangs at the gate."""
    gate.open.set()
    keys = make_keys(fetch=gate)
    asyncio.run(keys.load())
    settle(keys)
    gate.close()
    return keys


@pytest.fixture
def refusing() -> Iterator[int]:
    """A port that refuses connections: it is taken, so that no other process can have it, but nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for cognito.example and 127.0.0.1, and its key."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cognito.example")])
    names: list[x509.GeneralName] = [
        x509.DNSName("cognito.example"),
        x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    ]
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + signed.public_bytes(Encoding.PEM)
    )
    return path


@pytest.fixture
def tls_server(make_server: Callable[..., Any], certificate: Path) -> Any:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = make_server(context)
    server.answer(b'{"keys": []}')
    return server
