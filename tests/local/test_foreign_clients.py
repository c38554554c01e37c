"""
Clients and a verifier that nobody here wrote, on tokens of `LocalCognito` over HTTP.

What they need is installed in the cache folder, from npm and PyPI. `FOREIGN_NODE_MODULES` and `FOREIGN_PYTHON` name a
folder and a Python that have it already. Where that fails these tests are skipped, except in CI.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote_plus

import httpx
import pytest

import example_app
from cognito_guard import CognitoGuard
from cognito_guard.local import LocalClient, LocalCognito, LocalPool, PoolKeys, serving
from cognito_guard.testing import HOSTILE_TOKENS, stand_in
from example_app.api import make_api

COLLECTION = Path(example_app.__file__).parent / "orders.postman_collection.json"
NODE_PACKAGES = ["aws-jwt-verify@5.2.1", "newman@6.2.2", "openid-client@6.9.0"]
PYTHON_PACKAGES = ["authlib==1.9.9", "requests==2.34.2", "requests-oauthlib==2.0.0", "boto3==1.44.5"]
PYTHON_PACKAGES += ["moto[cognitoidp]==5.2.5"]
SECRET = "a+b_" * 8  # as Cognito may make them; form-encoded it reads a%2Bb_

pytestmark = [pytest.mark.slow, pytest.mark.timeout(5 * 60)]  # for the installation, the first time


class Running(NamedTuple):
    """The example API and its user pool, both over HTTP."""

    api: str
    cognito: str
    reader: LocalClient

    def statuses(self, token: str) -> list[int]:
        """Return the statuses of reading with *token*, and of writing with it."""
        headers = {"Authorization": f"Bearer {token}"}
        return [
            httpx.get(f"{self.api}/orders", headers=headers, timeout=60).status_code,
            httpx.post(f"{self.api}/orders", headers=headers, json={"item": "tea"}, timeout=60).status_code,
        ]


@pytest.fixture(scope="module")
def running(pool_keys: PoolKeys) -> Iterator[Running]:
    pool = LocalPool(keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
    reader = pool.add_client(name="reader", scopes=["orders/order.read"], secrets=[SECRET])
    with (
        serving(LocalCognito(pool)) as cognito,
        serving(make_api(CognitoGuard(pool.user_pool(cognito)))) as api,
    ):
        yield Running(api, cognito, reader)


# Python


PYTHON_CLIENT = """
import json, os, sys

os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # plain http, on loopback
how, token_url, api, client_id, secret = sys.argv[1:]
orders = f"{api}/orders"

def authlib(method):
    from authlib.integrations.requests_client import OAuth2Session
    session = OAuth2Session(client_id, secret, token_endpoint_auth_method=method, scope="orders/order.read")
    session.fetch_token(token_url, grant_type="client_credentials")
    return [session.get(orders).status_code, session.post(orders, json={"item": "tea"}).status_code]

def requests_oauthlib():
    from oauthlib.oauth2 import BackendApplicationClient
    from requests_oauthlib import OAuth2Session
    session = OAuth2Session(client=BackendApplicationClient(client_id, scope=["orders/order.read"]))
    session.fetch_token(token_url, client_id=client_id, client_secret=secret)
    return [session.get(orders).status_code, session.post(orders, json={"item": "tea"}).status_code]

def boto3():
    import boto3, requests
    cognito = boto3.client("cognito-idp", endpoint_url=token_url.removesuffix("/oauth2/token"),
                           region_name="eu-central-1", aws_access_key_id="any", aws_secret_access_key="any")
    answer = cognito.get_client_token(ClientId=client_id, Secret=secret, Scopes=["orders/order.read"])
    headers = {"Authorization": "Bearer " + answer["ClientAuthenticationResult"]["AccessToken"]}
    try:
        cognito.get_client_token(ClientId=client_id, Secret=secret[::-1])
    except cognito.exceptions.NotAuthorizedException:
        return [requests.get(orders, headers=headers).status_code,
                requests.post(orders, headers=headers, json={"item": "tea"}).status_code]

print(json.dumps({
    "authlib, basic": lambda: authlib("client_secret_basic"),
    "authlib, post": lambda: authlib("client_secret_post"),
    "requests-oauthlib": requests_oauthlib,
    "boto3 GetClientToken": boto3,
}[how]()))
"""


@pytest.mark.parametrize("how", ["authlib, basic", "authlib, post", "requests-oauthlib", "boto3 GetClientToken"])
def test_a_python_client_gets_a_token_and_uses_it(  # pragma: no cover - skipped where it cannot be installed
    running: Running, foreign_python: str, how: str
) -> None:
    arguments = [how, f"{running.cognito}/oauth2/token", running.api, running.reader.client_id, SECRET]

    assert json.loads(output_of([foreign_python, "-c", PYTHON_CLIENT, *arguments])) == [200, 403]


def test_a_client_like_springs_percent_encodes_what_basic_carries(running: Running) -> None:
    pair = f"{quote_plus(running.reader.client_id)}:{quote_plus(SECRET)}"
    response = httpx.post(
        f"{running.cognito}/oauth2/token",
        headers={
            "Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
            "Content-Type": "application/x-www-form-urlencoded;charset=UTF-8",
            "Accept": "application/json;charset=UTF-8",
        },
        content="grant_type=client_credentials&scope=orders%2Forder.read",
        timeout=60,
    )

    assert SECRET not in pair
    assert running.statuses(response.json()["access_token"]) == [200, 403]


# Command lines


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("how", ["basic", "post"])
def test_curl_gets_a_token_and_uses_it(running: Running, how: str) -> None:  # pragma: no cover - as its mark says
    credentials = {
        "basic": ["-u", f"{running.reader.client_id}:{SECRET}"],
        "post": ["-d", f"client_id={running.reader.client_id}", "--data-urlencode", f"client_secret={SECRET}"],
    }
    grant = ["-d", "grant_type=client_credentials", f"{running.cognito}/oauth2/token"]
    token = json.loads(output_of(["curl", "-sS", *credentials[how], *grant]))["access_token"]
    status = ["curl", "-sS", "-o", os.devnull, "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}"]

    assert output_of([*status, f"{running.api}/orders"]) == "200"
    assert output_of([*status, "--json", '{"item": "tea"}', f"{running.api}/orders"]) == "403"


def test_newman_runs_the_postman_collection(  # pragma: no cover - skipped where it cannot be installed
    running: Running, node_modules: Path
) -> None:
    variables = {"client_id": running.reader.client_id, "client_secret": SECRET}
    collection = json.loads(COLLECTION.read_text())
    own = {variable["key"] for variable in collection["variable"]}
    settings = {"api": running.api, "cognito": running.cognito} | variables
    command = [shutil.which("node") or "node", str(node_modules / "newman" / "bin" / "newman.js"), "run"]
    options = [option for name, value in settings.items() for option in ("--env-var", f"{name}={value}")]

    printed = output_of([*command, str(COLLECTION), "--color", "off", *options])

    assert settings.keys() < own
    assert all(name in printed for name in ("the token is accepted", "nobody gets in", "reading is not writing"))


# OpenID Connect

DISCOVERY = """
import * as openid from "openid-client";

const [url, id, secret] = process.argv.slice(-3);
const options = { execute: [openid.allowInsecureRequests] };
const config = await openid.discovery(new URL(url), id, secret, undefined, options);
const token = await openid.clientCredentialsGrant(config, { scope: "orders/order.read" });
console.log(token.access_token);
"""


def test_openid_client_discovers_a_pool_whose_issuer_is_its_url(  # pragma: no cover - as above
    pool_keys: PoolKeys, node_modules: Path
) -> None:
    pool = LocalPool(issuer="self", keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    client = pool.add_client(name="reader", scopes=["orders/order.read"])
    with serving(LocalCognito(pool)) as cognito:
        arguments = [f"{cognito}/{pool.pool_id}", client.client_id, client.secret]
        # Beside the modules, where `import` looks for them.
        command = ["node", "--input-type=module", "-e", DISCOVERY, *arguments]
        token = output_of(command, cwd=node_modules.parent).strip()

        principal = asyncio.run(CognitoGuard(pool.user_pool(cognito)).verify(token))

    assert principal.issuer == f"{cognito}/{pool.pool_id}"


# Another stand-in

SET_UP = """
import json, sys
import boto3
from botocore.exceptions import ClientError
from moto import mock_aws

url, pool_id = sys.argv[1:]
client = {"ClientName": "new", "GenerateSecret": True, "AllowedOAuthFlows": ["client_credentials"],
          "AllowedOAuthFlowsUserPoolClient": True, "AllowedOAuthScopes": ["stock/read"],
          "AccessTokenValidity": 10, "TokenValidityUnits": {"AccessToken": "minutes"}}

def connect(**options):
    return boto3.client("cognito-idp", region_name="eu-central-1", aws_access_key_id="any",
                        aws_secret_access_key="any", **options)

def error_of(call, **parameters):
    try:
        call(**parameters)
    except ClientError as error:
        return error.response["Error"]["Code"]

def set_up(idp, pool):
    ids = {"UserPoolId": pool}
    scopes = [{"ScopeName": "read", "ScopeDescription": "Count"}]
    server = idp.create_resource_server(**ids, Identifier="stock", Name="Stock", Scopes=scopes)
    made = idp.create_user_pool_client(**ids, **client)["UserPoolClient"]
    return {
        "server": server["ResourceServer"],
        "server, described": idp.describe_resource_server(**ids, Identifier="stock")["ResourceServer"],
        "servers": idp.list_resource_servers(**ids, MaxResults=50)["ResourceServers"],
        "client": made,
        "client, described": idp.describe_user_pool_client(**ids, ClientId=made["ClientId"])["UserPoolClient"],
        "clients": idp.list_user_pool_clients(**ids, MaxResults=60)["UserPoolClients"],
        "no such pool": error_of(idp.describe_user_pool, UserPoolId="eu-central-1_Nowhere00"),
        "no such client": error_of(idp.describe_user_pool_client, **ids, ClientId="nobody"),
        "no such server": error_of(idp.describe_resource_server, **ids, Identifier="nothing"),
        "server there": error_of(idp.create_resource_server, **ids, Identifier="stock", Name="Stock"),
    }

ours = set_up(connect(endpoint_url=url), pool_id)
with mock_aws():
    idp = connect()
    motos = set_up(idp, idp.create_user_pool(PoolName="x")["UserPool"]["Id"])
print(json.dumps([ours, motos], default=str))
"""


def test_set_up_by_the_sdk_it_describes_itself_as_moto_does(  # pragma: no cover - as above
    pool_keys: PoolKeys, foreign_python: str
) -> None:
    pool = LocalPool("eu-central-1_AbCdEf123", keys=pool_keys)
    with serving(LocalCognito(pool)) as cognito:
        ours, motos = json.loads(output_of([foreign_python, "-c", SET_UP, cognito, pool.pool_id]))

    own = {"UserPoolId", "ClientId", "ClientSecret"}  # each stand-in's own
    dates = {"CreationDate", "LastModifiedDate"}  # of Cognito, but not of moto
    for name, said in motos.items():
        expected, found = (_without(own | dates, each) for each in (said, ours[name]))
        assert found == expected, name
    assert own | dates <= set(ours["client"])


def _without(names: set[str], said: Any) -> Any:  # pragma: no cover - as above
    if isinstance(said, list):
        return [_without(names, each) for each in said]
    return {name: value for name, value in said.items() if name not in names} if isinstance(said, dict) else said


# AWS's own verifier

VERIFIER = """
const { CognitoJwtVerifier } = require("aws-jwt-verify");
const input = JSON.parse(require("fs").readFileSync(0));
const verifier = CognitoJwtVerifier.create({
  userPoolId: input.poolId, tokenUse: "access", clientId: input.clientIds,
});
verifier.cacheJwks(input.jwks);  // from now on it has no need of the network, and verifySync no way to it
const verdicts = {};
for (const [name, token] of Object.entries(input.tokens)) {
  try { verdicts[name] = verifier.verifySync(token).client_id; }
  catch (error) { verdicts[name] = error.constructor.name; }
}
console.log(JSON.stringify(verdicts));
"""

# It has no limit of length, ignores `crit`, `b64` and `typ`, and lets a token without `exp` never expire.
LET_IN_BY_AWS = {"oversized", "crit", "b64", "typ", "no_expiry"}


def test_aws_jwt_verify_accepts_what_is_good_and_refuses_what_is_hostile(  # pragma: no cover - as above
    guard: CognitoGuard, node_modules: Path
) -> None:
    with stand_in(guard) as standing_in:
        pool, client_id = standing_in.cognito.pool, standing_in.cognito.pool.clients[0].client_id
        good = {
            "machine": standing_in.token("orders/order.read"),
            "user": standing_in.token(username="jane", groups=["admins"]),
            "minted": pool.mint("orders/order.read", "orders/order.write"),
        }
        given = {
            "poolId": pool.pool_id,
            "clientIds": [client_id],
            "jwks": pool.jwks(),
            "tokens": good | {name: standing_in.hostile[name].token for name in HOSTILE_TOKENS},
        }
        verdicts: dict[str, Any] = json.loads(
            output_of(["node", "-e", VERIFIER], NODE_PATH=str(node_modules), given=json.dumps(given))
        )

    accepted = {name for name, verdict in verdicts.items() if verdict == client_id}
    assert accepted == good.keys() | LET_IN_BY_AWS
    assert verdicts["expired"] == "JwtExpiredError"
    assert verdicts["id_token"] == "CognitoJwtInvalidTokenUseError"
    assert verdicts["tampered"] == "JwtInvalidSignatureError"


# What they are installed with


def output_of(
    command: list[str], *, given: str | None = None, cwd: Path | None = None, **environ: str
) -> str:  # pragma: no cover
    """Return what *command* prints, if it ends well."""
    path = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        command, env=path | environ, cwd=cwd, input=given, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cache(name: str) -> Path:  # pragma: no cover - not used where folders are named
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cognito-guard" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def install(*commands: list[str]) -> None:  # pragma: no cover - where it has not been done before
    try:
        for command in commands:
            subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = f"{commands[-1]} failed: {error} {getattr(error, 'stderr', '')}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def node_modules() -> Path:  # pragma: no cover - as above
    named = os.environ.get("FOREIGN_NODE_MODULES")
    if named:
        return Path(named)
    folder = cache("-".join(NODE_PACKAGES))
    if not (folder / "complete").exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is not installed")
        install(
            [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PACKAGES]
        )
        (folder / "complete").touch()
    return folder / "node_modules"


@pytest.fixture(scope="session")
def foreign_python() -> str:  # pragma: no cover - as above
    named = os.environ.get("FOREIGN_PYTHON")
    if named:
        return named
    folder = cache(f"{'-'.join(PYTHON_PACKAGES)}-{sys.implementation.cache_tag}")
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        install(
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(python), "-m", "pip", "install", "--quiet", "--retries=1", *PYTHON_PACKAGES],
        )
        (folder / "complete").touch()
    return str(python)
