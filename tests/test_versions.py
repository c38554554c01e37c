"""What is too old to be guarded is refused by a sentence."""

import subprocess
import sys

import pytest

from cognito_guard import CognitoGuard
from cognito_guard.errors import ConfigurationError

SCRIPT = """
import sys, types
fastapi = sys.modules["fastapi"] = types.ModuleType("fastapi")
fastapi.__version__ = sys.argv[1]
from starlette.applications import Starlette
from cognito_guard import ANY_CLIENT, CognitoGuard, UserPool
from cognito_guard.errors import ConfigurationError
try:
    CognitoGuard(UserPool("eu-central-1_AbCdEf123", client_ids=ANY_CLIENT)).install(Starlette())
except ConfigurationError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("version", "refused"), [("0.136.2", True), ("0.115.0", True), ("0.136.3", False)])
def test_an_older_fastapi_is_refused(version: str, refused: bool) -> None:
    command = [sys.executable, "-c", SCRIPT, version]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    assert said == (f"FastAPI {version} cannot be guarded; install fastapi>=0.136.3\n" if refused else "")


def test_a_guard_is_no_decorator(guard: CognitoGuard) -> None:
    with pytest.raises(ConfigurationError, match="neither a decorator nor a dependency"):
        guard(lambda: None)
