"""A local Cognito answers any request, and never crashes."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys
from cognito_guard.local._operations import CHANGING, READING

POOL_ID = "eu-central-1_AbCdEf123"
SECRET = "reader_secret_" * 3
OWN_PAGE = {"X-Cognito-Guard": b"console", "Content-Type": b"application/json"}
CONSOLE = ("state", "token", "judge", "keys", "clients", "scopes", "faults")

# The cost of an example is the answer, not the drawing; the functions of a module share one server.
FUZZ = settings(max_examples=settings().max_examples * 3 // 2)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
# Valid values beside invalid ones: otherwise no request passes the first check.
VALUES: dict[str, list[Any]] = {
    "UserPoolId": [POOL_ID],
    "ClientId": ["reader"],
    "Secret": [SECRET],
    "Scopes": [["orders/order.read"], [{"ScopeName": "read", "ScopeDescription": "Read"}]],
    "ClientMetadata": [{"a": "b"}],
    "ClientName": ["new"],
    "GenerateSecret": [True],
    "ClientSecret": ["s" * 24],
    "AllowedOAuthFlows": [["client_credentials"], ["code"]],
    "AllowedOAuthFlowsUserPoolClient": [True],
    "AllowedOAuthScopes": [["orders/order.read"], ["openid"]],
    "AccessTokenValidity": [1, 86_400],
    "TokenValidityUnits": [{"AccessToken": "minutes"}],
    "ExplicitAuthFlows": [["ALLOW_CLIENT_TOKEN_AUTH"]],
    "Identifier": ["orders", "stock"],
    "Name": ["Stock"],
    "ClientSecretId": ["reader--1"],
    "MaxResults": [1],
    "NextToken": ["1"],
    # The console's
    "pool": [POOL_ID],
    "client_id": ["reader"],
    "kind": ["machine", "user", "id"],
    "scopes": [["orders/order.read"]],
    "token": ["a.b.c"],
    "flaw": ["expired", "tampered"],
    "lifetime": [60],
    "groups": [["admins"]],
    "name": ["stock"],
    "identifier": ["orders", "stock"],
    "access_token_validity": [300],
    "action": ["rotate", "withdraw", "replace", "undo"],
    "kid": ["x"],
    "route": ["jwks", "token"],
    "fault": ["none", "slow"],
}
members = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(right) | anything for name, right in VALUES.items()}
)
json_bodies = st.builds(lambda value: json.dumps(value).encode(), members | anything)
bodies = json_bodies | st.binary(max_size=200)

parameters = st.dictionaries(
    st.sampled_from(["grant_type", "client_id", "client_secret", "scope", "aws_client_metadata", "resource"]),
    st.sampled_from(["client_credentials", "reader", SECRET, "orders/order.read", '{"a":"b"}', "{"]) | st.text(),
)
forms = st.builds(lambda pairs: urlencode(pairs, errors="replace").encode(), parameters) | st.binary(max_size=200)
headers = st.fixed_dictionaries(
    {"Content-Type": st.sampled_from([b"application/x-www-form-urlencoded", b"text/plain", b"\xff"])},
    optional={
        "Authorization": st.sampled_from([b"Basic cmVhZGVyOng=", b"Basic /", b"Bearer x"]),
        "Accept": st.sampled_from([b"*/*", b"text/html"]) | st.binary(max_size=20),
    },
)


@pytest.fixture(scope="module")
def local(pool_keys: PoolKeys) -> LocalCognito:
    pool = LocalPool(POOL_ID, keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read"})
    pool.add_client(client_id="reader", scopes=["orders/order.read"], secrets=[SECRET])
    return LocalCognito(pool)


def answer(
    local: LocalCognito, path: str, body: bytes, sent: dict[str, bytes], query: bytes = b""
) -> tuple[int, bytes]:
    """Return status and body of the answer in process. What crashes in there comes out here."""
    scope = {"type": "http", "method": "POST", "scheme": "http", "path": path, "query_string": query}
    fields = {"Host": b"127.0.0.1:9229"} | sent
    scope["headers"] = [(name.lower().encode(), value) for name, value in fields.items()]
    answered: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body}

    async def send(message: Message) -> None:
        answered.append(message)

    asyncio.run(local(scope, receive, send))
    return answered[0]["status"], b"".join(message.get("body", b"") for message in answered)


@FUZZ
@given(forms, forms, headers)
def test_the_token_endpoint_answers_everything(
    local: LocalCognito, query: bytes, body: bytes, sent: dict[str, bytes]
) -> None:
    status, _ = answer(local, "/oauth2/token", body, sent, query)

    assert status in {200, 400, 405}
    assert bool(local.requests[-1].reason) == (status != 200)


@FUZZ
@given(st.sampled_from([*READING, *CHANGING, "Nothing"]), bodies)
def test_the_aws_api_answers_everything(local: LocalCognito, operation: str, body: bytes) -> None:
    target = {"X-Amz-Target": f"AWSCognitoIdentityProviderService.{operation}".encode()}
    status, answered = answer(local, "/", body, target)

    assert status in {200, 400}
    assert isinstance(json.loads(answered), dict)


@FUZZ
@given(st.sampled_from(CONSOLE), bodies)
def test_the_json_of_the_console_answers_everything(local: LocalCognito, what: str, body: bytes) -> None:
    status, answered = answer(local, f"/console/{what}", body, OWN_PAGE)
    local.faults.clear()

    assert status in {200, 400}
    assert isinstance(json.loads(answered), dict)
