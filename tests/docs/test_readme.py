"""Every block of the README does what it shows, word for word. Only the ports differ."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
APP, TEST = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^\$ ((?:.*\\\n)*.*)$", README, re.MULTILINE)
ANSWERS = re.findall(r"^\$ (curl -i .*)\n(HTTP/1\.1 .*(?:\n.+)*)\n\n(.*)$", README, re.MULTILINE)

BASH = shutil.which("bash") or "bash"
(POOL,) = re.findall(r"`(UserPool\(.*\))`", README)
FROM_ENV = "UserPool.from_env()"


def environment() -> dict[str, str]:
    """The variables of this process, without those of a pool, and with the scripts of this Python in reach."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COGNITO_")}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", "")])
    return kept | {"PATH": path, "PYTHONUNBUFFERED": "1"}


@pytest.mark.slow
@pytest.mark.parametrize("app", [APP, APP.replace(FROM_ENV, POOL)], ids=["as pasted", "pool in the code"])
def test_the_first_test_passes_as_pasted(app: str, tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(app)
    (tmp_path / "test_main.py").write_text(TEST)
    assert POOL in app or FROM_ENV in app
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:cov"]

    run = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=120
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


@dataclass(frozen=True)
class Ports:
    """Free ports, instead of those in the README."""

    api: int
    cognito: int

    def put_into(self, text: str) -> str:
        return text.replace(":8000", f":{self.api}").replace(":9229", f":{self.cognito}")


def port_in(output: IO[str], announced: str) -> int:
    """Read *output* up to the line that announces a server, and return its port."""
    line = next(line for line in output if announced in line)
    return int(line.partition(announced)[2].partition(":")[2].split()[0])


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    """The app of the README, started by the command of the README."""
    (tmp_path / "main.py").write_text(APP)
    (start,) = (command for command in COMMANDS if " -- uvicorn" in command)
    beside, served = start.split(" -- ")
    command = [*shlex.split(beside), "--port=0", "--", *shlex.split(served), "--port=0"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            cognito = port_in(process.stdout, "Local Cognito at http://127.0.0.1")
            yield Ports(api=port_in(process.stdout, "Uvicorn running on http://127.0.0.1"), cognito=cognito)
        finally:
            process.terminate()


@pytest.mark.slow
def test_the_requests_are_answered_as_shown(ports: Ports) -> None:
    (get_token,) = (command for command in COMMANDS if command.startswith("TOKEN="))
    assert [head.splitlines()[0] for _, head, _ in ANSWERS] == [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 401 Unauthorized",
        "HTTP/1.1 403 Forbidden",
    ]
    for command, head, body in ANSWERS:
        pasted = ports.put_into(f"{get_token}\n{command}")
        answer = subprocess.run([BASH, "-c", pasted], capture_output=True, text=True, check=True, timeout=60).stdout
        shown, _, content = answer.replace("\r\n", "\n").partition("\n\n")
        lines = [line for line in shown.splitlines() if line.startswith(("HTTP/", "www-authenticate"))]
        assert lines == head.splitlines()
        assert content == body


def test_figures_of_other_packages_are_those_that_were_measured() -> None:
    results = (ROOT / "benchmarks" / "RESULTS.md").read_text().partition("## One token, other packages")[2]
    measured = {
        name: float(ratio) for name, ratio in re.findall(r"^\| ([^|]+?) \| [^|]+ \| ([\d.]+) x", results, re.MULTILINE)
    }
    (new, seen) = re.findall(r"takes ([\d.]+) x for a new token, and ([\d.]+) x ", README)[0]
    rows = dict(re.findall(r"^\| (.+?) \| ([\d.]+) x \|", README, re.MULTILINE))
    shown = {
        "cognito_guard, token never seen": new,
        "cognito_guard, token seen before": seen,
        "PyJWT, PyJWKClient": rows["60 lines with PyJWT's `PyJWKClient`"],
        "fastapi-cognito": rows["fastapi-cognito"],
        "Powertools, JWTVerifier": rows["Powertools' `JWTVerifier`"],
    }

    for name, figure in shown.items():
        # They differ from run to run; a figure that is further off is out of date.
        assert float(figure) == pytest.approx(measured[name], rel=0.3), name
