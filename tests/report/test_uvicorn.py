"""Under plain `uvicorn main:app` a refusal is seen, and seen once where logging is configured."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from cognito_guard.local import LocalPool

pytestmark = pytest.mark.slow

IN_TIME = 60.0

MAIN = """
import os

from starlette.applications import Starlette

from cognito_guard import CognitoGuard, UserPool

app = Starlette()
pool = UserPool(os.environ["POOL"], client_ids={"7lhlkkfbfb4q5kpp90urffao"}, resource_servers={"orders"})
guard = CognitoGuard(pool, fetch=lambda url, timeout: os.environ["JWKS"].encode())
guard.install(app)
"""

BASIC = "import logging\n\nlogging.basicConfig(level=logging.INFO)\n"
JSON = """
import json, logging, sys

class AsJson(logging.Formatter):
    def format(self, record):
        return json.dumps({"message": record.getMessage(), "reason": getattr(record, "reason", None)})

handler = logging.StreamHandler()
handler.setFormatter(AsJson())
logging.getLogger("cognito_guard").addHandler(handler)
logging.getLogger("cognito_guard").setLevel(logging.INFO)
"""

LINE = "GET /orders refused 401 missing_token: there is no Authorization header"


@pytest.fixture
def written_by(tmp_path: Path, pool: LocalPool) -> Iterator[Callable[[str], list[str]]]:
    """Serve the app with what configures logging ahead of it, send four requests, and return the lines."""
    environ = os.environ | {"POOL": pool.pool_id, "JWKS": json.dumps(pool.jwks())}
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def written_by(configuration: str) -> list[str]:
            (tmp_path / "main.py").write_text(configuration + MAIN)
            number = listener.fileno()
            process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "main:app", "--fd", str(number)],
                cwd=tmp_path,
                env=environ,
                pass_fds=[number],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                url = f"http://127.0.0.1:{listener.getsockname()[1]}/orders"
                for _ in range(4):
                    assert httpx.get(url, timeout=IN_TIME, trust_env=False).status_code == 401
                process.send_signal(signal.SIGTERM)
                _, error = process.communicate(timeout=IN_TIME)
            finally:
                process.kill()
                process.wait()
            return [line for line in error.splitlines() if "refused 401" in line]

        yield written_by


def test_without_configuration_each_refusal_is_a_line(written_by: Callable[[str], list[str]]) -> None:
    lines = written_by("")

    assert len(lines) == 4
    assert all(line.startswith(f"INFO:     cognito_guard: {LINE}") for line in lines)


@pytest.mark.parametrize(("configuration", "starts"), [(BASIC, "INFO:cognito_guard:GET"), (JSON, '{"message": "GET')])
def test_with_configuration_each_is_a_line_of_that_alone(
    written_by: Callable[[str], list[str]], configuration: str, starts: str
) -> None:
    lines = written_by(configuration)

    assert len(lines) == 4
    assert all(line.startswith(starts) for line in lines)
