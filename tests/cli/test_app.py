"""The app that a command line names is found, or one line says why not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cognito_guard._cli.main import main

MODULE = """
import os
from fastapi import APIRouter, FastAPI
from cognito_guard import ANY_CLIENT, CognitoGuard, UserPool

guard = CognitoGuard(UserPool("eu-central-1_AbCdEf123", client_ids=ANY_CLIENT))
app = FastAPI(openapi_url=None)
guard.install(app)
router = APIRouter()
settings = {"app": app}
number = 5


class Namespace:
    app = app


def create_app():
    return app


def create_for(stage):
    return app


def create_nothing():
    return None


def create_badly():
    return os.environ["NO_SUCH_VARIABLE_HERE"]


async def raw(scope, receive, send): ...
"""

BROKEN = {
    "missing": "import something_that_is_not_installed",
    "relative": "from . import nothing",
    "leaving": "raise SystemExit(5)",
    "silent": "raise RuntimeError",
    "unset": "import os\nos.environ['NO_SUCH_VARIABLE_HERE']",
    "wrong": "from cognito_guard import UserPool\nUserPool('orders', client_ids={'a'})",
    "syntax": "def f(:",
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run the command `routes` in a folder with modules, and return exit code, output and error."""
    package = tmp_path / "package_of_run"
    package.mkdir()
    for name, text in {"shop_of_run": MODULE, **{f"{name}_of_run": text for name, text in BROKEN.items()}}.items():
        (tmp_path / f"{name}.py").write_text(text)
    (package / "inner_of_run.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["routes", *arguments])
        output, error = capsys.readouterr()
        return code, output, error

    yield run
    for name in [name for name in sys.modules if name.partition(".")[0].endswith("_of_run")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "arguments",
    [
        ["shop_of_run:app"],
        ["shop_of_run:Namespace.app"],
        ["shop_of_run:create_app"],
        ["shop_of_run:create_app", "--factory"],
        ["shop_of_run:raw"],
        ["inner_of_run:app", "--app-dir", "package_of_run"],
        ["package_of_run.inner_of_run:app"],
    ],
)
def test_an_app_is_found(run: Run, arguments: list[str]) -> None:
    code, output, error = run(*arguments)

    assert (code, error) == (0, "")
    assert output.startswith("METHOD")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["shop_of_run"], "'shop_of_run' does not name an app; expected module:app, such as main:app"),
        ([":app"], "does not name an app"),
        (["shop_of_run:"], "does not name an app"),
        (["shop_of_run.py"], "'shop_of_run.py' is a path; write the module: shop_of_run:app"),
        (["./package_of_run/inner_of_run.py:make"], "write the module: package_of_run.inner_of_run:make"),
        (["package_of_run\\inner_of_run:app"], "write the module: package_of_run.inner_of_run:app"),
        (["no_such_module_here:app"], "there is no module 'no_such_module_here' to import from"),
        (["inner_of_run:app"], "--app-dir names another folder"),
        (["shop_of_run:app", "--app-dir", "nowhere"], "--app-dir: there is no folder 'nowhere'"),
        (["shop_of_run:nothing"], "the module 'shop_of_run' has no 'nothing'"),
        (["shop_of_run:ap"], "has no 'ap'; is it 'app'?"),
        (["shop_of_run:Namespace.nothing"], "has no 'Namespace.nothing'"),
        (["shop_of_run:create_app()"], "write shop_of_run:create_app --factory instead"),
        (["shop_of_run:create_for"], "cannot be called without arguments"),
        (["shop_of_run:app", "--factory"], "cannot be called without arguments"),
        (["shop_of_run:create_nothing"], "shop_of_run:create_nothing() is not an ASGI app but 'NoneType'"),
        (["shop_of_run:number"], "shop_of_run:number is not an ASGI app but 'int'"),
        (["shop_of_run:settings"], "shop_of_run:settings is not an ASGI app but 'dict'"),
        (["shop_of_run:guard"], "is a guard; name the app that it is installed on"),
        (["shop_of_run:router"], "is a router; name the app that includes it"),
        (["shop_of_run:Namespace"], "is a class; name an app made from it"),
        (["shop_of_run:app", "--scopes", "scopes.txt"], "--scopes: there is no file 'scopes.txt'"),
        (["shop_of_run:app", "--scopes", "./scopes"], "--scopes: there is no file './scopes'"),
    ],
)
def test_a_wrong_command_line_exits_with_2_and_says_what_to_write(
    run: Run, arguments: list[str], sentence: str
) -> None:
    code, output, error = run(*arguments)

    assert (code, output) == (2, "")
    assert error.startswith("cognito-guard: ")
    assert sentence in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentences"),
    [
        (
            ["missing_of_run:app"],
            ["missing_of_run.py:1 (import something_that_is_not_installed)", "Install something_"],
        ),
        (["relative_of_run:app"], ["ImportError", "Name the module with its package"]),
        (["leaving_of_run:app"], ["SystemExit: 5", "below if __name__ == '__main__'"]),
        (["silent_of_run:app"], ["silent_of_run.py:1 (raise RuntimeError): RuntimeError: no message"]),
        (
            ["unset_of_run:app"],
            ["unset_of_run.py:2", "KeyError: 'NO_SUCH_VARIABLE_HERE'", "set it for this command too"],
        ),
        (["wrong_of_run:app"], ["wrong_of_run.py:2", "'orders' is not a user pool id"]),
        (["syntax_of_run:app"], ["SyntaxError"]),
        (["shop_of_run:create_badly", "--factory"], ["shop_of_run:create_badly() fails at", "KeyError"]),
    ],
)
def test_an_app_that_cannot_be_made_exits_with_3_without_traceback(
    run: Run, arguments: list[str], sentences: list[str]
) -> None:
    code, output, error = run(*arguments)

    assert (code, output) == (3, "")
    assert [sentence for sentence in sentences if sentence not in error] == []
    assert "Traceback" not in error


def test_a_list_of_scopes_is_not_read_as_a_file(run: Run) -> None:
    assert run("shop_of_run:app", "--scopes", "orders/order.read")[0] == 0


def test_the_folder_comes_first(run: Run) -> None:
    """Not a module of the same name that is installed."""
    run("shop_of_run:app")

    assert sys.path[0] == os.path.realpath(".")
