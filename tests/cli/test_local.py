"""`cognito-guard local`: from the first line it prints to its exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse

from cognito_guard import UserPool
from cognito_guard._cli.main import main
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalCognito, LocalPool, PoolKeys
from cognito_guard.local._serving import listen, serving

pytestmark = pytest.mark.slow

LOUDLY = "NOT FOR PRODUCTION"


class Announcement(StringIO):
    """Catches what is printed, and says when it is all there."""

    def __init__(self) -> None:
        super().__init__()
        self.complete = threading.Event()

    def flush(self) -> None:
        self.complete.set()


def printed_by(*argv: str, meanwhile: Callable[[str], object] = len, number: int = signal.SIGTERM) -> str:
    """Run the command in this process, and end it by a signal after *meanwhile* was given what it had printed."""
    announcement = Announcement()

    def visit() -> None:
        assert announcement.complete.wait(120)
        try:
            meanwhile(announcement.getvalue())
        finally:
            os.kill(os.getpid(), number)

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with ThreadPoolExecutor() as pool:
        visitor = pool.submit(visit)
        with redirect_stdout(announcement):
            assert main(["local", "--port", "0", *argv]) == 0
        visitor.result()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
    return announcement.getvalue()


def exported(printed: str) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(\S+)$", printed, re.MULTILINE))


def keys_at(printed: str) -> object:
    return httpx.get(exported(printed)["COGNITO_JWKS_URL"], timeout=60).json()


def test_it_says_loudly_that_it_is_not_for_production() -> None:
    assert LOUDLY in printed_by().splitlines()[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(number: int) -> None:
    printed_by(number=number)


def test_the_variables_it_prints_set_up_a_guard() -> None:
    def use(printed: str) -> None:
        pool = UserPool.from_env(exported(printed))
        assert pool.pool_id == "eu-west-1_AbCdEf123"
        assert len(httpx.get(pool.jwks_urls[0], timeout=60).json()["keys"]) == 2

    printed_by("--pool", "eu-west-1_AbCdEf123", meanwhile=use)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_it_prints_get_tokens() -> None:
    def paste(printed: str) -> None:
        for line in re.findall(r"^curl .*$", printed, re.MULTILINE):
            done = subprocess.run(shlex.split(line), capture_output=True, check=True)
            assert json.loads(done.stdout)["token_type"] == "Bearer"

    printed = printed_by(
        "--client", "reader=orders/order.read", "--client", "writer=orders/order.read,stock/write", meanwhile=paste
    )
    assert "A token for the client reader (orders/order.read):" in printed
    assert "A token for the client writer (orders/order.read stock/write):" in printed


def test_there_is_a_console_page_unless_switched_off() -> None:
    def console(printed: str) -> int:
        return httpx.get(exported(printed)["COGNITO_TOKEN_URL"].removesuffix("oauth2/token"), timeout=60).status_code

    def is_there(printed: str) -> None:
        assert console(printed) == 200

    def is_not_there(printed: str) -> None:
        assert console(printed) == 405

    assert "Console page" in printed_by(meanwhile=is_there)
    assert "Console page" not in printed_by("--no-console", meanwhile=is_not_there)


def test_a_file_describes_the_pools(tmp_path: Path) -> None:
    config = tmp_path / "cognito.toml"
    config.write_text(
        """
        [[pools]]
        id = "eu-west-1_AbCdEf123"
        issuer = "https://login.example/pool"
        resource_servers.orders = { "order.read" = "Read orders" }

        [[pools.clients]]
        name = "app"
        scopes = ["openid"]
        secrets = []
        allowed_flows = ["code"]
        """
    )

    printed = printed_by("--config", str(config))

    assert exported(printed)["COGNITO_ISSUER"] == "https://login.example/pool"
    assert "curl" not in printed


@pytest.mark.parametrize(
    "flag", [["--pool", "eu-west-1_AbCdEf123"], ["--client", "reader=orders/order.read"], ["--issuer-here"]]
)
def test_a_file_and_flags_cannot_both_describe_the_pools(
    flag: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["local", "--config", str(tmp_path / "cognito.toml"), *flag]) == 2
    assert "leave out --pool, --client and --issuer-here" in capsys.readouterr().err


def test_clients_secrets_and_keys_survive_a_restart(tmp_path: Path) -> None:
    state = ["--state", str(tmp_path / "state.json")]
    keys: list[object] = []

    def note(printed: str) -> None:
        keys.append(keys_at(printed))

    first = printed_by(*state, "--client", "reader=orders/order.read", meanwhile=note)
    again = printed_by(*state, meanwhile=note)
    more = printed_by(*state, "--client", "writer=orders/order.write", meanwhile=note)

    def credentials(printed: str) -> list[str]:
        return re.findall(r"-u '(\S+)'", printed)

    assert keys[0] == keys[1] == keys[2]
    assert credentials(first) == credentials(again)
    assert credentials(more)[1:] == credentials(first)


def test_what_is_changed_at_the_console_is_saved_at_once(tmp_path: Path) -> None:
    path = tmp_path / "state.json"

    def rotate(printed: str) -> None:
        here = exported(printed)["COGNITO_TOKEN_URL"].removesuffix("/oauth2/token")
        asked = {"pool": "eu-central-1_LocalPool0", "action": "rotate"}
        before = json.loads(path.read_text())["pools"][0]["published"]
        response = httpx.post(f"{here}/console/keys", json=asked, headers={"X-Cognito-Guard": "test"}, timeout=60)
        assert response.status_code == 200
        assert json.loads(path.read_text())["pools"][0]["published"][:2] == before

    printed_by("--state", str(path), meanwhile=rotate)
    assert len(json.loads(path.read_text())["pools"][0]["published"]) == 4


def test_a_taken_port_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        assert main(["local", "--port", str(taken.getsockname()[1])]) == 3

    assert "choose another port with --port" in capsys.readouterr().err


def test_listening_for_other_machines_gets_a_warning_and_a_url_that_works(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Of all addresses of the machine, which only the loopback one is called by.
    printed = printed_by("--host", "0.0.0.0")  # noqa: S104 - what is warned of

    assert "WARNING: listening on 0.0.0.0." in capsys.readouterr().err
    assert "Local Cognito at http://127.0.0.1:" in printed


def test_without_uvicorn_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['uvicorn'] = None; "
        "from cognito_guard._cli.main import main; main(['local', '--port=0'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert (
        done.stderr == "cognito-guard: uvicorn is not installed; install it with pip install 'cognito-guard[local]'\n"
    )
    assert done.stdout == ""


@pytest.mark.parametrize("number", ["-1", "65536", "http"])
def test_an_invalid_port_is_a_usage_error(capsys: pytest.CaptureFixture[str], number: str) -> None:
    assert main(["local", f"--port={number}"]) == 2
    assert f"argument --port: invalid port value: '{number}'" in capsys.readouterr().err


# Serving


@contextmanager
def served(pool_keys: PoolKeys, host: str = "127.0.0.1") -> Iterator[str]:
    with serving(LocalCognito(LocalPool(keys=pool_keys)), host=host) as url:
        yield url


def test_a_pool_is_served_only_during_the_block(pool_keys: PoolKeys) -> None:
    with served(pool_keys) as url:
        assert httpx.get(url, timeout=60).status_code == 200

    with pytest.raises(httpx.ConnectError):
        httpx.get(url, timeout=60)


def test_any_other_app_is_served_too() -> None:
    with serving(PlainTextResponse("hello")) as url:
        assert httpx.get(url, timeout=60).text == "hello"


def test_a_host_without_an_address_is_reported() -> None:
    with pytest.raises(ConfigurationError, match=r"cannot listen on port 0 of no\.such\.host\.invalid \("):
        listen("no.such.host.invalid", 0)


def test_it_can_be_served_at_an_ipv6_address(pool_keys: PoolKeys) -> None:
    with served(pool_keys, host="::1") as url:
        assert re.fullmatch(r"http://\[::1\]:\d+", url)
        assert httpx.get(url, timeout=60).status_code == 200


def test_serving_without_uvicorn_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)

    assert main(["local", "--port", "0"]) == 3
    assert "pip install 'cognito-guard[local]'" in capsys.readouterr().err


def test_a_state_that_cannot_be_written_ends_the_command_before_it_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["local", "--port", "0", "--state", str(tmp_path / "no" / "state.json")]) == 3
    assert "cannot be written" in capsys.readouterr().err
