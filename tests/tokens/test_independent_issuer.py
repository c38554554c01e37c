"""
Tokens that nobody here made: of ministack, an emulator of AWS by other people, set up with AWS's own boto3.

ministack lives in an environment of its own, since it pins packages. `MINISTACK_PYTHON` names a Python that has it;
without that, one is made in the cache folder. Where that fails these tests are skipped, except in CI.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

import example_app
from cognito_guard.client import ClientCredentials, TokenRequestError

pytestmark = pytest.mark.slow

ROOT = Path(example_app.__file__).parent.parent
MINISTACK = "ministack==1.5.33"
REGION = "eu-west-1"

# Runs beside ministack: makes a user pool the way a client-credentials set-up goes, and prints what came of it.
SET_UP = """
import json, sys, boto3

cognito = boto3.client("cognito-idp", endpoint_url=sys.argv[1], region_name=sys.argv[2],
                       aws_access_key_id="any", aws_secret_access_key="any")
pool = cognito.create_user_pool(PoolName="orders")["UserPool"]["Id"]
cognito.create_user_pool_domain(UserPoolId=pool, Domain="orders")
scopes = {"order.read": "Read orders", "order.write": "Place orders"}
cognito.create_resource_server(
    UserPoolId=pool, Identifier="orders", Name="orders",
    Scopes=[{"ScopeName": name, "ScopeDescription": text} for name, text in scopes.items()])

def client(name, *scopes):
    made = cognito.create_user_pool_client(
        UserPoolId=pool, ClientName=name, GenerateSecret=True, AllowedOAuthFlowsUserPoolClient=True,
        AllowedOAuthFlows=["client_credentials"], AllowedOAuthScopes=list(scopes))["UserPoolClient"]
    return made["ClientId"], made["ClientSecret"]

print(json.dumps({
    "pool_id": pool,
    "reader": client("reader", "orders/order.read"),
    "writer": client("writer", "orders/order.read", "orders/order.write"),
    "stranger": client("stranger", "orders/order.read", "orders/order.write")}))
"""


class Issuer(NamedTuple):
    """A user pool of ministack, and id and secret of its app clients."""

    url: str
    pool_id: str
    reader: list[str]
    writer: list[str]
    stranger: list[str]


Headers = dict[str, str]
TokenOf = Callable[[list[str]], Headers]


# One class, so that one line leaves out of the coverage what does not run everywhere.
@pytest.mark.timeout(5 * 60)  # ministack may have to be installed first, which takes 20 seconds on a good line
class TestTokensOfMinistack:  # pragma: no cover - skipped where ministack cannot be installed
    """The example app, told of a user pool of ministack by environment variables."""

    def test_are_accepted(self, api: httpx.Client, issuer: Issuer, token_of: TokenOf) -> None:
        for client in (issuer.reader, issuer.writer):
            assert api.get("/orders", headers=token_of(client)).status_code == 200

    def test_grant_what_their_scopes_say(self, api: httpx.Client, issuer: Issuer, token_of: TokenOf) -> None:
        placed = api.post("/orders", json={"item": "tea"}, headers=token_of(issuer.writer))
        refused = api.post("/orders", json={"item": "tea"}, headers=token_of(issuer.reader))

        assert (placed.status_code, placed.json()["placed_by"]) == (201, issuer.writer[0])
        assert refused.status_code == 403
        assert refused.headers["www-authenticate"].endswith(', scope="orders/order.write"')

    def test_say_who_calls(self, api: httpx.Client, issuer: Issuer, token_of: TokenOf) -> None:
        me = api.get("/me", headers=token_of(issuer.reader)).json()

        assert me == {"client_id": issuer.reader[0], "scopes": ["orders/order.read"]}

    def test_are_refused_to_a_client_that_is_not_ours(
        self, api: httpx.Client, issuer: Issuer, token_of: TokenOf
    ) -> None:
        response = api.get("/orders", headers=token_of(issuer.stranger))

        assert response.status_code == 401
        assert "The claim client_id" in response.headers["www-authenticate"]

    def test_are_refused_with_the_claims_of_another(self, api: httpx.Client, issuer: Issuer, token_of: TokenOf) -> None:
        head, _, signature = token_of(issuer.reader)["Authorization"].split(".")
        _, claims, _ = token_of(issuer.writer)["Authorization"].split(".")
        response = api.get("/orders", headers={"Authorization": f"{head}.{claims}.{signature}"})

        assert response.status_code == 401
        assert "The signature" in response.headers["www-authenticate"]

    def test_are_required(self, api: httpx.Client) -> None:
        response = api.get("/orders")

        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")

    def test_are_bought_once_by_the_calling_half(self, api: httpx.Client, issuer: Issuer) -> None:
        client_id, secret = issuer.reader
        auth = ClientCredentials(
            f"{issuer.url}/oauth2/token", client_id=client_id, client_secret=[secret[::-1], secret]
        )

        assert [api.get("/orders", auth=auth).status_code for _ in range(3)] == [200] * 3
        assert (auth.status().bought, auth.status().reused) == (1, 2)

    def test_are_not_given_for_a_wrong_secret(self, issuer: Issuer) -> None:
        auth = ClientCredentials(f"{issuer.url}/oauth2/token", client_id=issuer.reader[0], client_secret="wrong")

        with pytest.raises(TokenRequestError, match="invalid_client"):
            auth.token_sync()

    @pytest.fixture(scope="class")
    @staticmethod
    def api(issuer: Issuer) -> Iterator[httpx.Client]:
        variables = {
            "COGNITO_USER_POOL_ID": issuer.pool_id,
            "COGNITO_CLIENT_IDS": f"{issuer.reader[0]},{issuer.writer[0]}",
            "COGNITO_JWKS_URL": f"{issuer.url}/{issuer.pool_id}/.well-known/jwks.json",
        }
        command = [sys.executable, "-m", "example_app", "--port", "0"]
        with _started(command, variables, ready="Ctrl-C") as printed:
            url = re.search(r"is at (http://127\.0\.0\.1:\d+)\.", printed)
            assert url, printed
            with httpx.Client(base_url=url[1], timeout=60) as client:
                yield client

    @pytest.fixture(scope="class")
    @staticmethod
    def token_of(issuer: Issuer) -> TokenOf:
        def token_of(client: list[str]) -> Headers:
            grant = {"grant_type": "client_credentials"}
            response = httpx.post(f"{issuer.url}/oauth2/token", auth=httpx.BasicAuth(*client), data=grant, timeout=60)
            assert response.status_code == 200, response.text
            return {"Authorization": f"Bearer {response.json()['access_token']}"}

        return token_of

    @pytest.fixture(scope="class")
    @staticmethod
    def issuer(python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        settings = {
            # Without these it listens on all interfaces, and on further ports.
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": "127.0.0.1",
            "SERVICES": "cognito-idp,cloudformation,sts,iam",
            "DOCKER_HOST": "unix:///nonexistent.sock",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "MINISTACK_REGION": REGION,
            "STATE_DIR": str(tmp_path_factory.mktemp("ministack")),
        }
        with _started([python, "-m", "ministack"], settings, ready="Running on"):
            set_up = subprocess.run(
                [python, "-c", SET_UP, url, REGION], env={}, stdout=subprocess.PIPE, text=True, check=True
            )
            yield Issuer(url, **json.loads(set_up.stdout))

    @pytest.fixture(scope="class")
    @staticmethod
    def python() -> str:
        return os.environ.get("MINISTACK_PYTHON") or _python_with_ministack()


def _python_with_ministack() -> str:  # pragma: no cover - as much of it as this machine needs
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "cognito-guard" / f"{MINISTACK}-{sys.implementation.cache_tag}"
    python = folder / "bin" / "python"
    imports = [str(python), "-c", "import boto3, cryptography, ministack.app"]
    if python.exists() and subprocess.run(imports, capture_output=True, check=False).returncode == 0:
        return str(python)
    packages = [MINISTACK, "boto3", "cryptography"]
    try:
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--retries=1", *packages],
            imports,
        ):
            subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"ministack cannot be installed: {error} {getattr(error, 'stderr', '')}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return str(python)


@contextmanager
def _started(  # pragma: no cover - as the tests
    command: list[str], environ: dict[str, str], *, ready: str
) -> Iterator[str]:
    """Start *command*, give what it prints up to the line that says *ready*, and end it with the block."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            printed = ""
            assert process.stdout
            for line in process.stdout:
                printed += line
                if ready in line:
                    break
            assert ready in printed, printed
            yield printed
        finally:
            process.terminate()
            process.communicate()
