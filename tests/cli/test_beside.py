"""`cognito-guard local -- command`: variables, signals and exit code of the program beside it, and the env file."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cognito_guard import UserPool
from cognito_guard._cli.main import main
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalPool, PoolKeys
from cognito_guard.local._beside import run_beside
from cognito_guard.local._environment import environment_with, variables_of, write_env_file
from cognito_guard.local._signals import ending_signals

pytestmark = pytest.mark.slow

POOL = ["--pool", "eu-west-1_AbCdEf123", "--client", "reader=orders/order.read"]

# Writes what it gets into a named pipe, and ends with the number of Ctrl-C as exit code.
CHILD = """
import os, signal, sys

pipe = os.open(sys.argv[1], os.O_WRONLY)
interrupts = []

def say(word):
    os.write(pipe, f"{word}\\n".encode())  # print() may not be called again in a handler

def interrupt(*_):
    interrupts.append(1)
    say("interrupted")

signal.signal(signal.SIGINT, interrupt)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(len(interrupts)))
say("ready")
while True:
    signal.pause()
"""


def run(*argv: str) -> int:
    return main(["local", "--port", "0", *POOL, *argv])


def python(script: str) -> list[str]:
    return ["--", sys.executable, "-c", script]


def test_the_program_has_the_variables_and_its_exit_code_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COGNITO_ISSUER", "https://another.example/pool")
    told = tmp_path / "told.json"
    script = f"""
import json, os, urllib.request
keys = urllib.request.urlopen(os.environ["COGNITO_JWKS_URL"]).read()
json.dump([dict(os.environ), json.loads(keys)], open({str(told)!r}, "w"))
raise SystemExit(7)
"""

    assert run(*python(script)) == 7

    environ, keys = json.loads(told.read_text())
    pool = UserPool.from_env(environ)
    assert pool.pool_id == "eu-west-1_AbCdEf123"
    assert "https://another.example/pool" not in pool.issuers
    assert len(keys["keys"]) == 2
    assert environ["PATH"] == os.environ["PATH"]


def test_the_announcement_names_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    run("--", sys.executable, "-c", "pass")

    assert capsys.readouterr().out.endswith(f"Running beside it: {sys.executable} -c pass\n")


def test_the_exit_code_of_a_program_ended_by_a_signal_is_that_of_shells() -> None:
    assert run(*python("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")) == 128 + signal.SIGKILL


def test_options_of_the_program_are_not_read_as_ours(tmp_path: Path) -> None:
    told = tmp_path / "told"
    script = f"import sys; open({str(told)!r}, 'w').write(' '.join(sys.argv[1:]))"

    assert run(*python(script), "--port", "1", "--", "-x") == 0
    assert told.read_text() == "--port 1 -- -x"


def test_a_missing_program_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--", "/no/such/program") == 3
    assert "/no/such/program cannot be started: No such file or directory" in capsys.readouterr().err


# Signals


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


class Listener:
    """Reads on another thread what the program says, and sends signals to this process meanwhile."""

    def __init__(self, pipe: Path, *steps: str | int) -> None:
        self._pipe = pipe
        self._steps = steps
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with self._pipe.open() as told:
            for step in self._steps:
                if isinstance(step, str):
                    assert told.readline() == f"{step}\n"
                else:
                    os.kill(os.getpid(), step)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


def test_signals_are_forwarded_and_the_program_decides_when_it_ends(pipe: Path) -> None:
    with Listener(pipe, "ready", signal.SIGINT, "interrupted", signal.SIGINT, "interrupted", signal.SIGTERM):
        assert run(*python(CHILD), str(pipe)) == 2


def test_ctrl_c_is_not_forwarded_where_a_terminal_sends_it_to_both(pipe: Path) -> None:
    command = [sys.executable, "-c", CHILD, str(pipe)]

    with Listener(pipe, "ready", signal.SIGINT, signal.SIGTERM), ending_signals() as signals:
        assert run_beside(command, os.environ, signals, has_terminal=lambda: True) == 0


def test_a_signal_from_before_the_program_is_forwarded_too(pipe: Path) -> None:
    command = [sys.executable, "-c", "import signal; signal.pause()"]

    with ending_signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        assert run_beside(command, os.environ, signals) == 128 + signal.SIGTERM


def test_other_signals_are_not_ours() -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with ending_signals() as signals:
            signal.raise_signal(signal.SIGUSR1)
            signals.wake()
            assert list(signals) == []
    finally:
        signal.signal(signal.SIGUSR1, before)


# What a terminal is to a command: it gives Ctrl-C to all that run in it.
IN_A_TERMINAL = """
import fcntl, os, sys, termios

fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_ctrl_c_in_a_terminal_reaches_the_program_once(pipe: Path) -> None:
    controller, terminal = os.openpty()
    command = ["-m", "cognito_guard", "local", "--port", "0", *POOL, *python(CHILD), str(pipe)]
    with subprocess.Popen(
        [sys.executable, "-c", IN_A_TERMINAL, *command],
        stdin=terminal,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        with pipe.open() as told:
            assert told.readline() == "ready\n"
            os.write(controller, b"\x03")
            assert told.readline() == "interrupted\n"
            process.send_signal(signal.SIGTERM)
        code = process.wait()
    os.close(controller)
    os.close(terminal)

    assert code == 1


# The env file


@pytest.fixture
def local_pool(pool_keys: PoolKeys) -> LocalPool:
    pool = LocalPool("eu-west-1_AbCdEf123", keys=pool_keys)
    pool.add_client(client_id="one", scopes=[], allowed_flows=[])
    pool.add_client(client_id="two", scopes=[], allowed_flows=[])
    return pool


def values_in(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def test_a_new_env_file_is_for_its_owner_and_sets_up_a_guard(tmp_path: Path) -> None:
    path = tmp_path / ".env"

    assert run("--env-file", str(path), "--", sys.executable, "-c", "pass") == 0

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert UserPool.from_env(values_in(path)).pool_id == "eu-west-1_AbCdEf123"
    assert [each.name for each in tmp_path.iterdir()] == [".env"]


def test_an_env_file_keeps_everything_that_is_not_ours(tmp_path: Path, local_pool: LocalPool) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# settings\nDEBUG=1\nCOGNITO_ISSUER=https://old.example\nexport COGNITO_CLIENT_IDS=old\n\nCOGNITO_AUDIENCE=x"
    )
    path.chmod(0o640)

    write_env_file(path, variables_of(local_pool, "http://127.0.0.1:9229"))

    assert path.read_text().splitlines() == [
        "# settings",
        "DEBUG=1",
        "",
        "COGNITO_AUDIENCE=x",
        "COGNITO_USER_POOL_ID=eu-west-1_AbCdEf123",
        "COGNITO_CLIENT_IDS=one,two",
        "COGNITO_JWKS_URL=http://127.0.0.1:9229/eu-west-1_AbCdEf123/.well-known/jwks.json",
        "COGNITO_TOKEN_URL=http://127.0.0.1:9229/oauth2/token",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_an_env_file_that_is_a_link_stays_one(tmp_path: Path, local_pool: LocalPool) -> None:
    real, link = tmp_path / "real.env", tmp_path / ".env"
    link.symlink_to(real)

    write_env_file(link, variables_of(local_pool, "http://127.0.0.1:9229"))

    assert link.is_symlink()
    assert values_in(real)["COGNITO_CLIENT_IDS"] == "one,two"


@pytest.mark.parametrize("content", [None, b"\xff"], ids=["a directory", "no text"])
def test_an_env_file_that_cannot_be_written_is_reported_and_not_changed(
    tmp_path: Path, local_pool: LocalPool, content: bytes | None
) -> None:
    path = tmp_path / "there"
    path.mkdir() if content is None else path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=r"the env file .*there cannot be written"):
        write_env_file(path, variables_of(local_pool, "http://127.0.0.1:9229"))

    assert content is None or path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


def test_a_draft_that_cannot_take_its_place_is_removed(tmp_path: Path, local_pool: LocalPool) -> None:
    """As where the directory is another file system's mount point, or was removed meanwhile."""
    path = tmp_path / "no" / ".env"

    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_env_file(path, variables_of(local_pool, "http://127.0.0.1:9229"))


@pytest.mark.parametrize(
    ("url", "insecure"),
    [("http://127.0.0.1:9229", None), ("http://[::1]:9229", None), ("http://192.168.1.5:9229", "1")],
)
def test_plain_http_over_a_network_needs_its_switch(local_pool: LocalPool, url: str, insecure: str | None) -> None:
    assert variables_of(local_pool, url).get("COGNITO_ALLOW_INSECURE_HTTP") == insecure


def test_variables_of_another_pool_are_left_out() -> None:
    environ = environment_with({"COGNITO_CLIENT_IDS": "a"}, {"COGNITO_TOKEN_URL": "https://x", "HOME": "/"})

    assert environ == {"COGNITO_CLIENT_IDS": "a", "HOME": "/"}


# The issuer that is the server's own URL


def test_with_issuer_here_the_document_is_found_where_its_issuer_says(tmp_path: Path) -> None:
    told = tmp_path / "told.json"
    script = f"""
import json, os, urllib.request
issuer = os.environ["COGNITO_ISSUER"]
document = urllib.request.urlopen(issuer + "/.well-known/openid-configuration").read()
json.dump([issuer, json.loads(document)], open({str(told)!r}, "w"))
"""

    assert run("--issuer-here", *python(script)) == 0

    issuer, document = json.loads(told.read_text())
    assert document["issuer"] == issuer
    assert document["jwks_uri"] == f"{issuer}/.well-known/jwks.json"


def test_saved_state_keeps_that_the_issuer_is_here(tmp_path: Path) -> None:
    told, state = tmp_path / "told", ["--state", str(tmp_path / "state.json")]
    script = f"import os; open({str(told)!r}, 'w').write(os.environ['COGNITO_ISSUER'])"
    run("--issuer-here", *state, *python("pass"))

    assert main(["local", "--port", "0", *state, *python(script)]) == 0
    assert told.read_text().startswith("http://127.0.0.1:")
