"""The guard behind real servers: what is sent and what is answered, byte for byte."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from _pytest.mark import ParameterSet
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from cognito_guard.local import LocalPool, PoolKeys

IN_TIME = 30.0
"""Seconds that a test waits for what must come, before it fails."""

READ, WRITE = "orders/order.read", "orders/order.write"
OTHER_POOL_ID = "eu-west-1_Other1234"
KEYS = count()

SERVED = """
import functools
import os
import time
import warnings
from collections.abc import AsyncIterable
from typing import Annotated

import anyio
from fastapi import Depends, FastAPI, Request, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from cognito_guard import ANY_CLIENT, CognitoGuard, Principal, UserPool

READ, WRITE = "orders/order.read", "orders/order.write"


def guard_of(pool_id, **options):
    pool = UserPool(pool_id, client_ids=ANY_CLIENT)
    return CognitoGuard(pool, **{"fetch": lambda url, timeout: os.environ["JWKS"].encode()} | options)


guard = guard_of(os.environ["POOL"])


async def inside(request):
    return PlainTextResponse("inside")


async def healthy(request):
    return PlainTextResponse("healthy")


@guard.require(WRITE)
async def place(request):
    return PlainTextResponse(f"inside {len(await request.body())}")


async def echo(websocket):
    await websocket.accept()
    while (text := await websocket.receive_text()) != "bye":
        await websocket.send_text(text)
    await websocket.close()


class Methods(HTTPEndpoint):
    @guard.public
    async def get(self, request):
        return PlainTextResponse("healthy")

    async def delete(self, request):
        return PlainTextResponse("inside")


async def raw(scope, receive, send):
    await PlainTextResponse("inside")(scope, receive, send)


def routes():
    def public():
        return guard.public(functools.partial(healthy))

    return [
        Route("/health", public()),
        Route("/orders", inside),
        Route("/orders", place, methods=["POST"]),
        Route("/methods", Methods),
        Route("/item/{number:int}", inside),
        Mount("/mounted", routes=[Route("/health", public()), Route("/orders", inside)]),
        Mount("/raw", app=raw),
        Mount("/files", app=StaticFiles(directory=os.environ["FILES"])),
        WebSocketRoute("/feed", echo),
        WebSocketRoute("/decorated", guard.require(WRITE)(echo)),
        WebSocketRoute("/open", guard.public(functools.partial(echo))),
    ]


starlette = Starlette(routes=routes())
guard.install(starlette)

fast = FastAPI()
guard.install(fast, public_docs=True)
fast.router.routes += routes()
gates = {}


def gate(key):
    return gates.setdefault(key, anyio.Event())


class Order(BaseModel):
    item: str


@fast.post("/json")
@guard.require(WRITE)
async def json_order(order: Order):
    return "inside"


@fast.websocket("/depends")
async def depends(websocket: WebSocket, caller: Annotated[Principal, Depends(guard.require(WRITE))]):
    await websocket.accept()
    await websocket.send_text(caller.client_id)
    await websocket.receive_text()
    await websocket.close()


@fast.get("/stream/{key}")
@guard.require(READ)
async def stream(key: str):
    async def chunks():
        try:
            yield b"first"
            await gate(key).wait()
            yield b"last"
        finally:
            gate("gone " + key).set()

    async def work():
        gate("done " + key).set()

    return StreamingResponse(chunks(), background=BackgroundTask(work))


@fast.get("/events/{key}", response_class=EventSourceResponse)
@guard.require(READ)
async def events(key: str):
    yield {"n": 1}
    await gate(key).wait()
    yield {"n": 2}


@fast.get("/lines/{key}")
@guard.require(READ)
async def lines(key: str) -> AsyncIterable[dict]:
    yield {"n": 1}
    await gate(key).wait()
    yield {"n": 2}


@fast.post("/gate/{key}")
@guard.public
async def open_gate(key: str):
    gate(key).set()


@fast.get("/wait/{key}")
@guard.public
async def wait(key: str):
    with anyio.fail_after(20):
        await gate(key).wait()


# Its keys can not be had.


def fail(url, timeout):
    raise OSError


dark_guard = guard_of(os.environ["POOL"], fetch=fail)
dark = Starlette(routes=[Route("/orders", inside), WebSocketRoute("/feed", echo)])
dark_guard.install(dark)

# Its clock is moved by those who are connected.

later = 0.0
clocked_guard = guard_of(os.environ["POOL"], clock=lambda: time.time() + later)


async def clocked_feed(websocket):
    global later
    await websocket.accept()
    later = float(await websocket.receive_text())
    await websocket.send_text("moved")
    await websocket.receive_text()
    await websocket.send_text("still here")
    later = 0.0
    await websocket.receive_text()
    await websocket.close()


clocked = Starlette(routes=[Route("/orders", inside), WebSocketRoute("/feed", clocked_feed)])
clocked_guard.install(clocked)

# Two tenants, each with a pool of its own; nobody guards what is around them.


def tenant(own):
    app = FastAPI()

    @app.get("/health")
    @own.public
    async def own_health():
        return "healthy"

    @app.get("/orders")
    @own.require(READ)
    async def own_orders():
        return "inside"

    own.install(app)
    return app


tenants = Starlette(
    routes=[
        Mount("/one", app=tenant(guard)),
        Mount("/two", app=tenant(guard_of(os.environ["OTHER"]))),
        Mount("/{name}/two", app=tenant(guard_of(os.environ["OTHER"]))),
    ]
)

with warnings.catch_warnings():
    # FastAPI would rather have it from the server.
    warnings.simplefilter("ignore")
    rooted = FastAPI(root_path="/api")
rooted.router.routes += routes()
guard.install(rooted)

apps = {b"starlette": starlette, b"dark": dark, b"clocked": clocked, b"tenants": tenants, b"rooted": rooted}


async def app(scope, receive, send):
    host = dict(scope.get("headers", ())).get(b"host", b"")
    await apps.get(host, fast)(scope, receive, send)
"""


# -- what is started, and how it is talked to


class Answer(NamedTuple):
    """What came back for one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def challenge(self) -> str | None:
        return self.headers.get("www-authenticate")


class Wire:
    """One connection to a server."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=IN_TIME)
        self._file = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.sock.close()

    def send(self, line: str | bytes, *headers: str | bytes, body: bytes = b"", host: str = "fast") -> None:
        """Send one request, whatever it looks like."""
        lines = [line, f"Host: {host}", *headers, "", ""]
        self.sock.sendall(b"\r\n".join(each.encode() if isinstance(each, str) else each for each in lines) + body)

    def head(self) -> tuple[int, dict[str, str]]:
        """Return the status and the headers that come next; informational answers are passed over."""
        for _ in range(3):
            status = int(self._file.readline().split()[1])
            headers = {name.lower(): value for name, value in http.client.parse_headers(self._file).items()}
            if status >= 200:
                return status, headers
        raise AssertionError

    def chunk(self) -> bytes:
        """Return the next chunk of a body; nothing at its end."""
        chunk = self._file.read(int(self._file.readline(), 16))
        self._file.readline()
        return chunk

    def answer(self) -> Answer:
        """Return the whole of the answer that comes next."""
        status, headers = self.head()
        return Answer(status, headers, self._file.read(int(headers.get("content-length", -1))))

    def rest(self) -> bytes:
        return self._file.read()


class Serving:
    """A server in a process of its own."""

    def __init__(self, command: list[str], folder: Path, environ: dict[str, str]) -> None:
        # Those that take one are handed a socket that listens already; granian says when it is ready.
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self._silent = command[0] == "granian"
        if self._silent:
            listener.close()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=listener.fileno(), port=self.port) for part in command)],
            cwd=folder,
            env=environ,
            pass_fds=[] if self._silent else [listener.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        listener.close()
        self._lines: list[str] = []

    def ready(self) -> Serving:
        """Return it when it can be talked to."""
        assert self.process.stdout
        while self._silent:
            self._lines.append(self.process.stdout.readline())
            assert self._lines[-1], self._lines
            self._silent = "Started worker" not in self._lines[-1]
        return self

    def ask(self, line: str | bytes, *headers: str | bytes, body: bytes = b"", host: str = "fast") -> Answer:
        """Make one request on a connection of its own."""
        with Wire(self.port) as wire:
            wire.send(line, *headers, body=body, host=host)
            return wire.answer()

    def get(self, path: str, *headers: str, host: str = "fast") -> Answer:
        return self.ask(f"GET {path} HTTP/1.1", *headers, host=host)

    @contextmanager
    def connect(self, path: str, *tokens: str, host: str = "fast") -> Iterator[ClientConnection]:
        """Open a websocket."""
        with connect(
            f"ws://{host}{path}",
            sock=socket.create_connection(("127.0.0.1", self.port), timeout=IN_TIME),
            additional_headers=[("Authorization", f"Bearer {token}") for token in tokens],
            open_timeout=IN_TIME,
            close_timeout=IN_TIME,
            proxy=None,
        ) as feed:
            yield feed
            # The server closes first: where both do at once, hypercorn's trio worker ends with a BusyResourceError.
            feed.send("bye")
            assert list(feed) == []

    def deny(self, path: str, *tokens: str, host: str = "fast") -> Answer:
        """Return how a websocket is refused."""
        with pytest.raises(InvalidStatus) as caught, self.connect(path, *tokens, host=host):
            raise AssertionError
        response = caught.value.response
        headers = {name.lower(): value for name, value in response.headers.raw_items()}
        return Answer(response.status_code, headers, bytes(response.body or b""))

    def end(self) -> str:
        """Return what it has written, when it has come to its end."""
        output, _ = self.process.communicate(timeout=IN_TIME)
        # uvicorn raises the signal once more when it is done.
        assert self.process.returncode in {0, -signal.SIGTERM}
        return "".join(self._lines) + output


UVICORN = "uvicorn --http h11 --no-access-log --fd {fd} served:app --ws"
HYPERCORN = "hypercorn --bind fd://{fd} served:app"
GRANIAN = "granian --interface asgi --host 127.0.0.1 --port {port} served:app"
COMMANDS = {
    "uvicorn-websockets": f"{UVICORN} websockets",
    "uvicorn-sansio": f"{UVICORN} websockets-sansio",
    "uvicorn-wsproto": f"{UVICORN} wsproto",
    "hypercorn-asyncio": f"{HYPERCORN} --worker-class asyncio",
    "hypercorn-trio": f"{HYPERCORN} --worker-class trio",
    "granian": GRANIAN,
    "uvicorn-rooted": f"{UVICORN} websockets --root-path /api",
    "hypercorn-rooted": f"{HYPERCORN} --root-path /api",
    "granian-rooted": f"{GRANIAN} --url-path-prefix /api",
}


def missing(name: str) -> str | None:
    """Return what is not installed of what server *name* needs."""
    needed = [COMMANDS[name].split()[0], *(["wsproto"] if "wsproto" in name else [])]
    return next((package for package in needed if find_spec(package) is None), None)


def servers(*names: str) -> list[ParameterSet]:
    return [
        pytest.param(name, marks=pytest.mark.skipif(missing(name) is not None, reason=f"{missing(name)} is not there"))
        for name in names
    ]


@pytest.fixture(scope="module")
def issuer(pool_keys: PoolKeys) -> LocalPool:
    """A pool on the real clock, which is that of other processes too."""
    issuer = LocalPool(keys=pool_keys)
    issuer.add_client(scopes=["openid"], allowed_flows=["code"])
    return issuer


@pytest.fixture(scope="module")
def other_issuer(pool_keys: PoolKeys) -> LocalPool:
    """Another pool, which even has the same keys."""
    issuer = LocalPool(OTHER_POOL_ID, keys=pool_keys)
    issuer.add_client(scopes=["openid"], allowed_flows=["code"])
    return issuer


NOISE = re.compile(
    # Said by uvicorn's sansio implementation after every denial, whoever sends it.
    r"ERROR: +ASGI callable returned without completing handshake\.\n"
    # Said by hypercorn's trio worker when it answers half a request itself while the app does so too.
    r"|.*Error in ASGI Framework\nTraceback.*\n(?: .*\n)+trio\.BusyResourceError: .*\n"
)


@pytest.fixture(scope="module")
def fleet(
    tmp_path_factory: pytest.TempPathFactory, issuer: LocalPool, other_issuer: LocalPool
) -> Iterator[dict[str, Serving]]:
    """All servers, each started once. What they write is looked at when they have ended."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "served.py").write_text(SERVED)
    (folder / "secret.txt").write_text("inside")
    environ = os.environ | {
        "POOL": issuer.pool_id,
        "OTHER": other_issuer.pool_id,
        "JWKS": json.dumps(issuer.jwks()),
        "FILES": str(folder),
        "PYTHONWARNINGS": "ignore",
    }
    fleet = {name: Serving(COMMANDS[name].split(), folder, environ) for name in COMMANDS if missing(name) is None}
    try:
        yield fleet
        for serving in fleet.values():
            serving.process.send_signal(signal.SIGTERM)
        written = {name: NOISE.sub("", serving.end()) for name, serving in fleet.items()}
    finally:
        for serving in fleet.values():
            serving.process.kill()
            serving.process.communicate()
    for name, text in written.items():
        assert not re.search(r"Traceback|ERROR|eyJ", text), (name, text)


@pytest.fixture(params=servers("uvicorn-sansio", "hypercorn-asyncio", "hypercorn-trio", "granian"))
def serving(fleet: dict[str, Serving], request: pytest.FixtureRequest) -> Serving:
    """One server of each kind."""
    return fleet[request.param].ready()


@pytest.fixture(params=servers(*(name for name in COMMANDS if not name.endswith("-rooted"))))
def upgrading(fleet: dict[str, Serving], request: pytest.FixtureRequest) -> Serving:
    """One server of each kind, and of uvicorn's each implementation of websockets."""
    return fleet[request.param].ready()


@pytest.fixture(params=servers(*(name for name in COMMANDS if name.endswith("-rooted"))))
def rooted(fleet: dict[str, Serving], request: pytest.FixtureRequest) -> Serving:
    """One server of each kind that is told of a prefix."""
    return fleet[request.param].ready()


@pytest.fixture
def reader(issuer: LocalPool) -> str:
    return f"Authorization: Bearer {issuer.mint(READ)}"


@pytest.fixture
def writer(issuer: LocalPool) -> str:
    return f"Authorization: Bearer {issuer.mint(READ, WRITE)}"


LACKS_SCOPE = "The access token lacks a scope that this resource requires."
MISSING = {"error": "missing_token", "error_description": "A bearer access token is required."}
FORBIDDEN = {"error": "insufficient_scope", "error_description": LACKS_SCOPE}
FORBIDDEN_CHALLENGE = f'Bearer error="insufficient_scope", error_description="{LACKS_SCOPE}", scope="{WRITE}"'
BOTH = pytest.mark.parametrize("host", ["fast", "starlette"])


def is_refused(answer: Answer) -> bool:
    """Return whether *answer* is ours to a stranger, or the server's own to what is no request."""
    if answer.challenge is None:
        return answer.status == 400
    return (answer.status, answer.challenge, json.loads(answer.body)) == (401, "Bearer", MISSING)


# -- http


@BOTH
def test_a_request_is_answered_by_what_its_token_grants(serving: Serving, reader: str, writer: str, host: str) -> None:
    post = "POST /orders HTTP/1.1"

    assert serving.get("/orders", reader, host=host).body == b"inside"
    assert serving.ask(post, writer, "Content-Length: 5", body=b"books", host=host).body == b"inside 5"

    missing = serving.get("/orders", host=host)
    assert (missing.status, missing.challenge, json.loads(missing.body)) == (401, "Bearer", MISSING)

    refused = serving.ask(post, reader, "Content-Length: 0", host=host)
    assert (refused.status, refused.challenge) == (403, FORBIDDEN_CHALLENGE)
    assert json.loads(refused.body) == FORBIDDEN
    assert refused.headers["content-type"] == "application/json"

    forged = serving.get("/orders", reader[:-4] + "AAAA", host=host)
    assert forged.status == 401
    assert forged.challenge == (
        'Bearer error="invalid_token", error_description="The signature of the access token does not match."'
    )


def test_without_keys_nobody_is_told_that_the_token_is_bad(serving: Serving, reader: str) -> None:
    answer = serving.get("/orders", reader, host="dark")

    assert (answer.status, answer.challenge) == (503, None)
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert json.loads(answer.body)["error"] == "temporarily_unavailable"
    assert is_refused(serving.get("/orders", host="dark"))


@BOTH
def test_two_authorization_headers_are_refused(serving: Serving, reader: str, host: str) -> None:
    for headers in ((reader, reader), (reader, "Authorization: Basic eDp4"), (reader.lower(), reader)):
        answer = serving.get("/orders", *headers, host=host)
        assert (answer.status, answer.challenge) == (
            400,
            'Bearer error="invalid_request", error_description="The Authorization header was sent more than once."',
        )


HOSTILE_HEADERS = [
    pytest.param(b"Authorization: Bearer %s\0", id="nul"),
    pytest.param(b"Authorization: Bearer\t%s", id="tab-between"),
    pytest.param(b"Authorization: Bearer %s\xff", id="8-bit"),
    pytest.param(b"Authorization: Bearer \xff\xfe", id="8-bit-alone"),
    pytest.param(b"Authorization: Bearer %s, Bearer %s", id="list"),
    pytest.param(b"Authorization: Bearer %s\rX: y", id="bare-cr"),
    pytest.param(b"Authorization : Bearer %s", id="space-before-colon"),
    pytest.param(b"Authorization: Bearer%s", id="no-blank"),
    pytest.param(b"Authorization: Bearer", id="no-token"),
    pytest.param(b"Authorization: Bearer %s x", id="two-words"),
    pytest.param(b'Authorization: Bearer "%s"', id="quoted"),
    pytest.param(b"Authorization: Basic %s", id="basic"),
    pytest.param(b"Authorization: %s", id="no-scheme"),
    pytest.param(b"X-Authorization: Bearer %s", id="another-name"),
    pytest.param(b"Proxy-Authorization: Bearer %s", id="for-the-proxy"),
    pytest.param(b"Cookie: access_token=%s", id="cookie"),
    pytest.param(b"Authorization: Bearer " + b"x" * 9_000, id="9-kb"),
    pytest.param(b"Authorization: Bearer " + b"x" * 60_000, id="60-kb"),
    pytest.param(b"Authorization: Bearer " + b"a." * 4_000, id="dots"),
]


@BOTH
@pytest.mark.parametrize("header", HOSTILE_HEADERS)
def test_a_header_that_is_no_bearer_token_opens_nothing(
    serving: Serving, reader: str, host: str, header: bytes
) -> None:
    """The servers refuse some of them before we see them."""
    answer = serving.ask(
        "GET /orders HTTP/1.1", header.replace(b"%s", reader.removeprefix("Authorization: Bearer ").encode()), host=host
    )

    assert answer.status in {400, 401}
    assert b"inside" not in answer.body


@pytest.mark.parametrize(
    "header", [b"authorization:bearer %s", b"AUTHORIZATION: BEARER %s", b"Authorization:\t Bearer  %s \t"]
)
def test_case_and_blanks_around_do_not_matter(serving: Serving, reader: str, header: bytes) -> None:
    header = header.replace(b"%s", reader.removeprefix("Authorization: Bearer ").encode())

    assert serving.ask("GET /orders HTTP/1.1", header).body == b"inside"


def test_a_folded_header_is_one_header_or_a_bad_request(serving: Serving, reader: str) -> None:
    answer = serving.get("/orders", reader.replace("Bearer ", "Bearer\r\n "))

    assert (answer.status, answer.body) in {(200, b"inside"), (400, b"")}


@pytest.mark.parametrize(("path", "status"), [("/health", 200), ("/orders", 401)])
def test_http_1_0_makes_no_difference(serving: Serving, path: str, status: int) -> None:
    assert serving.ask(f"GET {path} HTTP/1.0").status == status


# -- paths


TRICKS = [
    "GET //orders", "GET /orders/", "GET /orders//", "GET /Orders", "GET /ORDERS", "GET /./orders", "GET /orders/.",
    "GET /health/../orders", "GET /health/..//orders", "GET /health/%2e%2e/orders", "GET /health%2f..%2forders",
    "GET /health%5c..%5corders", "GET /health/", "GET //health", "GET /Health", "GET /health;x", "GET /health;/orders",
    "GET /health%3b", "GET /health%00", "GET /health%20", "GET /health%09", "GET /%2e/health", "GET /%2fhealth",
    "GET /health%2f", "GET /health%3f", "GET /health%23", "GET /%2568ealth", "GET /%252e/health", "GET /health%",
    "GET /%ff", "GET /health%c0%af", "GET /%ef%bc%8fhealth", "GET /h\u0435alth",
    "GET /orders?/health", "GET /orders?x=/health", "GET /orders#/health", "GET /orders%23/health",
    "GET /orders;/health",
    "GET health", "GET orders", "GET ?/health", "GET \\health", "GET /..;/health", "GET /mounted/../health",
    "GET /mounted/../orders", "GET /mounted/health/../orders", "GET /mounted", "GET /mounted/", "GET /mounted//health",
    "GET /mounted%2fhealth/", "GET /files/secret.txt", "GET /files/../health", "GET /files/..%2fhealth", "GET /raw",
    "GET /raw/health", "GET /raw/../health", "GET /docs/", "GET /docs/../orders", "GET /openapi.json/x",
    "GET http://evil/orders", "GET http://evil/health/../orders", "GET http://evil", "GET http:///orders",
    "get /orders", "Get /orders", "HEAD /orders", "POST /health", "PUT /health", "TRACE /health", "CONNECT /health",
    "CONNECT evil:80", "QUERY /health", "WEBSOCKET /feed", "WEBSOCKET /open", "OPTIONS *", "OPTIONS /health", "GET *",
    "DELETE /methods", "delete /methods", "DISPATCH /methods", "__INIT__ /methods", "METHOD_NOT_ALLOWED /methods",
    "GET /item/5", "GET /item/x",
]  # fmt: skip


@BOTH
@pytest.mark.parametrize("trick", TRICKS)
def test_a_stranger_gets_nowhere(serving: Serving, host: str, trick: str) -> None:
    with Wire(serving.port) as wire:
        wire.send(f"{trick} HTTP/1.1", "Connection: close", host=host)
        status, headers = wire.head()
        body = wire.rest()

    assert b"inside" not in body
    if trick.startswith("HEAD"):
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
    else:
        assert is_refused(Answer(status, headers, body)), (status, body)


OVERRIDES = [
    "X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET", "X-Original-URL: /health",
    "X-Rewrite-URL: /health", "X-Original-URI: /health", "X-Forwarded-Prefix: /health", "X-Forwarded-Path: /health",
    "X-Forwarded-Host: x/health?", "X-Forwarded-For: 127.0.0.1", "X-Script-Name: /orders", "Forwarded: host=x/health?",
    "Referer: http://fast/health", "Content-Location: /health", "Origin: http://fast",
    "Access-Control-Request-Method: GET",
]  # fmt: skip


@BOTH
@pytest.mark.parametrize("header", OVERRIDES)
def test_no_header_makes_a_request_another_one(serving: Serving, reader: str, host: str, header: str) -> None:
    assert is_refused(serving.get("/orders", header, host=host))
    assert is_refused(serving.ask("DELETE /methods HTTP/1.1", header, host=host))

    answer = serving.ask("POST /orders HTTP/1.1", header, reader, "Content-Length: 0", host=host)
    assert (answer.status, answer.challenge) == (403, FORBIDDEN_CHALLENGE)


@pytest.mark.parametrize(
    "host", ["x/health?", "x/health#", "x/health", "fast/health?", "@fast/health?", "x\\health?", "x health", ""]
)
def test_no_host_makes_a_path_another_one(serving: Serving, host: str) -> None:
    """CVE-2026-48710: a Host header could make request.url.path another one."""
    assert is_refused(serving.get("/orders", host=host))


def test_two_hosts_are_no_way_in(serving: Serving) -> None:
    with Wire(serving.port) as wire:
        wire.send("GET /orders HTTP/1.1", "Host: x/health?", "Connection: close")
        status, _ = wire.head()
        assert status in {400, 401}
        assert b"inside" not in wire.rest()


@BOTH
@pytest.mark.parametrize("path", ["/health", "/%68ealth", "/health?", "/health?x=/orders", "/mounted/health"])
def test_the_same_path_is_public_however_it_is_written(serving: Serving, host: str, path: str) -> None:
    assert serving.get(path, host=host).body == b"healthy"


@pytest.mark.parametrize("line", ["GET http://evil/health", "GET /health#/orders", "get /health", "GET /health%0a"])
def test_what_servers_take_for_a_public_path_is_answered_from_there_or_refused(serving: Serving, line: str) -> None:
    answer = serving.ask(f"{line} HTTP/1.1")

    assert answer.body == b"healthy" or is_refused(answer)


def test_a_slash_too_many_redirects_only_who_may_know(serving: Serving, reader: str) -> None:
    assert is_refused(serving.get("/orders/"))
    answer = serving.get("/orders/", reader)
    assert (answer.status, answer.headers["location"]) == (307, "http://fast/orders")


# -- several requests on one connection


@BOTH
def test_pipelined_requests_are_each_answered_for_themselves(serving: Serving, reader: str, host: str) -> None:
    with Wire(serving.port) as wire:
        first = f"GET /health HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        second = f"GET /orders HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        third = f"GET /orders HTTP/1.1\r\nHost: {host}\r\n{reader}\r\n\r\n".encode()
        wire.sock.sendall(first + second + third + second)

        assert wire.answer().body == b"healthy"
        assert is_refused(wire.answer())
        assert wire.answer().body == b"inside"
        assert is_refused(wire.answer())


@BOTH
def test_a_token_is_good_for_one_request(serving: Serving, reader: str, host: str) -> None:
    with Wire(serving.port) as wire:
        for _ in range(2):
            wire.send("GET /orders HTTP/1.1", reader, host=host)
            assert wire.answer().body == b"inside"
            wire.send("GET /orders HTTP/1.1", host=host)
            assert is_refused(wire.answer())
            wire.send("POST /orders HTTP/1.1", reader, "Content-Length: 0", host=host)
            assert wire.answer().status == 403


SMUGGLED = "GET /orders HTTP/1.1\r\nHost: fast\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["Content-Length: 5", "Transfer-Encoding: chunked"], id="both-lengths"),
        pytest.param(["Content-Length: 0", "Content-Length: 5"], id="two-lengths"),
        pytest.param(["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], id="two-encodings"),
        pytest.param(["Transfer-Encoding: xchunked"], id="another-encoding"),
        pytest.param(["Transfer-Encoding : chunked"], id="space-before-colon"),
        pytest.param(["Content-Length: +5"], id="plus"),
    ],
)
def test_a_request_hidden_in_another_is_not_let_in_by_it(serving: Serving, headers: list[str]) -> None:
    with Wire(serving.port) as wire:
        wire.send("GET /health HTTP/1.1", *headers, body=b"0\r\n\r\n" + SMUGGLED.encode())
        wire.sock.shutdown(socket.SHUT_WR)

        assert b"inside" not in wire.rest()


def test_a_request_in_a_body_is_none(serving: Serving) -> None:
    with Wire(serving.port) as wire:
        wire.send("GET /health HTTP/1.1", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED.encode())
        assert wire.answer().body == b"healthy"
        wire.send("GET /orders HTTP/1.1", "Connection: close")
        assert wire.answer().status == 401
        assert wire.rest() == b""


# -- bodies and streams


@pytest.mark.parametrize("path", ["/json", "/orders"])
def test_who_lacks_the_scope_is_refused_before_the_body(serving: Serving, reader: str, path: str) -> None:
    """The headers announce 100 MB; not a byte of them is ever sent."""
    with Wire(serving.port) as wire:
        wire.send(
            f"POST {path} HTTP/1.1",
            reader,
            "Content-Type: application/json",
            "Content-Length: 100000000",
            "Expect: 100-continue",
        )
        answer = wire.answer()

    assert (answer.status, answer.challenge) == (403, FORBIDDEN_CHALLENGE)


def test_a_caller_who_goes_away_with_half_a_body_harms_nobody(serving: Serving, writer: str) -> None:
    for _ in range(3):
        with Wire(serving.port) as wire:
            wire.send(
                "POST /json HTTP/1.1",
                writer,
                "Content-Type: application/json",
                "Content-Length: 1000",
                body=b'{"item": ',
            )

    body = b'{"item": "book"}'
    answer = serving.ask(
        "POST /json HTTP/1.1", writer, "Content-Type: application/json", f"Content-Length: {len(body)}", body=body
    )
    assert (answer.status, answer.body) == (200, b'"inside"')


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        ("/stream/", b"first", b"last"),
        ("/events/", b'data: {"n": 1}\n\n', b'data: {"n": 2}\n\n'),
        ("/lines/", b'{"n":1}\n', b'{"n":2}\n'),
    ],
)
def test_the_first_chunk_comes_before_the_last_is_made(
    serving: Serving, issuer: LocalPool, reader: str, path: str, first: bytes, last: bytes
) -> None:
    key = f"{next(KEYS)}"
    assert is_refused(serving.get(path + key))
    without = serving.get(path + key, f"Authorization: Bearer {issuer.mint(WRITE)}")
    assert without.status == 403

    with Wire(serving.port) as wire:
        wire.send(f"GET {path}{key} HTTP/1.1", reader)
        assert wire.head()[0] == 200
        assert wire.chunk() == first
        opened = serving.ask(f"POST /gate/{key} HTTP/1.1", "Content-Length: 0")
        assert opened.status == 200
        assert wire.chunk() == last
        assert wire.chunk() == b""


def test_what_is_to_be_done_after_the_answer_is_done(serving: Serving, reader: str) -> None:
    key = f"{next(KEYS)}"
    serving.ask(f"POST /gate/{key} HTTP/1.1", "Content-Length: 0")
    with Wire(serving.port) as wire:
        wire.send(f"GET /stream/{key} HTTP/1.1", reader)
        assert wire.head()[0] == 200
        assert [wire.chunk(), wire.chunk(), wire.chunk()] == [b"first", b"last", b""]

    assert serving.get(f"/wait/done%20{key}").status == 200


def test_a_stream_ends_when_its_reader_goes_away(serving: Serving, reader: str) -> None:
    key = f"{next(KEYS)}"
    with Wire(serving.port) as wire:
        wire.send(f"GET /stream/{key} HTTP/1.1", reader)
        assert wire.head()[0] == 200
        assert wire.chunk() == b"first"

    serving.ask(f"POST /gate/{key} HTTP/1.1", "Content-Length: 0")
    assert serving.get(f"/wait/gone%20{key}").status == 200


# -- websockets


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("fast", "/feed"), ("starlette", "/feed"), ("fast", "/decorated"), ("starlette", "/decorated"),
        ("fast", "/depends"), ("fast", "/unknown"), ("fast", "/health"), ("fast", "/orders"), ("fast", "//open"),
        ("fast", "/open/"), ("fast", "/open/../feed"), ("fast", "/docs"),
    ],
)  # fmt: skip
def test_a_websocket_is_refused_with_a_real_401(upgrading: Serving, host: str, path: str) -> None:
    answer = upgrading.deny(path, host=host)

    assert (answer.status, answer.challenge, json.loads(answer.body)) == (401, "Bearer", MISSING)


@pytest.mark.parametrize(("host", "path"), [("fast", "/decorated"), ("starlette", "/decorated"), ("fast", "/depends")])
def test_a_websocket_is_refused_with_a_real_403(upgrading: Serving, issuer: LocalPool, host: str, path: str) -> None:
    answer = upgrading.deny(path, issuer.mint(READ), host=host)

    assert (answer.status, answer.challenge, json.loads(answer.body)) == (403, FORBIDDEN_CHALLENGE, FORBIDDEN)


def test_a_websocket_is_told_what_is_wrong_with_its_token(upgrading: Serving, issuer: LocalPool) -> None:
    token = issuer.mint(READ)

    assert upgrading.deny("/feed", token, token).status == 400
    malformed = upgrading.deny("/feed", "x")
    assert (malformed.status, malformed.headers["www-authenticate"].split(",")[0]) == (
        401,
        'Bearer error="invalid_token"',
    )
    unavailable = upgrading.deny("/feed", token, host="dark")
    assert (unavailable.status, unavailable.headers["retry-after"].isdigit()) == (503, True)


@pytest.mark.parametrize(
    ("host", "path"), [("fast", "/feed"), ("starlette", "/feed"), ("fast", "/decorated"), ("starlette", "/decorated")]
)
def test_a_websocket_is_let_in(upgrading: Serving, issuer: LocalPool, host: str, path: str) -> None:
    with upgrading.connect(path, issuer.mint(WRITE), host=host) as feed:
        feed.send("hello")
        assert feed.recv(IN_TIME) == "hello"


def test_a_websocket_has_its_caller_as_a_dependency(upgrading: Serving, issuer: LocalPool) -> None:
    with upgrading.connect("/depends", issuer.mint(WRITE)) as feed:
        assert [feed.recv(IN_TIME)] == [client.client_id for client in issuer.clients]


@BOTH
def test_a_public_websocket_is_open_to_all(upgrading: Serving, issuer: LocalPool, host: str) -> None:
    for tokens in ((), ("x",), (issuer.mint(READ),)):
        with upgrading.connect("/open", *tokens, host=host) as feed:
            feed.send("hello")
            assert feed.recv(IN_TIME) == "hello"


def test_a_websocket_outlives_its_token(upgrading: Serving, issuer: LocalPool) -> None:
    """Who is let in is settled when the connection is made."""
    token = issuer.mint(READ)
    with upgrading.connect("/feed", token, host="clocked") as feed:
        feed.send("86400")
        assert feed.recv(IN_TIME) == "moved"
        assert upgrading.deny("/feed", token, host="clocked").status == 401
        assert upgrading.get("/orders", f"Authorization: Bearer {token}", host="clocked").status == 401
        feed.send("anybody there?")
        assert feed.recv(IN_TIME) == "still here"


# -- sub-apps, and what is in front of the path


def test_sub_apps_have_pools_of_their_own(serving: Serving, issuer: LocalPool, other_issuer: LocalPool) -> None:
    one, two = (f"Authorization: Bearer {pool.mint(READ)}" for pool in (issuer, other_issuer))

    for mount, own, foreign in (("/one", one, two), ("/two", two, one), ("/any/two", two, one)):
        assert serving.get(f"{mount}/health", host="tenants").body == b'"healthy"'
        assert is_refused(serving.get(f"{mount}/orders", host="tenants"))
        assert is_refused(serving.get(f"{mount}/health/../orders", host="tenants"))
        assert serving.get(f"{mount}/orders", own, host="tenants").body == b'"inside"'
        refused = serving.get(f"{mount}/orders", foreign, host="tenants")
        assert (refused.status, json.loads(refused.body)["error"]) == (401, "invalid_token")


PREFIXES = ["", "/api", "/api/api", "//api", "/api/", "/API", "/ap", "/api/health/..", "/%61pi", "/api%2f", "/health"]


@BOTH
@pytest.mark.parametrize("prefix", PREFIXES)
def test_no_prefix_opens_a_path_below_a_root_path(rooted: Serving, host: str, prefix: str) -> None:
    for path in ("/orders", "/mounted/orders", "/raw/health", "/item/5"):
        assert is_refused(rooted.get(prefix + path, host=host))
    public = rooted.get(f"{prefix}/health", host=host)
    assert public.body == b"healthy" or is_refused(public)


@BOTH
def test_routes_are_found_below_a_root_path(rooted: Serving, reader: str, host: str) -> None:
    """Whether the proxy has taken the prefix away or not; the servers differ in what they expect of it."""
    for path, body in (("/health", b"healthy"), ("/mounted/health", b"healthy"), ("/orders", b"inside")):
        assert body in {rooted.get(prefix + path, reader, host=host).body for prefix in ("", "/api")}
    bodies = {rooted.get(prefix + "/health", host=host).body for prefix in ("", "/api")}
    assert b"healthy" in bodies


@BOTH
def test_websockets_are_found_below_a_root_path(rooted: Serving, host: str) -> None:
    answers = [rooted.deny(prefix + "/feed", host=host).status for prefix in ("", "/api", "//api", "/api/api")]
    assert answers == [401, 401, 401, 401]

    opened = []
    for prefix in ("", "/api"):
        with suppress(InvalidStatus), rooted.connect(prefix + "/open", host=host) as feed:
            feed.send("hello")
            opened.append(feed.recv(IN_TIME))
    assert set(opened) == {"hello"}


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_an_app_that_knows_its_root_path_is_guarded_with_it_and_without(
    serving: Serving, reader: str, prefix: str
) -> None:
    """A proxy may strip the prefix or leave it; mounts are only found below it."""
    assert serving.get("/api/mounted/health", host="rooted").body == b"healthy"
    assert serving.get(f"{prefix}/health", host="rooted").body == b"healthy"
    assert is_refused(serving.get(f"{prefix}/orders", host="rooted"))
    assert is_refused(serving.get(f"{prefix}/mounted/orders", host="rooted"))
    assert serving.get(f"{prefix}/orders", reader, host="rooted").body == b"inside"
    for path in (f"/api{prefix}/orders", f"/apiorders{prefix}", f"/api/../health{prefix}x", f"/api/..{prefix}/orders"):
        assert is_refused(serving.get(path, host="rooted"))


# -- HTTP/2


class Http2:
    """One HTTP/2 connection, without TLS and without asking first."""

    def __init__(self, port: int) -> None:
        # Nothing is checked here: what is sent is the test's business.
        config = H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self._h2 = H2Connection(config)
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=IN_TIME)
        self._h2.initiate_connection()

    def close(self) -> None:
        self._sock.close()

    def ask(self, *headers: tuple[str, str]) -> tuple[int, dict[str, str], bytes]:
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, headers, end_stream=True)
        status, received, body = 0, {}, b""
        for event in self._events(stream):
            if isinstance(event, ResponseReceived):
                received = {name.decode(): value.decode() for name, value in event.headers or ()}
                status = int(received[":status"])
            elif isinstance(event, DataReceived):
                body += event.data or b""
        return status, received, body

    def _events(self, stream: int) -> Iterator[Event]:
        ended = False
        while not ended:
            self._sock.sendall(self._h2.data_to_send())
            data = self._sock.recv(65_536)
            assert data
            for event in self._h2.receive_data(data):
                ended = ended or (isinstance(event, StreamEnded | StreamReset) and event.stream_id == stream)
                yield event


@pytest.fixture
def http2(serving: Serving) -> Iterator[Http2]:
    connection = Http2(serving.port)
    yield connection
    connection.close()


@pytest.mark.parametrize("serving", servers("hypercorn-asyncio", "hypercorn-trio", "granian"), indirect=True)
def test_http_2_makes_no_difference(http2: Http2, reader: str) -> None:
    def target(path: str, method: str = "GET", authority: str = "fast") -> tuple[tuple[str, str], ...]:
        return ((":method", method), (":scheme", "http"), (":authority", authority), (":path", path))

    bearer = ("authorization", reader.partition(": ")[2])

    assert http2.ask(*target("/health"))[2] == b"healthy"
    assert http2.ask(*target("/orders"), bearer)[2] == b"inside"
    for path, authority in (
        ("/orders", "fast"), ("/orders", "evil"), ("//orders", "fast"), ("/health/../orders", "fast"),
        ("/health;x", "fast"), ("/orders#/health", "fast"), ("/item/5", "fast"),
    ):  # fmt: skip
        status, headers, body = http2.ask(*target(path, authority=authority))
        assert (path, status, headers.get("www-authenticate")) == (path, 401, "Bearer")
        assert json.loads(body) == MISSING
    status, headers, _ = http2.ask(*target("/orders"), bearer, bearer)
    assert (status, headers["www-authenticate"].split(",")[0]) == (400, 'Bearer error="invalid_request"')
    status, headers, _ = http2.ask(*target("/orders", "POST"), bearer)
    assert (status, headers["www-authenticate"]) == (403, FORBIDDEN_CHALLENGE)
    # Nothing of the requests before is left.
    assert http2.ask(*target("/orders"))[0] == 401
    # 0: granian takes no notice of such a request.
    assert http2.ask(*target("/orders", authority="x/health?"))[0] in {0, 401}
