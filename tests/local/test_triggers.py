"""Claims that a trigger adds: fixed ones of a client, and those of a pre-token-generation handler."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from cognito_guard import CognitoGuard
from cognito_guard.errors import ConfigurationError
from cognito_guard.local import LocalCognito, LocalPool, PoolKeys
from cognito_guard.local._setup import read_setup

pytestmark = pytest.mark.anyio

SECRET = "reader_secret_" * 3
CREDENTIALS = {"client_id": "reader", "client_secret": SECRET}
Handler = Callable[[dict[str, Any], Any], Any]


def answering(**access: Any) -> Handler:
    """Return a handler that wants these changes of an access token."""

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        event["response"]["claimsAndScopeOverrideDetails"] = {"accessTokenGeneration": access}
        return event

    return handler


def of_metadata(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Add the tenant that the request names."""
    tenant = event["request"]["clientMetadata"]["tenant"]
    return answering(claimsToAddOrOverride={"tenant": tenant})(event, context)  # type: ignore[no-any-return]


@pytest.fixture
def make_pool(pool_keys: PoolKeys) -> Callable[..., LocalPool]:
    def make(handler: Handler | None = None, **settings: Any) -> LocalPool:
        pool = LocalPool(keys=pool_keys, pre_token_generation=handler)
        pool.add_resource_server("orders", {"order.read": "Read", "order.write": "Write"})
        settings = {"scopes": ["orders/order.read", "orders/order.write"]} | settings
        pool.add_client(client_id="reader", secrets=[SECRET], **settings)
        return pool

    return make


@pytest.fixture
def call() -> Callable[..., Any]:
    """Ask the token endpoint, or GetClientToken, for a token."""

    async def call(pool: LocalPool, endpoint: str, metadata: dict[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(LocalCognito(pool))
        async with httpx.AsyncClient(transport=transport, base_url="http://cognito") as http:
            if endpoint == "/oauth2/token":
                form = CREDENTIALS | {"grant_type": "client_credentials", "aws_client_metadata": json.dumps(metadata)}
                return await http.post(endpoint, data=form)
            headers = {"X-Amz-Target": "AWSCognitoIdentityProviderService.GetClientToken"}
            asked = {"ClientId": "reader", "Secret": SECRET, "ClientMetadata": metadata}
            return await http.post("/", headers=headers, json=asked)

    return call


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def claims_in(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    return claims_of(body.get("access_token") or body["ClientAuthenticationResult"]["AccessToken"])


BOTH = pytest.mark.parametrize("endpoint", ["/oauth2/token", "GetClientToken"])


# Claims of a client


@BOTH
async def test_the_claims_of_a_client_are_in_each_of_its_machine_tokens(
    make_pool: Callable[..., LocalPool], call: Callable[..., Any], endpoint: str
) -> None:
    pool = make_pool(claims={"tenant": "acme", "limits": {"orders": [1, 2]}})

    for claims in (claims_in(await call(pool, endpoint, {})), claims_of(pool.mint())):
        assert (claims["tenant"], claims["limits"]) == ("acme", {"orders": [1, 2]})
    assert claims_of(pool.mint(tenant="other"))["tenant"] == "other"
    assert "tenant" not in claims_of(pool.mint_user("alice"))
    assert "tenant" not in claims_of(pool.mint(client_id="stranger"))


@pytest.mark.parametrize(
    ("claims", "complaint"),
    [
        ({"sub": "x"}, "the claim 'sub' is set by Cognito"),
        ({"scope": "orders/order.read"}, "the claim 'scope' is set by Cognito"),
        ({"cognito:username": "x"}, "the claim 'cognito:username' is set by Cognito"),
        ({"tenant": {1, 2}}, "JSON values only"),
        ({"tenant": float("nan")}, "JSON values only"),
        ({1: "x"}, "must map names"),
        ("tenant", "must map names"),
    ],
)
async def test_claims_that_no_trigger_can_add_are_refused(
    make_pool: Callable[..., LocalPool], claims: Any, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        make_pool(claims=claims)


async def test_groups_may_be_added_as_a_trigger_may(make_pool: Callable[..., LocalPool]) -> None:
    pool = make_pool(claims={"cognito:groups": ["machines"]})

    assert claims_of(pool.mint())["cognito:groups"] == ["machines"]


async def test_claims_of_a_client_cannot_be_changed_from_outside(make_pool: Callable[..., LocalPool]) -> None:
    claims = {"tenant": "acme"}
    pool = make_pool(claims=claims)

    claims["tenant"] = "other"

    assert claims_of(pool.mint())["tenant"] == "acme"
    with pytest.raises(TypeError):
        pool.clients[0].claims["tenant"] = "other"  # type: ignore[index]


# A handler


@BOTH
async def test_a_handler_sees_client_scopes_and_metadata_as_lambda_tells_it(
    make_pool: Callable[..., LocalPool], call: Callable[..., Any], endpoint: str
) -> None:
    calls: list[tuple[dict[str, Any], Any]] = []

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        calls.append((json.loads(json.dumps(event)), context))
        return event

    await call(make_pool(handler, scopes=["orders/order.read"]), endpoint, {"tenant": "acme"})

    ((event, context),) = calls
    assert event == {
        "version": "3",
        "triggerSource": "TokenGeneration_ClientCredentials",
        "region": "eu-central-1",
        "userPoolId": "eu-central-1_LocalPool0",
        "userName": "ClientCredentials",
        "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "reader"},
        "request": {
            "userAttributes": {},
            "groupConfiguration": {"groupsToOverride": [], "iamRolesToOverride": [], "preferredRole": None},
            "scopes": ["orders/order.read"],
            "clientMetadata": {"tenant": "acme"},
        },
        "response": {"claimsAndScopeOverrideDetails": None},
    }
    assert context.aws_request_id
    assert context.get_remaining_time_in_millis() == 5000


@BOTH
async def test_a_handler_adds_claims_and_changes_scopes(
    make_pool: Callable[..., LocalPool], call: Callable[..., Any], endpoint: str
) -> None:
    handler = answering(
        claimsToAddOrOverride={"tenant": "of the handler", "plan": "gold"},
        claimsToSuppress=["region"],
        scopesToAdd=["stock/read"],
        scopesToSuppress=["orders/order.write"],
    )
    pool = make_pool(handler, claims={"tenant": "of the client", "region": "eu"})

    claims = claims_in(await call(pool, endpoint, {}))

    assert (claims["tenant"], claims["plan"]) == ("of the handler", "gold")
    assert "region" not in claims
    assert set(claims["scope"].split()) == {"orders/order.read", "stock/read"}


async def test_a_minted_token_is_what_the_handler_makes_of_it_and_then_changed(
    make_pool: Callable[..., LocalPool],
) -> None:
    pool = make_pool(answering(claimsToAddOrOverride={"tenant": "acme", "plan": "gold"}))

    claims = claims_of(pool.mint("orders/order.read", plan=None))

    assert (claims["tenant"], claims["scope"]) == ("acme", "orders/order.read")
    assert "plan" not in claims


@pytest.mark.parametrize(
    "answer", [None, {}, {"response": None}, {"response": {"claimsAndScopeOverrideDetails": None}}]
)
async def test_a_handler_may_change_nothing(make_pool: Callable[..., LocalPool], answer: Any) -> None:
    assert claims_of(make_pool(lambda _event, _context: answer).mint())["scope"]


@BOTH
@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        pytest.param(of_metadata, "raised KeyError('tenant')", id="raises"),
        pytest.param(lambda _event, _context: 7, "the event must be an object", id="no object"),
        pytest.param(
            answering(claimsToAddOrOverride=[]), "claimsToAddOrOverride must be an object", id="claims a list"
        ),
        pytest.param(answering(claimsToAddOrOverride={"sub": "x"}), "'sub' is set by Cognito", id="a claim of Cognito"),
        pytest.param(answering(claimsToSuppress=["exp"]), "'exp' is set by Cognito", id="suppresses one of Cognito"),
        pytest.param(answering(scopesToAdd="a/b"), "scopesToAdd must be a list of strings", id="scopes a string"),
        pytest.param(answering(scopesToAdd=["a b"]), "scopesToAdd must be a list of strings", id="a blank in a scope"),
    ],
)
async def test_a_handler_that_fails_refuses_the_token_and_says_why(
    make_pool: Callable[..., LocalPool],
    call: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
    endpoint: str,
    handler: Handler,
    reason: str,
) -> None:
    response = await call(make_pool(handler), endpoint, {})

    assert response.status_code == 400
    assert reason in caplog.text
    if endpoint == "/oauth2/token":
        assert response.json()["error"] == "invalid_request"
    else:
        assert response.json()["__type"] == "UserLambdaValidationException"


async def test_minting_with_a_handler_that_fails_says_why(make_pool: Callable[..., LocalPool]) -> None:
    with pytest.raises(ConfigurationError, match=r"raised KeyError\('tenant'\)"):
        make_pool(of_metadata).mint()


async def test_the_console_says_why_a_handler_fails(make_pool: Callable[..., LocalPool]) -> None:
    transport = httpx.ASGITransport(LocalCognito(make_pool(of_metadata)))
    asked = {"pool": "eu-central-1_LocalPool0", "kind": "machine", "client_id": "reader"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:9229") as http:
        response = await http.post("/console/token", headers={"X-Cognito-Guard": "test"}, json=asked)

    assert response.status_code == 400
    assert "raised KeyError('tenant')" in response.json()["error"]


async def test_metadata_reaches_a_guarded_api_as_a_claim(
    make_pool: Callable[..., LocalPool], call: Callable[..., Any]
) -> None:
    pool = make_pool(of_metadata)
    token = (await call(pool, "/oauth2/token", {"tenant": "acme"})).json()["access_token"]

    principal = await CognitoGuard(pool.user_pool()).verify(token)

    assert principal.claims["tenant"] == "acme"


# From TOML

TRIGGER = """
def handler(event, context):
    changes = {"claimsToAddOrOverride": {"client": event["callerContext"]["clientId"]}}
    event["response"]["claimsAndScopeOverrideDetails"] = {"accessTokenGeneration": changes}
    return event

not_callable = 7
"""
POOL = """
[[pools]]
pre_token_generation = {handler}
resource_servers.orders = {{ "order.read" = "Read orders" }}

[[pools.clients]]
name = "reader"
scopes = ["orders/order.read"]
claims = {{ tenant = "acme" }}
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Return the name of a module in the directory that the command is run in."""
    name = f"trigger_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(TRIGGER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [path for path in __import__("sys").path if path])
    return name


async def test_a_file_names_handler_and_claims(tmp_path: Path, module: str) -> None:
    """It is found in the directory that the command is run in, again and again."""
    config = tmp_path / "cognito.toml"
    config.write_text(POOL.format(handler=json.dumps(f"{module}:handler")))

    pool = [read_setup(config).pools[0].make() for _ in range(2)][-1]

    claims = claims_of(pool.mint())
    assert (claims["client"], claims["tenant"]) == (pool.clients[0].client_id, "acme")


@pytest.mark.parametrize("handler", ["7", '"{module}"', '"{module}:nothing"', '"{module}:not_callable"', '"no_such:x"'])
async def test_an_invalid_handler_is_refused_by_name(tmp_path: Path, module: str, handler: str) -> None:
    config = tmp_path / "cognito.toml"
    config.write_text(POOL.format(handler=handler.format(module=module)))

    with pytest.raises(ConfigurationError, match="pre_token_generation must name a function"):
        read_setup(config)


async def test_claims_in_a_file_are_held_to_the_same_rules(tmp_path: Path, module: str) -> None:
    config = tmp_path / "cognito.toml"
    text = POOL.format(handler=json.dumps(f"{module}:handler"))
    config.write_text(text.replace('tenant = "acme"', "since = 2026-01-01"))

    with pytest.raises(ConfigurationError, match=r"cognito\.toml: claims must hold JSON values only"):
        read_setup(config)
