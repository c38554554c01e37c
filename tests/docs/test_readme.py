"""Every block of the README does what it shows."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from cognito_guard import CognitoGuard
from cognito_guard.local import LocalCognito
from example_app import api, starlette_api
from example_app.pool import make_pool

pytestmark = pytest.mark.anyio

README = (Path(__file__).parent.parent.parent / "README.md").read_text()
APPS = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "guard.install(app)" in block]
EXCHANGES = re.findall(r"^\$ (curl -i .*)\n(HTTP/1\.1 .*(?:\n.+)*)\n\n(.*)\n```", README, re.MULTILINE)

Call = Callable[..., Awaitable[httpx.Response]]


@pytest.mark.parametrize("block", APPS)
async def test_the_examples_guard_what_they_say(block: str, call: Call) -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec", dont_inherit=True), names)  # noqa: S102

    assert (await call(names["app"], "GET", "/health")).status_code == 200
    assert (await call(names["app"], "GET", "/orders")).status_code == 401


def test_the_routes_are_listed_as_shown(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APPS[0])
    command = [sys.executable, "-m", "cognito_guard", "routes", "main:app"]

    listed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    assert f"$ cognito-guard routes main:app\n{listed.stdout}```" in README


@pytest.mark.parametrize("make_api", [api.make_api, starlette_api.make_api])
async def test_the_requests_are_answered_as_shown(make_api: Callable[[CognitoGuard], ASGIApp]) -> None:
    local = LocalCognito(make_pool())
    pool = local.pools[0]
    guard = CognitoGuard(pool.user_pool(), fetch=lambda url, timeout: json.dumps(pool.jwks()).encode())
    reader = next(client for client in pool.clients if client.client_id == "example0reader000000000000")
    assert reader.secret == "example_secret_of_the_reader"
    token = pool.mint(client_id=reader.client_id)
    transport = httpx.ASGITransport(make_api(guard))

    assert len(EXCHANGES) == 5
    for command, head, body in EXCHANGES:
        _, *arguments = shlex.split(command.replace("${TOKEN}", token).replace("$TOKEN", token))
        headers = [arguments[i + 1].split(": ", 1) for i, each in enumerate(arguments) if each == "-H"]
        data = next((arguments[i + 1] for i, each in enumerate(arguments) if each == "-d"), None)
        async with httpx.AsyncClient(transport=transport) as client:
            answer = await client.request(
                "GET" if data is None else "POST",
                arguments[-1],
                headers=[(name, value) for name, value in headers],
                content=data,
            )
        status, *shown = head.splitlines()
        assert status == f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}"
        assert [f"www-authenticate: {value}" for value in answer.headers.get_list("www-authenticate")] == shown
        assert answer.text == body
