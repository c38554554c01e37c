"""A pool described and set up with the AWS SDK. The answers must fit the SDK's service model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
import httpx
import jwt
import pytest
from botocore.client import Config  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from botocore.session import get_session  # type: ignore[import-untyped]
from botocore.validate import ParamValidator  # type: ignore[import-untyped]

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys, serving
from cognito_guard.local._operations import CHANGING, READING

pytestmark = pytest.mark.slow

POOL_ID = "eu-central-1_AbCdEf123"
SECRET = "reader_secret_" * 3
MODEL = get_session().get_service_model("cognito-idp")


@pytest.fixture(scope="module")
def served(pool_keys: PoolKeys) -> Iterator[tuple[LocalCognito, str]]:
    """One server for all tests here; each adds a pool's worth of its own and leaves it."""
    local = LocalCognito(LocalPool(POOL_ID, keys=pool_keys, pre_token_generation=lambda event, _context: event))
    with serving(local) as url:
        yield local, url


@pytest.fixture
def local(served: tuple[LocalCognito, str]) -> LocalCognito:
    local, _ = served
    for client in local.pool.clients:
        local.pool.delete_client(client.client_id)
    for server in local.pool.resource_servers:
        local.pool.delete_resource_server(server.identifier)
    local.pool.add_resource_server("orders", {"order.read": "Read", "order.write": "Write"}, name="Orders")
    local.pool.add_client(name="reader", client_id="reader", scopes=["orders/order.read"], secrets=[SECRET])
    return local


@pytest.fixture
def sdk(served: tuple[LocalCognito, str], local: LocalCognito) -> Iterator[Any]:
    client = boto3.client(
        "cognito-idp",
        endpoint_url=served[1],
        region_name="eu-central-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def machine(**changes: Any) -> dict[str, Any]:
    """Return the settings of a client for machines, with *changes*. What is None is left out."""
    settings = {
        "UserPoolId": POOL_ID,
        "ClientName": "new",
        "GenerateSecret": True,
        "AllowedOAuthFlows": ["client_credentials"],
        "AllowedOAuthFlowsUserPoolClient": True,
        "AllowedOAuthScopes": ["orders/order.read"],
    }
    return {name: value for name, value in (settings | changes).items() if value is not None}


def kind_of(caught: pytest.ExceptionInfo[Any]) -> str:
    return str(caught.value.response["Error"]["Code"])


# Set-up, as code for the real pool does it


def test_a_client_set_up_by_the_sdk_gets_tokens(
    sdk: Any, local: LocalCognito, served: tuple[LocalCognito, str]
) -> None:
    scopes = [{"ScopeName": "read", "ScopeDescription": "Count"}]
    sdk.create_resource_server(UserPoolId=POOL_ID, Identifier="https://api.example/stock", Name="Stock", Scopes=scopes)
    scope = "https://api.example/stock/read"
    made = sdk.create_user_pool_client(
        **machine(AllowedOAuthScopes=[scope], AccessTokenValidity=10, TokenValidityUnits={"AccessToken": "minutes"})
    )["UserPoolClient"]

    answer = httpx.post(
        f"{served[1]}/oauth2/token",
        auth=(made["ClientId"], made["ClientSecret"]),
        data={"grant_type": "client_credentials"},
        timeout=60,
    ).json()

    claims = jwt.decode(answer["access_token"], options={"verify_signature": False})
    assert (claims["client_id"], claims["scope"], answer["expires_in"]) == (made["ClientId"], scope, 600)
    assert local.pool.resource_servers[-1].name == "Stock"


def test_the_largest_resource_server_fits(sdk: Any, local: LocalCognito) -> None:
    scopes = [{"ScopeName": f"{number:0256}", "ScopeDescription": "d" * 256} for number in range(100)]

    sdk.create_resource_server(UserPoolId=POOL_ID, Identifier="i" * 256, Name="n" * 256, Scopes=scopes)

    assert len(local.pool.resource_servers[-1].scopes) == 100


def test_a_client_is_described_as_it_was_made(sdk: Any) -> None:
    given = machine(
        AccessTokenValidity=1,
        IdTokenValidity=2,
        TokenValidityUnits={"AccessToken": "hours", "IdToken": "days", "RefreshToken": "days"},
        ExplicitAuthFlows=["ALLOW_REFRESH_TOKEN_AUTH", "ALLOW_USER_SRP_AUTH"],
        CallbackURLs=["https://app.example.com"],
        SupportedIdentityProviders=["COGNITO"],
        PreventUserExistenceErrors="ENABLED",
        EnableTokenRevocation=False,
    )
    made = sdk.create_user_pool_client(**given)["UserPoolClient"]

    described = sdk.describe_user_pool_client(UserPoolId=POOL_ID, ClientId=made["ClientId"])["UserPoolClient"]

    assert described == made
    assert {name: described.get(name) for name in given if name != "GenerateSecret"} == {
        name: value for name, value in given.items() if name != "GenerateSecret"
    }


def test_a_client_that_was_added_in_python_is_described_too(sdk: Any, local: LocalCognito) -> None:
    described = sdk.describe_user_pool_client(UserPoolId=POOL_ID, ClientId="reader")["UserPoolClient"]

    assert (described["ClientName"], described["ClientSecret"]) == ("reader", SECRET)
    assert described["AllowedOAuthScopes"] == ["orders/order.read"]
    assert described["AllowedOAuthFlows"] == ["client_credentials"]
    assert described["AllowedOAuthFlowsUserPoolClient"] is True
    assert (described["AccessTokenValidity"], described["TokenValidityUnits"]) == (3600, {"AccessToken": "seconds"})
    assert described["ExplicitAuthFlows"] == ["ALLOW_CLIENT_TOKEN_AUTH"]
    assert described["CreationDate"].timestamp() == pytest.approx(local.pool.clients[0].created_at, abs=1)


def test_a_chosen_secret_is_kept(sdk: Any) -> None:
    made = sdk.create_user_pool_client(**machine(GenerateSecret=None, ClientSecret="s" * 24))["UserPoolClient"]

    assert made["ClientSecret"] == "s" * 24


def test_a_public_client_has_no_secret(sdk: Any) -> None:
    settings = machine(GenerateSecret=None, AllowedOAuthFlows=["code"], AllowedOAuthScopes=["openid"])
    made = sdk.create_user_pool_client(**settings)["UserPoolClient"]

    assert "ClientSecret" not in made
    assert made["AllowedOAuthFlows"] == ["code"]


def test_without_the_flag_the_flows_are_stored_and_do_not_work(
    sdk: Any, local: LocalCognito, served: tuple[LocalCognito, str]
) -> None:
    made = sdk.create_user_pool_client(**machine(AllowedOAuthFlowsUserPoolClient=None))["UserPoolClient"]

    answer = httpx.post(
        f"{served[1]}/oauth2/token",
        auth=(made["ClientId"], made["ClientSecret"]),
        data={"grant_type": "client_credentials"},
        timeout=60,
    )

    assert made["AllowedOAuthFlows"] == ["client_credentials"]
    assert answer.json() == {"error": "invalid_grant"}
    assert "AllowedOAuthFlowsUserPoolClient is false" in str(local.requests[-1].reason)


def test_get_client_token_needs_its_flow(sdk: Any) -> None:
    made = [
        sdk.create_user_pool_client(**machine(ExplicitAuthFlows=flows))["UserPoolClient"]
        for flows in (["ALLOW_CLIENT_TOKEN_AUTH"], ["ALLOW_USER_SRP_AUTH"])
    ]
    ids = [{"ClientId": each["ClientId"], "Secret": each["ClientSecret"]} for each in made]

    assert sdk.get_client_token(**ids[0])["ClientAuthenticationResult"]["TokenType"] == "Bearer"
    with pytest.raises(ClientError) as caught:
        sdk.get_client_token(**ids[1])
    assert kind_of(caught) == "InvalidParameterException"


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        pytest.param({"UserPoolId": "eu-central-1_Nowhere00"}, "ResourceNotFoundException", id="no such pool"),
        pytest.param({"UserPoolId": "nowhere"}, "InvalidParameterException", id="no pool id"),
        pytest.param({"ClientName": "a/b"}, "InvalidParameterException", id="a name with a slash"),
        pytest.param({"AllowedOAuthScopes": ["orders/none"]}, "ScopeDoesNotExistException", id="an unknown scope"),
        pytest.param({"AllowedOAuthScopes": ["openid"]}, "InvalidOAuthFlowException", id="a scope for users"),
        pytest.param({"AllowedOAuthScopes": None}, "InvalidParameterException", id="no scopes"),
        pytest.param({"GenerateSecret": None}, "InvalidOAuthFlowException", id="no secret"),
        pytest.param({"ClientSecret": "s" * 24}, "InvalidParameterException", id="two ways to a secret"),
        pytest.param({"ClientSecret": "-" * 24}, "InvalidParameterException", id="a malformed secret"),
        pytest.param(
            {"AllowedOAuthFlows": ["client_credentials", "code"]}, "InvalidOAuthFlowException", id="two kinds of flows"
        ),
        pytest.param({"AllowedOAuthFlows": ["password"]}, "InvalidParameterException", id="an unknown flow"),
        pytest.param({"AccessTokenValidity": 25}, "InvalidParameterException", id="25 hours"),
        pytest.param(
            {"AccessTokenValidity": 4, "TokenValidityUnits": {"AccessToken": "minutes"}},
            "InvalidParameterException",
            id="4 minutes",
        ),
        pytest.param(
            {"TokenValidityUnits": {"AccessToken": "weeks"}}, "InvalidParameterException", id="an unknown unit"
        ),
    ],
)
def test_a_client_that_cognito_would_refuse_is_refused_by_its_name(
    sdk: Any, local: LocalCognito, settings: dict[str, Any], kind: str
) -> None:
    with pytest.raises(ClientError) as caught:
        sdk.create_user_pool_client(**machine(**settings))

    assert kind_of(caught) == kind
    assert len(local.pool.clients) == 1
    assert str(local.requests[-1].reason).startswith(kind)


# Describing


def test_a_pool_is_described(sdk: Any, local: LocalCognito) -> None:
    described = sdk.describe_user_pool(UserPoolId=POOL_ID)["UserPool"]

    assert (described["Id"], described["IssuerConfiguration"]) == (POOL_ID, {"Type": "ORIGINAL"})
    assert described["Arn"] == f"arn:aws:cognito-idp:eu-central-1:000000000000:userpool/{POOL_ID}"
    assert described["LambdaConfig"]["PreTokenGenerationConfig"]["LambdaVersion"] == "V3_0"


@pytest.mark.parametrize(("issuer", "form"), [("https://issuer-cognito-idp.eu-central-1.amazonaws.com/", "UPDATED")])
def test_a_pool_says_which_form_its_issuer_has(pool_keys: PoolKeys, issuer: str, form: str) -> None:
    pool = LocalPool(POOL_ID, issuer=issuer + POOL_ID, keys=pool_keys)

    with serving(LocalCognito(pool)) as url:
        headers = {"X-Amz-Target": "AWSCognitoIdentityProviderService.DescribeUserPool"}
        described = httpx.post(url, headers=headers, json={"UserPoolId": POOL_ID}, timeout=60).json()["UserPool"]

    assert described["IssuerConfiguration"] == {"Type": form}
    assert described["LambdaConfig"] == {}


def test_resource_servers_are_described(sdk: Any) -> None:
    server = {
        "UserPoolId": POOL_ID,
        "Identifier": "orders",
        "Name": "Orders",
        "Scopes": [
            {"ScopeName": "order.read", "ScopeDescription": "Read"},
            {"ScopeName": "order.write", "ScopeDescription": "Write"},
        ],
    }

    assert sdk.describe_resource_server(UserPoolId=POOL_ID, Identifier="orders")["ResourceServer"] == server
    assert sdk.list_resource_servers(UserPoolId=POOL_ID, MaxResults=50)["ResourceServers"] == [server]


def test_a_list_comes_in_pages(sdk: Any, local: LocalCognito) -> None:
    for number in range(4):
        local.pool.add_client(name=f"client {number}", scopes=["orders/order.read"])

    pages = list(sdk.get_paginator("list_user_pool_clients").paginate(UserPoolId=POOL_ID, MaxResults=2))

    names = [[client["ClientName"] for client in page["UserPoolClients"]] for page in pages]
    assert names == [["reader", "client 0"], ["client 1", "client 2"], ["client 3"]]


@pytest.mark.parametrize(
    ("operation", "parameters", "kind"),
    [
        ("describe_user_pool_client", {"ClientId": "nobody"}, "ResourceNotFoundException"),
        ("describe_resource_server", {"Identifier": "nothing"}, "ResourceNotFoundException"),
        ("list_user_pool_clients", {"NextToken": "x"}, "InvalidParameterException"),
        ("list_user_pool_clients", {"NextToken": "9" * 5000}, "InvalidParameterException"),
        ("list_resource_servers", {"MaxResults": 51}, "InvalidParameterException"),
        ("create_resource_server", {"Identifier": "orders", "Name": "x"}, "InvalidParameterException"),
        ("add_user_pool_client_secret", {"ClientId": "nobody"}, "ResourceNotFoundException"),
        ("delete_user_pool_client_secret", {"ClientId": "reader", "ClientSecretId": "x"}, "ResourceNotFoundException"),
    ],
)
def test_missing_or_malformed_things_are_refused_by_name(
    sdk: Any, operation: str, parameters: dict[str, Any], kind: str
) -> None:
    with pytest.raises(ClientError) as caught:
        getattr(sdk, operation)(UserPoolId=POOL_ID, **parameters)

    assert kind_of(caught) == kind


# Secrets


def test_a_secret_is_rotated_by_the_sdk(sdk: Any, local: LocalCognito) -> None:
    client = local.pool.clients[0]
    old = client.secrets[0]
    ids = {"UserPoolId": POOL_ID, "ClientId": "reader"}

    new = sdk.add_user_pool_client_secret(**ids)["ClientSecretDescriptor"]
    listed = sdk.list_user_pool_client_secrets(**ids)["ClientSecrets"]

    assert client.accepts(new["ClientSecretValue"])
    assert [each["ClientSecretId"] for each in listed] == [old.id, new["ClientSecretId"]]
    assert all("ClientSecretValue" not in each for each in listed)
    with pytest.raises(ClientError) as caught:
        sdk.add_user_pool_client_secret(**ids)
    assert kind_of(caught) == "LimitExceededException"

    sdk.delete_user_pool_client_secret(**ids, ClientSecretId=old.id)
    assert not client.accepts(old.value)
    with pytest.raises(ClientError) as caught:
        sdk.delete_user_pool_client_secret(**ids, ClientSecretId=new["ClientSecretId"])
    assert kind_of(caught) == "InvalidParameterException"


def test_a_chosen_secret_is_not_shown_again(sdk: Any) -> None:
    ids = {"UserPoolId": POOL_ID, "ClientId": "reader"}
    added = sdk.add_user_pool_client_secret(**ids, ClientSecret="t" * 24)["ClientSecretDescriptor"]

    assert "ClientSecretValue" not in added


# The protocol


def test_on_change_is_called_for_changes_only(pool_keys: PoolKeys) -> None:
    changes: list[int] = []
    pool = LocalPool(POOL_ID, keys=pool_keys)
    with serving(LocalCognito(pool, on_change=lambda: changes.append(len(pool.resource_servers)))) as url:
        for asked in ({"Identifier": "a", "Name": "a"}, {"Identifier": "a", "Name": "a"}, {}):
            headers = {"X-Amz-Target": "AWSCognitoIdentityProviderService.CreateResourceServer"}
            httpx.post(url, headers=headers, json={"UserPoolId": POOL_ID} | asked, timeout=60)
        headers = {"X-Amz-Target": "AWSCognitoIdentityProviderService.ListResourceServers"}
        httpx.post(url, headers=headers, json={"UserPoolId": POOL_ID}, timeout=60)

    assert changes == [1]


@pytest.mark.parametrize(
    "target", ["DescribeUserPool", "Other.DescribeUserPool", "AWSCognitoIdentityProviderService.AdminCreateUser", ""]
)
def test_an_operation_that_is_not_served_is_named(served: tuple[LocalCognito, str], target: str) -> None:
    local, url = served
    answer = httpx.post(url, headers={"X-Amz-Target": target}, content=b"{}", timeout=60)

    assert (answer.status_code, answer.json()["__type"]) == (400, "UnknownOperationException")
    assert (target or "missing") in str(local.requests[-1].reason)


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        ("ListUserPoolClients", {"UserPoolId": 7}),
        ("ListUserPoolClients", {"UserPoolId": POOL_ID, "MaxResults": "2"}),
        ("ListUserPoolClients", {"UserPoolId": POOL_ID, "MaxResults": True}),
        ("CreateResourceServer", {"UserPoolId": POOL_ID, "Identifier": "x", "Name": "x", "Scopes": {}}),
        ("CreateResourceServer", {"UserPoolId": POOL_ID, "Identifier": "x", "Name": "x", "Scopes": ["read"]}),
        ("CreateUserPoolClient", machine(GenerateSecret="yes")),
        ("CreateUserPoolClient", machine(TokenValidityUnits="hours")),
        ("GetClientToken", {"ClientId": "reader", "Secret": SECRET, "ClientMetadata": {"a": 1}}),
    ],
)
def test_a_member_of_another_type_is_refused(
    served: tuple[LocalCognito, str], local: LocalCognito, operation: str, members: dict[str, Any]
) -> None:
    headers = {"X-Amz-Target": f"AWSCognitoIdentityProviderService.{operation}"}
    answer = httpx.post(served[1], headers=headers, json=members, timeout=60)

    assert (answer.status_code, answer.json()["__type"]) == (400, "SerializationException")


def test_each_answer_fits_the_service_model(served: tuple[LocalCognito, str], local: LocalCognito) -> None:
    """Every member is one that the model has, of its type; what the SDK does not know it drops without a word."""
    ids = {"UserPoolId": POOL_ID, "ClientId": "reader"}
    asked: dict[str, dict[str, Any]] = {
        "GetClientToken": {"ClientId": "reader", "Secret": SECRET},
        "DescribeUserPool": {"UserPoolId": POOL_ID},
        "ListUserPoolClients": {"UserPoolId": POOL_ID},
        "DescribeUserPoolClient": ids,
        "ListResourceServers": {"UserPoolId": POOL_ID},
        "DescribeResourceServer": {"UserPoolId": POOL_ID, "Identifier": "orders"},
        "ListUserPoolClientSecrets": ids,
        "CreateUserPoolClient": machine(),
        "CreateResourceServer": {"UserPoolId": POOL_ID, "Identifier": "stock", "Name": "Stock"},
        "AddUserPoolClientSecret": ids,
    }
    for operation, members in asked.items():
        headers = {"X-Amz-Target": f"AWSCognitoIdentityProviderService.{operation}"}
        answer = httpx.post(served[1], headers=headers, content=json.dumps(members), timeout=60)
        report = ParamValidator().validate(answer.json(), MODEL.operation_model(operation).output_shape)
        assert not report.has_errors(), (operation, report.generate_report())

    assert set(asked) == {*READING, *CHANGING} - {"DeleteUserPoolClientSecret"}
