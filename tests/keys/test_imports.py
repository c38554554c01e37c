"""Nothing is imported during a fetch: a child that is forked while a thread imports a module can never import it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("nothing_in_the_environment")

SCRIPT = """
import socket, sys
from cognito_guard._keys.fetch import built_in

def on_this_machine(_, port, **hints):
    return socket.getaddrinfo("127.0.0.1", port, **hints)

url = sys.argv[1]
fetch = built_in([url])
before = set(sys.modules)
print(fetch(url, 60, resolve=on_this_machine), sorted(set(sys.modules) - before))
"""


def test_the_first_fetch_of_a_process_imports_nothing(
    tls_server: Any, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = f"https://cognito.example:{tls_server.port}/"

    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, url], capture_output=True, text=True, check=False, timeout=120
    )

    assert (finished.stdout, finished.stderr) == ("b'{\"keys\": []}' []\n", "")
