"""What is too old to be guarded is refused by a sentence."""

import sys
from collections.abc import Callable
from types import ModuleType

import pytest
from starlette.applications import Starlette

from cognito_guard import CognitoGuard
from cognito_guard.errors import ConfigurationError


@pytest.fixture
def install_beside(guard: CognitoGuard, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install the guard on an app of Starlette's while a FastAPI of some version is loaded."""

    def install_beside(version: str) -> None:
        fastapi = ModuleType("fastapi")
        fastapi.__dict__["__version__"] = version
        monkeypatch.setitem(sys.modules, "fastapi", fastapi)
        guard.install(Starlette())

    return install_beside


@pytest.mark.parametrize("version", ["0.136.2", "0.115.0", "0.9", "0.136.2.post1"])
def test_an_older_fastapi_is_refused(install_beside: Callable[[str], None], version: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^FastAPI {version} cannot be guarded; install fastapi>=0\.136\.3$"):
        install_beside(version)


@pytest.mark.parametrize("version", ["0.136.3", "0.136.10", "0.137.0", "1.0", ""])
def test_the_oldest_fastapi_and_later_ones_are_guarded(install_beside: Callable[[str], None], version: str) -> None:
    install_beside(version)


def test_a_guard_is_no_decorator(guard: CognitoGuard) -> None:
    with pytest.raises(ConfigurationError, match="neither a decorator nor a dependency"):
        guard(lambda: None)
