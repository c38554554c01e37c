"""Keys in real processes: under several servers, forked, and ended during a fetch."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest

from cognito_guard import ANY_CLIENT, KeyPolicy, UserPool
from cognito_guard._keys.get import get
from cognito_guard._keys.key_set import KeySet
from cognito_guard._report.reporter import Reporter
from cognito_guard.local import LocalPool, PoolKeys

pytestmark = pytest.mark.slow

IN_TIME = 120.0
"""Seconds that a test waits for what must come, before it fails."""


@pytest.fixture
def issuer(pool_keys: PoolKeys) -> LocalPool:
    """A pool on the real clock, which is that of other processes too."""
    issuer = LocalPool(keys=pool_keys)
    issuer.add_client(scopes=["openid"], allowed_flows=["code"])
    return issuer


@pytest.fixture
def jwks(issuer: LocalPool) -> bytes:
    return json.dumps(issuer.jwks()).encode()


@pytest.fixture
def environ(server: Any, issuer: LocalPool) -> dict[str, str]:
    return os.environ | {"POOL": issuer.pool_id, "JWKS": server.url, "TOKEN": issuer.mint(), "PYTHONDEVMODE": "1"}


# -- a fault on a real socket


FAULTS = [
    pytest.param(lambda server, _: None, "no complete answer from {host} within 2 s", id="hangs"),
    pytest.param(
        lambda server, jwks: server.say(*[bytes([byte]) for byte in jwks], every=0.02),
        "no complete answer from {host} within 2 s",
        id="drips",
    ),
    pytest.param(lambda server, _: server.say(b""), "the answer from {host} is cut short or not HTTP", id="hangs-up"),
    pytest.param(
        lambda server, jwks: server.answer(jwks, status="503 Service Unavailable"),
        "status 503 instead of 200",
        id="503",
    ),
    pytest.param(
        lambda server, jwks: server.answer(jwks, f"Location: {server.url}", status="302 Found"),
        "status 302 instead of 200",
        id="redirects",
    ),
    pytest.param(
        lambda server, jwks: server.answer(jwks[:-9], length=len(jwks)),
        "the answer from {host} is cut short or not HTTP",
        id="cut",
    ),
    pytest.param(lambda server, jwks: server.answer(jwks[:-9]), "the answer is not JSON", id="truncated"),
    pytest.param(
        lambda server, jwks: server.answer(jwks + b" " * 65_536), "the answer is longer than 65536 bytes", id="too-long"
    ),
    pytest.param(lambda server, _: server.answer(b'{"keys": []}'), "the key set holds no usable key", id="no-keys"),
]


@pytest.mark.parametrize(("fault", "error"), FAULTS)
@pytest.mark.anyio
async def test_no_fault_of_the_server_is_felt_by_who_has_keys(
    server: Any, issuer: LocalPool, jwks: bytes, timer: Any, fault: Callable[[Any, bytes], None], error: str
) -> None:
    server.answer(jwks)
    keys = KeySet(
        UserPool(issuer.pool_id, client_ids=ANY_CLIENT, jwks_url=server.url),
        KeyPolicy(timeout=2),
        Reporter(None),
        fetch=get,
        timer=timer,
    )
    await keys.load()
    key = keys.get(issuer.keys.access.kid)
    server.asked.clear()
    server.play = server.hang
    fault(server, jwks)
    timer.advance(3_600)

    assert keys.get(issuer.keys.access.kid) is key
    await anyio.to_thread.run_sync(server.asked.wait)
    assert keys.get(issuer.keys.access.kid) is key
    await keys.settle()

    assert len(server.heads) == 2
    assert keys.get(issuer.keys.access.kid) is key
    status = keys.status()
    assert (status["ready"], status["keys"], status["age"]) == (True, 2, 3_600.0)
    assert str(status["last_error"]).startswith(f"{server.url}: {error.format(host=f'127.0.0.1:{server.port}')}")


# -- servers


APP = """
import os

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from cognito_guard import ANY_CLIENT, CognitoGuard, KeyPolicy, UserPool

policy = KeyPolicy(max_age=0.01, stale_for=600, cooldown=0.01, timeout=float(os.environ.get("TIMEOUT", "3")))
pool = UserPool(os.environ["POOL"], client_ids=ANY_CLIENT, jwks_url=os.environ["JWKS"])
guard = CognitoGuard(pool, key_policy=policy)


async def hello(request):
    return PlainTextResponse(request.user.client_id)


app = Starlette(routes=[Route("/", hello)])
guard.install(app)
mounted = Starlette(routes=[Mount("/sub", app)])
"""

UVICORN = ["uvicorn", "--no-access-log", "--fd", "{fd}"]
HYPERCORN = ["hypercorn", "--bind", "fd://{fd}", "--worker-class"]
SERVERS = [
    pytest.param([*UVICORN, "app:app"], "/", True, id="uvicorn"),
    pytest.param([*UVICORN, "--lifespan", "off", "app:app"], "/", False, id="uvicorn-without-lifespan"),
    pytest.param([*UVICORN, "app:mounted"], "/sub/", False, id="uvicorn-mounted"),
    pytest.param([*HYPERCORN, "asyncio", "app:app"], "/", True, id="hypercorn-asyncio"),
    pytest.param([*HYPERCORN, "trio", "app:app"], "/", True, id="hypercorn-trio"),
    pytest.param([*HYPERCORN, "trio", "app:mounted"], "/sub/", False, id="hypercorn-trio-mounted"),
]


# The last one is from asyncio's debug mode, about everything that takes longer than 0.1 s.
USUAL = re.compile(r"INFO: |.*\[INFO\]|Executing <.* took [\d.]+ seconds$")


class Serving:
    """A server in a process of its own, behind a socket that takes connections from the start."""

    def __init__(self, command: list[str], folder: Path, environ: dict[str, str]) -> None:
        (folder / "app.py").write_text(APP)
        self.listener = socket.create_server(("127.0.0.1", 0))
        number = self.listener.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-m", *(part.format(fd=number) for part in command)],
            cwd=folder,
            env=environ,
            pass_fds=[number],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def get(self, path: str, token: str) -> httpx.Response:
        url = f"http://127.0.0.1:{self.listener.getsockname()[1]}{path}"
        return httpx.get(url, headers={"authorization": f"Bearer {token}"}, timeout=IN_TIME, trust_env=False)

    def end(self) -> list[str]:
        """Ask it to end, and return the lines it has written that are no usual ones."""
        self.process.terminate()
        output, _ = self.process.communicate(timeout=IN_TIME)
        # uvicorn raises the signal once more when it is done.
        assert self.process.returncode in {0, -signal.SIGTERM}
        return [line for line in output.splitlines() if not USUAL.match(line)]


@pytest.fixture
def serve(tmp_path: Path, environ: dict[str, str]) -> Iterator[Callable[[list[str]], Serving]]:
    running: list[Serving] = []

    def serve(command: list[str]) -> Serving:
        running.append(Serving(command, tmp_path, environ))
        return running[-1]

    yield serve
    for serving in running:
        serving.process.kill()
        serving.process.communicate()
        serving.listener.close()


STARTING = r"cognito_guard: (found in the routes|.*resource_servers)"
"""What the guard says of this app when it starts."""


@pytest.mark.parametrize(("command", "path", "lifespan"), SERVERS)
def test_keys_are_fetched_and_refreshed_under_any_server(
    serve: Callable[[list[str]], Serving],
    server: Any,
    issuer: LocalPool,
    jwks: bytes,
    command: list[str],
    path: str,
    lifespan: bool,
) -> None:
    server.answer(jwks)
    serving = serve(command)
    if lifespan:
        assert server.asked.wait(IN_TIME), "the keys are there before the first request is"

    assert serving.get(path, issuer.mint()).status_code == 200
    # Older than max_age by now: the first of these starts a refresh, which hangs, and none of them waits for it.
    server.play = server.hang
    server.asked.clear()
    started = time.monotonic()
    while not server.asked.is_set():
        assert serving.get(path, issuer.mint()).status_code == 200
    assert time.monotonic() - started < IN_TIME
    assert serving.get(path, issuer.mint()).status_code == 200

    unexpected = [line for line in serving.end() if "within 3 s; " not in line and not re.search(STARTING, line)]
    assert unexpected == []


@pytest.mark.parametrize(("command", "path", "lifespan"), SERVERS)
def test_a_server_starts_without_keys_and_recovers(
    serve: Callable[[list[str]], Serving],
    server: Any,
    issuer: LocalPool,
    jwks: bytes,
    command: list[str],
    path: str,
    lifespan: bool,
) -> None:
    server.answer(b"", status="500 Oh")
    serving = serve(command)

    response = serving.get(path, issuer.mint())
    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"

    server.answer(jwks)
    while (response := serving.get(path, issuer.mint())).status_code == 503:
        continue
    assert response.status_code == 200

    story = "\n".join(serving.end())
    assert "status 500 instead of 200" in story
    assert "no keys to verify tokens with" in story
    assert ("starting without keys" in story) == lifespan
    assert "Traceback" not in story


# -- a process that is stopped: a suspended container, AWS Lambda between two calls


def stop(serving: Serving, server: Any, meanwhile: Callable[[], object], seconds: float) -> None:
    """Stop the process, and do something *meanwhile*."""
    os.kill(serving.process.pid, signal.SIGSTOP)
    meanwhile()
    # There is no event for the time that passes while a process is stopped.
    server.over.wait(seconds)
    os.kill(serving.process.pid, signal.SIGCONT)


def test_a_process_that_was_stopped_at_any_moment_knows_a_key_that_was_rotated_meanwhile(
    serve: Callable[[list[str]], Serving], server: Any, issuer: LocalPool, environ: dict[str, str]
) -> None:
    environ["TIMEOUT"] = "2"
    moments = random.Random(20)  # noqa: S311 - the same each time

    def play(conn: socket.socket) -> None:
        document = json.dumps(issuer.jwks()).encode()
        server.over.wait(moments.uniform(0, 0.05))
        conn.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(document)}\r\n\r\n".encode() + document)

    server.play = play
    serving = serve([*UVICORN, "app:app"])
    for _ in range(5):
        # Older than max_age each time: a refresh begins.
        assert serving.get("/", issuer.mint()).status_code == 200
        server.over.wait(moments.uniform(0, 0.1))
        stop(serving, server, issuer.rotate, 2.1)
        assert serving.get("/", issuer.mint()).status_code == 200


def test_a_process_that_was_stopped_in_its_first_fetch_answers_waiting_requests(
    serve: Callable[[list[str]], Serving], server: Any, issuer: LocalPool, jwks: bytes, environ: dict[str, str]
) -> None:
    """It is stopped for longer than timeout and back-off. The network works again when it continues."""
    environ["TIMEOUT"] = "0.5"
    for _ in range(3):
        server.play = server.hang
        server.asked.clear()
        serving = serve([*UVICORN, "--lifespan", "off", "app:app"])
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(serving.get, "/", issuer.mint())
            assert server.asked.wait(IN_TIME)
            stop(serving, server, lambda: server.answer(jwks), 1.6)
            assert waiting.result(IN_TIME).status_code == 200
        assert serving.get("/", issuer.mint()).status_code == 200


# -- scripts


HEADER = """
import logging
import os
import sys
import threading
import warnings
from functools import partial

import anyio

from cognito_guard import ANY_CLIENT, CognitoGuard, KeyPolicy, UserPool
from cognito_guard._requests.internals import internals_of

POOL = UserPool(os.environ["POOL"], client_ids=ANY_CLIENT, jwks_url=os.environ["JWKS"])
TOKEN = os.environ["TOKEN"]
# Python 3.12 and later warn of what is to be proven harmless here.
warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
# asyncio's debug mode warns of what took longer than 0.1 s, as everything does on a busy machine.
logging.getLogger("asyncio").setLevel(logging.ERROR)


async def settle(guard):
    await internals_of(guard).verifier.issuers.settle()


def in_a_child(check):
    \"\"\"Run *check* in a forked child, and return whether it went well.\"\"\"
    pid = os.fork()
    if pid == 0:
        try:
            check()
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0
"""


@pytest.fixture
def run(environ: dict[str, str]) -> Callable[[str], float]:
    """Run a script to its end; no more than news may be written, also by what is torn down. Returns the seconds."""

    def run(script: str) -> float:
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", HEADER + textwrap.dedent(script)],
            env=environ,
            capture_output=True,
            text=True,
            timeout=IN_TIME,
            check=False,
        )
        assert (done.returncode, done.stdout) == (0, "")
        assert [line for line in done.stderr.splitlines() if not line.startswith("INFO:")] == []
        return time.monotonic() - started

    return run


def test_a_process_may_end_in_the_middle_of_a_fetch(run: Callable[[str], float]) -> None:
    """It ends at once and writes nothing, even if the fetch would take long."""
    seconds = run("""
        guard = CognitoGuard(POOL, key_policy=KeyPolicy(timeout=600))

        async def main():
            with anyio.move_on_after(0.2):
                await guard.verify(TOKEN)

        anyio.run(main)
        assert sum(thread.name.startswith("cognito-guard") for thread in threading.enumerate()) == 1
    """)

    assert seconds < IN_TIME


def test_a_process_may_end_in_the_middle_of_a_look_up(run: Callable[[str], float]) -> None:
    """The system's resolver cannot be interrupted, and may try for a minute."""
    seconds = run("""
        reached = threading.Event()

        from cognito_guard._keys.get import get

        def resolve(*_, **__):
            reached.set()
            threading.Event().wait()

        pool = UserPool(os.environ["POOL"], client_ids=ANY_CLIENT)
        guard = CognitoGuard(pool, key_policy=KeyPolicy(timeout=0.2), fetch=partial(get, resolve=resolve))

        async def main():
            with anyio.move_on_after(0.1):
                await guard.verify(TOKEN)
            await anyio.to_thread.run_sync(reached.wait)
            await settle(guard)

        logging.disable()
        anyio.run(main)
        error = guard.status()[POOL.pool_id]["last_error"]
        assert "the look-up of cognito-idp" in error and "within 0.2 s" in error, error
    """)

    assert seconds < IN_TIME


def test_an_on_event_that_ends_its_thread_does_not_block_requests(
    run: Callable[[str], float], server: Any, jwks: bytes
) -> None:
    """sys.exit() ends a thread silently, and no `except Exception` catches it."""
    server.answer(jwks)
    seconds = run("""
        def on_event(event):
            if threading.current_thread() is not threading.main_thread():
                sys.exit()

        guard = CognitoGuard(POOL, key_policy=KeyPolicy(timeout=600), on_event=on_event)
        for backend in ("asyncio", "trio"):
            anyio.run(guard.verify, TOKEN, backend=backend)
            anyio.run(settle, guard, backend=backend)
    """)

    assert seconds < IN_TIME


def test_nothing_is_imported_while_a_request_waits(run: Callable[[str], float], server: Any, jwks: bytes) -> None:
    """Neither on the event loop, which would block, nor on the thread, because the process might be forked then."""
    server.answer(jwks)
    run("""
        import asyncio

        assert "httpx" not in sys.modules
        guard = CognitoGuard(POOL)
        from cognito_guard._keys.get import get
        before = set(sys.modules)
        asyncio.run(guard.verify(TOKEN))
        asyncio.run(settle(guard))
        try:
            get(os.environ["JWKS"].replace("http://127.0.0.1", "https://localhost"), 5)
        except Exception as error:
            assert "WRONG_VERSION_NUMBER" in str(error), error
        assert set(sys.modules) - before == set(), set(sys.modules) - before
    """)


def test_a_forked_child_fetches_for_itself(run: Callable[[str], float], server: Any, jwks: bytes) -> None:
    server.answer(jwks)
    run("""
        guard = CognitoGuard(POOL)
        verify = partial(anyio.run, guard.verify, TOKEN)
        for _ in range(3):
            assert in_a_child(verify)
        verify()
    """)

    assert len(server.heads) == 4


def test_a_forked_child_has_the_keys_of_its_parent(run: Callable[[str], float], server: Any, jwks: bytes) -> None:
    server.answer(jwks)
    run("""
        guard = CognitoGuard(POOL)
        verify = partial(anyio.run, guard.verify, TOKEN)
        verify()

        def check():
            verify()
            anyio.run(settle, guard)
            anyio.run(settle, guard, backend="trio")

        assert in_a_child(check)
    """)

    assert len(server.heads) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_child_forked_during_a_fetch_does_not_wait_for_that_of_its_parent(
    run: Callable[[str], float], server: Any, jwks: bytes, environ: dict[str, str], backend: str
) -> None:
    """Neither for the end of that fetch, nor for its cooldown."""

    def play(conn: socket.socket) -> None:
        if len(server.heads) == 1:
            server.hang(conn)
        else:
            conn.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(jwks)}\r\n\r\n".encode() + jwks)

    server.play = play
    environ["BACKEND"] = backend
    run("""
        guard = CognitoGuard(POOL, key_policy=KeyPolicy(timeout=600, cooldown=6_000))
        backend = os.environ["BACKEND"]

        async def fork():
            with anyio.move_on_after(0.2):
                await guard.verify(TOKEN)

        def check():
            # Nothing to wait for, and nothing that could be.
            anyio.run(settle, guard, backend=backend)
            anyio.run(guard.verify, TOKEN, backend=backend)
            anyio.run(settle, guard, backend=backend)
            assert guard.status()[POOL.pool_id]["ready"]

        anyio.run(fork)
        assert in_a_child(check)
        assert not guard.status()[POOL.pool_id]["ready"]
    """)

    assert len(server.heads) == 2


def test_a_child_forked_while_a_thread_holds_the_lock_is_not_locked_out(
    run: Callable[[str], float], server: Any, jwks: bytes
) -> None:
    server.answer(jwks)
    run("""
        import time

        inside, leave = threading.Event(), threading.Event()
        looks = 0

        def timer():
            global looks
            if threading.current_thread().name == "holder":
                looks += 1
                # The first look is before the lock.
                if looks == 2:
                    inside.set()
                    leave.wait()
            return time.monotonic()

        guard = CognitoGuard(POOL, timer=timer)
        verify = partial(anyio.run, guard.verify, TOKEN)
        holder = threading.Thread(target=verify, name="holder")
        holder.start()
        inside.wait()
        assert in_a_child(verify)
        leave.set()
        holder.join()
    """)

    assert len(server.heads) == 2
