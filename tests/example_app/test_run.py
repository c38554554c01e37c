"""`python -m example_app`: from the first line it prints to its exit code."""

from __future__ import annotations

import json
import logging
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import IO, NamedTuple

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

import example_app.__main__
from example_app.__main__ import main
from example_app.pool import READER_ID, READER_SECRET, WORKER_ID, WRITER_ID

pytestmark = pytest.mark.slow

ROOT = Path(example_app.__file__).parent.parent
FREE_PORTS = ("--port", "0", "--cognito-port", "0", "--worker-port", "0")
REAL_POOL = {"COGNITO_USER_POOL_ID": "eu-central-1_AbCdEf123", "COGNITO_CLIENT_IDS": "one,another"}
UNREACHABLE = REAL_POOL | {"COGNITO_JWKS_URL": "http://127.0.0.1:1/jwks.json"}
LACKS_WRITE = (
    'Bearer error="insufficient_scope", error_description="The access token lacks a scope that this resource '
    'requires.", scope="orders/order.write"'
)


class Welcome(NamedTuple):
    """What was printed at the start."""

    text: str

    @classmethod
    def read(cls, stdout: IO[str]) -> Welcome:
        """Return what is printed until requests are taken."""
        lines = []
        for line in stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        return cls("".join(lines))

    @property
    def api(self) -> str:
        return self._find(r"orders API \(\w+\) is at (http://[\d.:]+)\.")

    @property
    def cognito(self) -> str:
        return self._find(r"local Cognito at (http://[\d.:]+)\.")

    @property
    def worker(self) -> str:
        return self._find(r"the worker at (http://[\d.:]+) place an order")

    @property
    def commands(self) -> list[str]:
        return re.findall(r"^(?:TOKEN=|curl ).*", self.text, re.MULTILINE)

    def _find(self, pattern: str) -> str:
        match = re.search(pattern, self.text)
        assert match, self.text
        return match[1]


class Running(NamedTuple):
    """The example in a process of its own."""

    process: subprocess.Popen[str]
    welcome: Welcome

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, list[str]]:
        """Return the exit code after signal *number*, and what was logged."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate()
        return self.process.returncode, stderr.splitlines()


@contextmanager
def running(*arguments: str) -> Iterator[Running]:
    """Run the example as from a shell without any variables; every warning is an error."""
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "example_app", *arguments],
        cwd=ROOT,
        env={},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            yield Running(process, Welcome.read(process.stdout))
        finally:
            process.kill()


def feed_of(welcome: Welcome) -> str:
    return welcome.api.replace("http:", "ws:") + "/feed"


def reader_token(cognito: str) -> str:
    response = httpx.post(
        f"{cognito}/oauth2/token",
        auth=(READER_ID, READER_SECRET),
        data={"grant_type": "client_credentials"},
        timeout=60,
    )
    assert response.status_code == 200
    return str(response.json()["access_token"])


# In a process of its own


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("variant", [(), ("--starlette",)], ids=["fastapi", "starlette"])
def test_the_printed_requests_get_the_printed_answers(variant: tuple[str, ...]) -> None:
    with running(*FREE_PORTS, *variant) as example:
        ask_as_reader, read, read_without, write, ask_as_writer, write_too, reorder, costs = example.welcome.commands

        listed = paste(ask_as_reader, read)
        assert (listed.status, json.loads(listed.body)) == (200, [])

        stranger = paste(read_without)
        assert (stranger.status, stranger.challenge) == (401, "Bearer")
        assert json.loads(stranger.body) == {
            "error": "missing_token",
            "error_description": "A bearer access token is required.",
        }

        refused = paste(ask_as_reader, write)
        assert (refused.status, refused.challenge) == (403, LACKS_WRITE)
        assert json.loads(refused.body) == {
            "error": "insufficient_scope",
            "error_description": "The access token lacks a scope that this resource requires.",
        }

        placed = paste(ask_as_writer, write_too)
        assert placed.status == 201
        assert json.loads(placed.body) == {"item": "tea", "quantity": 1, "placed_by": WRITER_ID}

        for _ in range(2):
            placed = paste(reorder)
            assert placed.status == 201
            assert json.loads(placed.body) == {"item": "tea", "quantity": 10, "placed_by": WORKER_ID}
        status = httpx.get(costs.removeprefix("curl "), timeout=60).json()
        assert (status["bought"], status["reused"], status["spent"]) == (1, 1, 0.00225)

        malformed = paste("TOKEN='no token'", read)
        assert malformed.status == 400
        assert malformed.challenge == (
            'Bearer error="invalid_request", '
            'error_description="The Authorization header is not of the form: Bearer token."'
        )


class Answer(NamedTuple):
    """What `curl -i` shows."""

    status: int
    challenge: str | None
    body: str


def paste(*commands: str) -> Answer:
    """Run *commands* in one shell, and return the answer to the last."""
    shell = subprocess.run(
        ["/bin/sh", "-c", "\n".join(commands)], env={"PATH": os.defpath}, capture_output=True, text=True, check=True
    )
    head, _, body = shell.stdout.partition("\n\n")
    status = re.match(r"HTTP/1\.1 (\d+) ", head)
    assert status, shell
    challenge = re.search(r"^www-authenticate: (.*)$", head, re.MULTILINE | re.IGNORECASE)
    return Answer(int(status[1]), challenge and challenge[1], body)


@pytest.mark.parametrize("variant", [(), ("--starlette",)], ids=["fastapi", "starlette"])
def test_a_websocket_without_a_token_gets_a_real_401(variant: tuple[str, ...]) -> None:
    with running(*FREE_PORTS, *variant) as example:
        with pytest.raises(InvalidStatus) as refused:
            connect(feed_of(example.welcome))
        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["www-authenticate"] == "Bearer"

        token = reader_token(example.welcome.cognito)
        with connect(feed_of(example.welcome), additional_headers={"Authorization": f"Bearer {token}"}) as feed:
            assert list(feed) == []


AT_ONCE = "fetched 0 s ago"
STARTED = (
    f"INFO cognito_guard: guarding with eu-central-1_Example01 (3 clients, 2 keys, {AT_ONCE}); routes: 4 with a "
    "requirement, 5 public, 0 by default for any valid token; found: nothing"
)
REFUSED = (
    "INFO cognito_guard: GET /orders refused 401 missing_token: there is no Authorization header; send Authorization: "
    "Bearer <token>, or mark the route with guard.public; sent from 127.0.0.1"
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly(number: signal.Signals) -> None:
    """Also with a connection kept open, and with nothing on stderr but one line for each thing that happened."""
    with running(*FREE_PORTS) as example, httpx.Client(timeout=60) as client:
        assert client.get(f"{example.welcome.api}/orders").status_code == 401
        code, log = example.stop(number)

    assert code == 0
    log = [re.sub(r"127\.0\.0\.1:\d+", "CLIENT", re.sub(r"fetched [\d.]+ s ago", AT_ONCE, line)) for line in log]
    assert log == [
        'INFO uvicorn.access: CLIENT - "GET /eu-central-1_Example01/.well-known/jwks.json HTTP/1.1" 200',
        "INFO cognito_guard: keys of eu-central-1_Example01 fetched: 2, 2 new",
        STARTED,
        REFUSED,
        'INFO uvicorn.access: CLIENT - "GET /orders HTTP/1.1" 401',
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_cleanly_even_while_it_starts(number: signal.Signals) -> None:
    with running(*FREE_PORTS) as example:
        code, log = example.stop(number)

    assert code == 0
    assert [line for line in log if not line.startswith("INFO ")] == []


@pytest.mark.parametrize("option", ["--port", "--cognito-port", "--worker-port"])
def test_a_taken_port_is_one_sentence(option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(*FREE_PORTS, option, str(port)) as example:
            _, stderr = example.process.communicate()

    assert example.process.returncode == 1
    assert example.welcome.text == ""
    # What is logged before is of servers that were started ahead of this one, and have ended.
    assert stderr.endswith(
        f"example_app: cannot listen on port {port} of 127.0.0.1 (Address already in use); "
        "stop what listens there, or choose another port\n"
    )


# In this process


@pytest.fixture
def _undisturbed() -> Iterator[None]:
    """Put back what the example sets for its process."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    loggers = [logging.getLogger(name) for name in ("cognito_guard", "uvicorn.access")]
    levels = [logger.level for logger in loggers]
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


class Visit:
    """Reads on another thread what `main` prints, asks for one page, and interrupts."""

    def __init__(self, path: str) -> None:
        self._path = path
        reading, writing = os.pipe()
        self._reading, self._writing = os.fdopen(reading), os.fdopen(writing, "w")
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.welcome = Welcome.read(self._reading)
        self.response = httpx.get(self.welcome.api + self._path, timeout=60)
        signal.raise_signal(signal.SIGINT)

    def to(self, *arguments: str, environ: dict[str, str]) -> int:
        """Return the exit code of `main`."""
        self._thread.start()
        with self._reading:
            with self._writing, redirect_stdout(self._writing):
                code = main(arguments, environ)
            self._thread.join()
        return code


@pytest.mark.usefixtures("_undisturbed")
@pytest.mark.parametrize(("option", "framework"), [((), "FastAPI"), (("--starlette",), "Starlette")])
def test_the_chosen_api_is_served_until_interrupted(option: tuple[str, ...], framework: str) -> None:
    visit = Visit("/health")

    assert visit.to(*FREE_PORTS, *option, environ={}) == 0
    assert visit.response.json() == {"status": "ok"}
    assert visit.welcome.text.startswith(f"The orders API ({framework}) is at http://127.0.0.1:")
    assert f"issued by the local Cognito at {visit.welcome.cognito}." in visit.welcome.text


@pytest.mark.usefixtures("_undisturbed")
@pytest.mark.parametrize(
    ("variables", "token_url"),
    [
        ({}, "https://YOUR_DOMAIN/oauth2/token"),
        ({"COGNITO_TOKEN_URL": "https://x.example/oauth2/token"}, "https://x.example/oauth2/token"),
    ],
    ids=["domain-unknown", "domain-known"],
)
def test_with_a_real_pool_no_local_cognito_is_started(variables: dict[str, str], token_url: str) -> None:
    visit = Visit("/orders")

    assert visit.to("--port", "0", environ=UNREACHABLE | variables) == 0
    assert visit.response.status_code == 401
    assert (
        "access tokens of the user pool eu-central-1_AbCdEf123, issued by Cognito itself "
        "(COGNITO_USER_POOL_ID is set, so no local Cognito is started)" in visit.welcome.text
    )
    assert f"curl -sS -u READER_ID:READER_SECRET -d grant_type=client_credentials {token_url} |" in visit.welcome.text
    assert READER_ID not in visit.welcome.text
    assert "worker" not in visit.welcome.text


@pytest.mark.usefixtures("_undisturbed")
def test_with_a_real_pool_the_worker_is_the_client_of_the_variables() -> None:
    variables = {
        "COGNITO_CLIENT_ID": "one",
        "COGNITO_CLIENT_SECRET": "made_up",
        "COGNITO_TOKEN_URL": "https://x.example/oauth2/token",
    }
    visit = Visit("/health")

    assert visit.to("--port", "0", "--worker-port", "0", environ=UNREACHABLE | variables) == 0
    assert visit.welcome.worker.startswith("http://127.0.0.1:")


@pytest.mark.usefixtures("_undisturbed")
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"COGNITO_USER_POOL_ID": "orders"}, "'orders' is not a user pool id; expected <region>_<id>, "),
        ({"COGNITO_CLIENT_IDS": ""}, "the environment variable COGNITO_CLIENT_IDS is not set"),
        ({"COGNITO_JWKS_URL": "http://keys.example"}, "jwks_url must be an https:// URL; "),
        ({"COGNITO_CLIENT_ID": "one"}, "the environment variable COGNITO_TOKEN_URL is not set"),
    ],
    ids=["pool-id", "client-ids", "jwks-url", "worker"],
)
def test_a_bad_value_is_one_sentence(
    capsys: pytest.CaptureFixture[str], variables: dict[str, str], sentence: str
) -> None:
    assert main(["--port", "0"], REAL_POOL | variables) == 1

    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.startswith(f"example_app: {sentence}")
    assert stderr.count("\n") == 1


@pytest.mark.usefixtures("_undisturbed")
@pytest.mark.parametrize("option", ["--port", "--cognito-port", "--worker-port"])
def test_a_port_in_use_is_reported_before_anything_starts(capsys: pytest.CaptureFixture[str], option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main([*FREE_PORTS, option, str(taken.getsockname()[1])], {}) == 1

    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.endswith("choose another port\n")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("serving")]


@pytest.mark.parametrize("number", ["-1", "65536", "http"])
def test_an_invalid_port_is_a_usage_error(capsys: pytest.CaptureFixture[str], number: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--port={number}"], {})

    assert ended.value.code == 2
    assert f"argument --port: invalid port value: '{number}'" in capsys.readouterr().err


def test_it_explains_itself(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["example_app", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "example_app" / "__main__.py"), run_name="__main__")

    assert ended.value.code == 0
    explained = capsys.readouterr().out
    for option in ("--port", "--cognito-port", "--worker-port", "--starlette", "COGNITO_USER_POOL_ID"):
        assert option in explained
