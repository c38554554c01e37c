"""Clients in processes that are forked."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from cognito_guard.client import ClientCredentials
from cognito_guard.client._fork import tell_all

Make = Callable[..., ClientCredentials]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork"),
]

SCRIPT = """
import os, sys, threading, warnings
import httpx
from cognito_guard.client import ClientCredentials

warnings.filterwarnings("ignore", "This process .* is multi-threaded, use of fork", DeprecationWarning)
gate, asked, calls = threading.Event(), threading.Event(), []

def answer(request):
    calls.append(os.getpid())
    asked.set()
    gate.wait(30)
    token = f"token.of.{os.getpid()}"
    return httpx.Response(200, json={"access_token": token, "expires_in": 3600, "token_type": "Bearer"})

def in_child(check):
    pid = os.fork()
    if not pid:
        try:
            check()
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1] == 0

client = ClientCredentials("https://x.example/oauth2/token", client_id="a", client_secret="b",
                           store_timeout=30, transport=httpx.MockTransport(answer))
"""


def run(script: str) -> None:
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT + script], capture_output=True, text=True, check=False, timeout=60
    )

    assert (finished.returncode, finished.stderr) == (0, "")


def test_a_child_uses_the_token_of_its_parent() -> None:
    run("""
gate.set()
token = client.token_sync()

def check():
    assert client.token_sync() == token
    assert len(calls) == 1
    status = client.status()
    assert (status.bought, status.reused) == (0, 1), status

assert in_child(check)
""")


def test_a_child_forked_during_a_purchase_makes_its_own() -> None:
    """The thread that buys is the parent's; the child must neither wait for it nor find a lock that it holds."""
    run("""
waiting = threading.Thread(target=client.token_sync)
waiting.start()
assert asked.wait(30)

def check():
    gate.set()
    assert client.token_sync() == f"token.of.{os.getpid()}"

assert in_child(check)
gate.set()
waiting.join()
assert client.token_sync() == f"token.of.{os.getpid()}"
assert calls == [os.getpid()]
""")


def test_a_child_finds_no_lock_that_a_thread_of_its_parent_held() -> None:
    run("""
gate.set()
locks = [client._holder._lock, client._ledger._lock, client._store._store._lock]
for lock in locks:
    lock.acquire()
assert in_child(lambda: client.token_sync() and client.status())
for lock in locks:
    lock.release()
assert client.token_sync()
""")


def test_children_renew_at_times_of_their_own() -> None:
    """Random numbers are seeded anew after a fork: else all workers of a server would renew in the same moment."""
    run("""
gate.set()
reading, writing = os.pipe()

def check():
    client.token_sync()
    os.write(writing, f"{client._holder._held.renew_at - client._holder._held.bought_at!r} ".encode())

assert all(in_child(check) for _ in range(4))
assert len(set(os.read(reading, 1000).split())) == 4
""")


def test_a_child_starts_its_ledger_from_nothing(make_client: Make, endpoint: Any) -> None:
    client = make_client()
    client.token_sync()
    client.token_sync()

    tell_all()

    assert (client.status().bought, client.status().reused) == (0, 0)
    client.token_sync()
    assert (client.status().bought, client.status().reused) == (0, 1)
    assert endpoint.calls == 1


def test_nothing_is_imported_on_a_thread() -> None:
    """A child that is forked while another thread imports a module can never import it."""
    run("""
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        body = b'{"access_token": "a.b.c", "expires_in": 3600, "token_type": "Bearer"}'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

with HTTPServer(("127.0.0.1", 0), Handler) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = ClientCredentials(f"http://localhost:{server.server_port}/token", client_id="a", client_secret="b",
                               store_timeout=30)
    before = set(sys.modules)
    assert client.token_sync() == "a.b.c"
    imported = set(sys.modules) - before
    server.shutdown()
assert not imported, imported
""")
