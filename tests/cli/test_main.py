"""The command `cognito-guard`, for all subcommands."""

from __future__ import annotations

import runpy
import subprocess
import sys
from importlib.metadata import version

import pytest

from cognito_guard._cli.main import main


def test_help_lists_the_subcommands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "local" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argv", [[], ["no-such-command"], ["--no-such-option"], ["local", "--port", "66000"], ["local", "--port", "http"]]
)
def test_a_wrong_command_line_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "usage: cognito-guard" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"), [("route", "routes"), ("scope", "scopes"), ("locla", "local"), ("nothing-like-it", None)]
)
def test_for_a_misspelt_command_the_right_one_is_named(
    typed: str, meant: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([typed]) == 2

    error = capsys.readouterr().err
    assert f"there is no command '{typed}'" in error
    assert ("did you mean" in error) == (meant is not None)
    assert meant is None or f"did you mean '{meant}'?" in error


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_printed(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out == f"cognito-guard {version('cognito-guard')}\n"


def test_wrong_settings_exit_with_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["local", "--pool", "not a pool id"]) == 2

    error = capsys.readouterr().err
    assert error.startswith("cognito-guard: 'not a pool id' is not a user pool id")
    assert error.count("\n") == 1


def test_the_package_can_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cognito-guard", "--help"])
    # runpy warns about a module that another test has imported.
    monkeypatch.delitem(sys.modules, "cognito_guard.__main__", raising=False)

    with pytest.raises(SystemExit) as left:
        runpy.run_module("cognito_guard", run_name="__main__")

    assert left.value.code == 0


def test_importing_what_is_run_runs_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "cognito_guard.__main__", raising=False)

    runpy.run_module("cognito_guard.__main__")

    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_running_it_imports_no_server() -> None:
    script = (
        "import sys, cognito_guard._cli.main as c; c.main(['--help']); print(sys.modules.keys() & {'uvicorn', 'httpx'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.splitlines()[-1] == "set()"
