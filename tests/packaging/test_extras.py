"""Each extra installs in a fresh environment, and is enough for its purpose."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

import example_app

pytestmark = pytest.mark.slow

ROOT = Path(example_app.__file__).parent.parent
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]

GUARDED = """
import asyncio
import json
import sys

from cognito_guard import CognitoGuard
from cognito_guard.local import LocalPool

pool = LocalPool("eu-central-1_AbCdEf123")
pool.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
client = pool.add_client(scopes=["orders/order.read"])
guard = CognitoGuard(pool.user_pool(), fetch=lambda url, timeout: json.dumps(pool.jwks()).encode())


def status_of(app, token=None):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
    scope = {"type": "http", "method": "GET", "path": "/orders", "headers": headers, "query_string": b"",
             "root_path": "", "http_version": "1.1", "scheme": "http"}
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"]


def check(app):
    assert status_of(app) == 401
    assert status_of(app, pool.mint(client_id=client.client_id)) == 200
    assert status_of(app, pool.mint("orders/order.write")) == 403
"""

STARLETTE = """
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route


@guard.require("orders/order.read")
async def orders(request):
    return PlainTextResponse(request.user.client_id)


app = Starlette(routes=[Route("/orders", orders)])
guard.install(app)
check(app)
assert not sys.modules.keys() & {"fastapi", "pytest", "uvicorn"}
"""

FASTAPI = """
from fastapi import FastAPI

app = FastAPI()
guard.install(app)


@app.get("/orders")
@guard.require("orders/order.read")
async def orders() -> str:
    return "inside"


check(app)
assert app.openapi()["paths"]["/orders"]["get"]["security"]
"""

LOCAL = """
from urllib.request import urlopen

from cognito_guard.local import LocalCognito, serving

with serving(LocalCognito(pool)) as url:
    with urlopen(f"{url}/{pool.pool_id}/.well-known/jwks.json", timeout=60) as answer:
        assert json.load(answer)["keys"]
"""

REDIS = """
from redis.exceptions import ConnectionError as NoRedisError

from cognito_guard.client import ClientCredentials, RedisStore

# Nothing listens at port 1; a call of the store would say so, and making one does not.
store = RedisStore("redis://127.0.0.1:1/0")
ClientCredentials("https://orders.example/oauth2/token", client_id="one", client_secret="secret", store=store)
try:
    store.get("key")
except NoRedisError:
    pass
else:
    raise AssertionError
"""

TESTS = """
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from cognito_guard import CognitoGuard, UserPool

pytest_plugins = ["cognito_guard.testing"]


@pytest.fixture
def guard():
    return CognitoGuard(UserPool("eu-central-1_AbCdEf123", client_ids={"7lhlkkfbfb4q5kpp90urffao"}))


def test_orders(guard, auth_headers):
    @guard.require("orders/order.read")
    async def orders(request):
        return PlainTextResponse("inside")

    app = Starlette(routes=[Route("/orders", orders)])
    guard.install(app)
    client = TestClient(app)
    assert client.get("/orders").status_code == 401
    assert client.get("/orders", headers=auth_headers("other/scope")).status_code == 403
    assert client.get("/orders", headers=auth_headers("orders/order.read")).status_code == 200
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is published, where it can be built: that takes pip, the source and an index."""
    if find_spec("pip") is None:  # pragma: no cover - as in environments that uv makes
        pytest.skip("pip is not installed in this environment")
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run([*PIP, "wheel", "-q", "--no-deps", "-w", folder, ROOT], capture_output=True, check=False)
    if built.returncode:  # pragma: no cover - without an index
        pytest.skip("the wheel cannot be built here: " + built.stderr.decode().strip().splitlines()[-1])
    return next(folder.glob("*.whl"))


def installed(wheel: Path, extra: str, folder: Path) -> str:
    """Return the Python of a fresh environment that has the package with one extra, and nothing else."""
    venv.create(folder / "venv", with_pip=False)
    python = str(folder / "venv" / "bin" / "python")
    target = f"{wheel}[{extra}]" if extra else str(wheel)
    subprocess.run([*PIP, "--python", python, "install", "-q", target], check=True)
    return python


@pytest.mark.parametrize(
    ("extra", "script"),
    [
        pytest.param("", GUARDED + STARLETTE, id="none"),
        pytest.param("fastapi", GUARDED + FASTAPI, id="fastapi"),
        pytest.param("local", GUARDED + LOCAL, id="local"),
        pytest.param("redis", REDIS, id="redis"),
    ],
)
def test_an_extra_is_enough_for_its_purpose(wheel: Path, tmp_path: Path, extra: str, script: str) -> None:
    python = installed(wheel, extra, tmp_path)

    subprocess.run([python, "-W", "error", "-c", script], cwd=tmp_path, check=True)


def test_the_extra_testing_is_enough_for_tests(wheel: Path, tmp_path: Path) -> None:
    python = installed(wheel, "testing", tmp_path)
    (tmp_path / "test_orders.py").write_text(TESTS)

    subprocess.run([python, "-m", "pytest", "-q", "-W", "error", "test_orders.py"], cwd=tmp_path, check=True)


def test_the_extra_demo_is_enough_for_the_example(wheel: Path, tmp_path: Path) -> None:
    python = installed(wheel, "demo", tmp_path)
    shutil.copytree(ROOT / "example_app", tmp_path / "example_app")
    command = [python, "-m", "example_app", "--port", "0", "--cognito-port", "0"]

    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout
            printed = next(line for line in running.stdout if "orders API" in line)
        finally:
            running.terminate()

    assert re.search(r"http://127\.0\.0\.1:\d+", printed)
