"""A user pool over HTTP: the token endpoint, `GetClientToken`, and what a guard fetches."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import AsyncIterator
from typing import Any, cast
from urllib.parse import quote_plus

import anyio
import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message, Receive

from cognito_guard.errors import ConfigurationError
from cognito_guard.local import DisputedAnswers, LocalCognito, LocalPool, PoolKeys, SeenRequest

pytestmark = pytest.mark.anyio

SECRET = "a+b_" * 8
FORM = "application/x-www-form-urlencoded"
GRANT = {"grant_type": "client_credentials"}
POST_CREDENTIALS = {"client_id": "reader", "client_secret": SECRET}
TARGET = "AWSCognitoIdentityProviderService.GetClientToken"


def orders_pool(keys: PoolKeys, pool_id: str = "eu-central-1_AbCdEf123", *, prefix: str = "") -> LocalPool:
    pool = LocalPool(pool_id, keys=keys)
    pool.add_resource_server("orders", {"order.read": "Read", "order.write": "Write", "order.delete": "Delete"})
    pool.add_resource_server("stock", {"read": "Read"})
    pool.add_client(
        client_id=prefix + "reader",
        scopes=["orders/order.read", "orders/order.write"],
        secrets=[SECRET],
        access_token_validity=900,
    )
    pool.add_client(client_id=prefix + "stock", scopes=["stock/read"], secrets=[SECRET], allow_client_token_auth=False)
    pool.add_client(client_id=prefix + "public", scopes=["openid"], secrets=[], allowed_flows=["code"])
    return pool


@pytest.fixture
def local(pool_keys: PoolKeys) -> LocalCognito:
    return LocalCognito(orders_pool(pool_keys))


@pytest.fixture
async def http(local: LocalCognito) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url="http://127.0.0.1:9229") as client:
        yield client


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def scopes_in(response: httpx.Response) -> set[str]:
    """Return the scopes of the token in a success."""
    assert response.status_code == 200, response.text
    claims = jwt.decode(response.json()["access_token"], options={"verify_signature": False})
    return set(claims["scope"].split(" "))


def error_in(response: httpx.Response) -> str:
    """Return the code of an error that has the status and form of Cognito's."""
    assert response.status_code == 400
    assert response.headers["content-type"] == "application/json;charset=UTF-8"
    return str(response.json()["error"])


# The token endpoint: success


async def test_a_success_is_cognitos_json_with_its_headers(http: httpx.AsyncClient, local: LocalCognito) -> None:
    response = await http.post("/oauth2/token", auth=("reader", SECRET), data=GRANT | {"scope": "orders/order.read"})

    body = response.json()
    key = jwt.PyJWKSet.from_dict(local.jwks())[local.pool.keys.access.kid]
    claims = jwt.decode(body["access_token"], key, algorithms=["RS256"])
    assert response.status_code == 200
    assert list(body) == ["access_token", "expires_in", "token_type"]
    assert (body["expires_in"], body["token_type"]) == (900, "Bearer")
    assert (claims["client_id"], claims["scope"]) == ("reader", "orders/order.read")
    assert claims["exp"] - claims["iat"] == 900
    assert response.headers["content-type"] == "application/json;charset=UTF-8"
    assert response.headers["cache-control"] == "no-cache, no-store, max-age=0, must-revalidate"
    assert (response.headers["pragma"], response.headers["expires"]) == ("no-cache", "0")
    assert re.fullmatch("[0-9a-f-]{36}", response.headers["x-amz-cognito-request-id"])


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        pytest.param(basic("reader", SECRET), {}, id="basic, raw"),
        pytest.param(basic("reader", quote_plus(SECRET)), {}, id="basic, percent-encoded"),
        pytest.param(basic("r%65ader", SECRET), {}, id="basic, client id percent-encoded"),
        pytest.param(basic("reader", SECRET), {"client_id": "reader"}, id="basic, and the id in the body"),
        pytest.param(
            {"Authorization": basic("reader", SECRET)["Authorization"].replace("Basic", "bASIC")}, {}, id="scheme case"
        ),
        pytest.param({}, POST_CREDENTIALS, id="post"),
        pytest.param({"Authorization": "Bearer of.no.interest"}, POST_CREDENTIALS, id="post beside another scheme"),
    ],
)
async def test_a_client_may_authenticate_by_header_or_body(
    http: httpx.AsyncClient, headers: dict[str, str], form: dict[str, str]
) -> None:
    response = await http.post("/oauth2/token", headers=headers, data=GRANT | form)

    assert scopes_in(response) == {"orders/order.read", "orders/order.write"}


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        pytest.param({}, {"orders/order.read", "orders/order.write"}, id="none asked: all"),
        pytest.param({"scope": ""}, {"orders/order.read", "orders/order.write"}, id="empty: all"),
        pytest.param({"scope": "orders/order.write"}, {"orders/order.write"}, id="one"),
        pytest.param({"scope": "orders/order.write orders/order.write"}, {"orders/order.write"}, id="one, twice"),
        pytest.param({"scope": "orders/order.write no/such"}, {"orders/order.write"}, id="unknown beside known"),
        pytest.param({"scope": "orders/order.write openid"}, {"orders/order.write"}, id="openid beside known"),
    ],
)
async def test_the_token_has_the_scopes_asked_for(
    http: httpx.AsyncClient, scope: dict[str, str], granted: set[str]
) -> None:
    response = await http.post("/oauth2/token", data=GRANT | POST_CREDENTIALS | scope)

    assert scopes_in(response) == granted


async def test_scopes_of_a_deleted_resource_server_are_left_out(http: httpx.AsyncClient, local: LocalCognito) -> None:
    local.pool.add_client(client_id="both", scopes=["orders/order.read", "stock/read"], secrets=[SECRET])
    local.pool.delete_resource_server("stock")
    both = POST_CREDENTIALS | {"client_id": "both"}

    assert scopes_in(await http.post("/oauth2/token", data=GRANT | both)) == {"orders/order.read"}
    stock = POST_CREDENTIALS | {"client_id": "stock"}
    assert error_in(await http.post("/oauth2/token", data=GRANT | stock)) == "invalid_scope"


async def test_metadata_for_triggers_and_unknown_parameters_are_tolerated(http: httpx.AsyncClient) -> None:
    more = {"aws_client_metadata": '{"tenant":"7"}', "whatever": "x"}

    assert scopes_in(await http.post("/oauth2/token", data=GRANT | POST_CREDENTIALS | more))


async def test_both_secrets_work_during_a_rotation(http: httpx.AsyncClient, local: LocalCognito) -> None:
    client = local.pool.clients[0]
    client.add_secret("new_" * 8)

    assert scopes_in(await http.post("/oauth2/token", auth=("reader", SECRET), data=GRANT))
    assert scopes_in(await http.post("/oauth2/token", auth=("reader", "new_" * 8), data=GRANT))

    client.delete_secret(client.secrets[0].id)

    assert error_in(await http.post("/oauth2/token", auth=("reader", SECRET), data=GRANT)) == "invalid_client"
    assert scopes_in(await http.post("/oauth2/token", auth=("reader", "new_" * 8), data=GRANT))


async def test_the_client_decides_which_pool_answers(pool_keys: PoolKeys) -> None:
    local = LocalCognito(orders_pool(pool_keys), orders_pool(pool_keys, "eu-west-1_Other", prefix="other"))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url="http://local") as http:
        for client_id, pool in zip(("reader", "otherreader"), local.pools, strict=True):
            response = await http.post("/oauth2/token", auth=(client_id, SECRET), data=GRANT)
            claims = jwt.decode(response.json()["access_token"], options={"verify_signature": False})
            assert claims["iss"] == pool.issuer


# The token endpoint: errors


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        pytest.param(basic("reader", "wrong" * 6), {}, id="wrong secret"),
        pytest.param(basic("reader", ""), {}, id="empty secret"),
        pytest.param(basic("nobody", SECRET), {}, id="unknown client"),
        pytest.param(basic("public", SECRET), {}, id="a secret for a public client"),
        pytest.param({"Authorization": "Basic"}, {}, id="basic without credentials"),
        pytest.param({"Authorization": "Basic %%%"}, {}, id="not base64"),
        pytest.param({"Authorization": "Basic cmVhZGVy"}, {}, id="no colon"),
        pytest.param({"Authorization": "Basic //79"}, {}, id="not utf-8"),
        pytest.param({}, {"client_id": "reader"}, id="no secret"),
        pytest.param({}, {"client_id": "reader", "client_secret": "ä"}, id="secret not ascii"),
    ],
)
@pytest.mark.parametrize("status", [400, 401])
async def test_a_client_that_does_not_authenticate_gets_invalid_client(
    http: httpx.AsyncClient, local: LocalCognito, headers: dict[str, str], form: dict[str, str], status: Any
) -> None:
    local.disputed = DisputedAnswers(invalid_client_status=status)

    response = await http.post("/oauth2/token", headers=headers, data=GRANT | form)

    assert response.status_code == status
    assert response.json() == {"error": "invalid_client", "error_description": "invalid_client_secret"}
    assert "www-authenticate" not in response.headers


@pytest.mark.parametrize(
    ("form", "error"),
    [
        pytest.param({"grant_type": "password"}, "unsupported_grant_type", id="another grant"),
        pytest.param({"grant_type": ""}, "invalid_request", id="no grant"),
        pytest.param({"grant_type": "authorization_code", "code": "made-up"}, "invalid_grant", id="made-up code"),
        pytest.param({"grant_type": "refresh_token"}, "invalid_grant", id="refresh token"),
        pytest.param({"client_id": ""}, "invalid_request", id="no client"),
        pytest.param({"scope": "no/such"}, "invalid_scope", id="unknown scope"),
        pytest.param({"scope": "orders/order.read\torders/order.write"}, "invalid_scope", id="a tab between scopes"),
        pytest.param({"scope": "openid"}, "invalid_scope", id="a scope for users"),
        pytest.param({"scope": "orders/order.delete"}, "invalid_grant", id="scope of others"),
        pytest.param({"scope": "orders/order.read orders/order.delete"}, "invalid_grant", id="scope of others, too"),
    ],
)
async def test_any_other_error_is_a_400_with_only_its_code(
    http: httpx.AsyncClient, form: dict[str, str], error: str
) -> None:
    response = await http.post("/oauth2/token", data=GRANT | POST_CREDENTIALS | form)

    assert error_in(response) == error
    assert response.json() == {"error": error}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"grant_type=client_credentials&grant_type=client_credentials", FORM, id="repeated parameter"),
        pytest.param(b"grant_type=%FF", FORM, id="not utf-8"),
        pytest.param(b"grant_type=\xff", FORM, id="not ascii"),
        pytest.param(b"a&" * 101, FORM, id="too many parameters"),
        pytest.param(b"", FORM, id="nothing"),
    ],
)
async def test_a_body_that_is_not_a_form_is_an_invalid_request(
    http: httpx.AsyncClient, body: bytes, content_type: str
) -> None:
    headers = basic("reader", SECRET) | {"Content-Type": content_type}

    assert error_in(await http.post("/oauth2/token", headers=headers, content=body)) == "invalid_request"


async def test_the_content_type_may_have_parameters(http: httpx.AsyncClient) -> None:
    headers = basic("reader", SECRET) | {"Content-Type": "Application/X-WWW-Form-Urlencoded ; charset=UTF-8"}

    assert scopes_in(await http.post("/oauth2/token", headers=headers, content=b"grant_type=client_credentials"))


@pytest.mark.parametrize(
    "form", [{"client_secret": SECRET}, {"client_id": "stock"}], ids=["secret in the body, too", "another client"]
)
async def test_two_ways_to_authenticate_at_once_are_refused(http: httpx.AsyncClient, form: dict[str, str]) -> None:
    response = await http.post("/oauth2/token", auth=("reader", SECRET), data=GRANT | form)

    assert error_in(response) == "invalid_request"


async def test_two_authorization_headers_are_refused(http: httpx.AsyncClient) -> None:
    header = ("Authorization", basic("reader", SECRET)["Authorization"])

    assert error_in(await http.post("/oauth2/token", headers=[header, header], data=GRANT)) == "invalid_request"


@pytest.mark.parametrize(("size", "status"), [(16 * 1024, 405), (16 * 1024 + 1, 413)])
async def test_a_body_of_over_16_kib_is_refused_without_reading_on(local: LocalCognito, size: int, status: int) -> None:
    chunks = [b"x" * 1024] * 16 + [b"x" * (size - 16 * 1024), b""]
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": chunks.pop(0), "more_body": len(chunks) > 0}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/oauth2/token", "headers": [], "query_string": b""}
    await local(scope, receive, send)

    assert sent[0]["status"] == status
    assert len(chunks) == (1 if status == 413 else 0)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_the_token_endpoint_accepts_post_only(http: httpx.AsyncClient, method: str) -> None:
    response = await http.request(method, "/oauth2/token")

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("error", ["invalid_grant", "unauthorized_client"])
async def test_the_error_of_a_flow_that_is_not_enabled_may_be_chosen(
    http: httpx.AsyncClient, local: LocalCognito, error: Any
) -> None:
    assert local.disputed.flow_not_enabled == "invalid_grant"
    local.disputed = DisputedAnswers(flow_not_enabled=error)

    assert error_in(await http.post("/oauth2/token", data=GRANT | {"client_id": "public"})) == error


async def test_the_answer_to_a_scope_of_others_may_be_chosen(http: httpx.AsyncClient, local: LocalCognito) -> None:
    mixed = GRANT | POST_CREDENTIALS | {"scope": "orders/order.read orders/order.delete"}
    alone = mixed | {"scope": "orders/order.delete"}

    local.disputed = DisputedAnswers(unassigned_scope="invalid_scope")
    assert error_in(await http.post("/oauth2/token", data=mixed)) == "invalid_scope"

    local.disputed = DisputedAnswers(unassigned_scope="drop")
    assert scopes_in(await http.post("/oauth2/token", data=mixed)) == {"orders/order.read"}
    assert error_in(await http.post("/oauth2/token", data=alone)) == "invalid_scope"


async def test_the_answer_to_an_unknown_scope_beside_a_known_one_may_be_chosen(
    http: httpx.AsyncClient, local: LocalCognito
) -> None:
    local.disputed = DisputedAnswers(unknown_scope="invalid_scope")
    form = GRANT | POST_CREDENTIALS

    mixed = await http.post("/oauth2/token", data=form | {"scope": "orders/order.read no/such"})
    known = await http.post("/oauth2/token", data=form | {"scope": "orders/order.read"})

    assert error_in(mixed) == "invalid_scope"
    assert scopes_in(known) == {"orders/order.read"}


# GetClientToken


async def get_client_token(http: httpx.AsyncClient, body: bytes, target: str = TARGET) -> httpx.Response:
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.1"}
    return await http.post("/", headers=headers, content=body)


def reader_with(**members: Any) -> bytes:
    """Return a good request for all scopes of a client, with *members* changed."""
    return json.dumps({"ClientId": "reader", "Secret": SECRET} | members).encode()


@pytest.mark.parametrize(
    ("scopes", "granted"),
    [
        ({}, {"orders/order.read", "orders/order.write"}),
        ({"Scopes": []}, {"orders/order.read", "orders/order.write"}),
        ({"Scopes": ["orders/order.read"], "ClientMetadata": {"a": "b"}}, {"orders/order.read"}),
    ],
)
async def test_get_client_token_gives_what_the_token_endpoint_gives(
    http: httpx.AsyncClient, scopes: dict[str, Any], granted: set[str]
) -> None:
    response = await get_client_token(http, reader_with(**scopes))

    result = response.json()["ClientAuthenticationResult"]
    claims = jwt.decode(result["AccessToken"], options={"verify_signature": False})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-amz-json-1.1"
    assert (result["ExpiresIn"], result["TokenType"]) == (900, "Bearer")
    assert (claims["client_id"], set(claims["scope"].split())) == ("reader", granted)


@pytest.mark.parametrize(
    ("members", "kind"),
    [
        pytest.param({"ClientId": "nobody"}, "ResourceNotFoundException", id="unknown client"),
        pytest.param({"Secret": "wrong" * 6}, "NotAuthorizedException", id="wrong secret"),
        pytest.param({"ClientId": "public"}, "NotAuthorizedException", id="public client"),
        pytest.param({"ClientId": "stock"}, "InvalidParameterException", id="operation not allowed to the client"),
        pytest.param({"Scopes": ["no/such"]}, "InvalidParameterException", id="unknown scope"),
        pytest.param({"Scopes": ["orders/order.delete"]}, "InvalidParameterException", id="scope of others"),
        pytest.param({"Scopes": "orders/order.read"}, "SerializationException", id="scopes a single string"),
        pytest.param({"Scopes": ["a b"]}, "InvalidParameterException", id="malformed scope"),
        pytest.param({"Scopes": [""]}, "InvalidParameterException", id="empty scope"),
        pytest.param({"Scopes": ["a" * 257]}, "InvalidParameterException", id="scope too long"),
        pytest.param({"Scopes": ["orders/order.read"] * 51}, "InvalidParameterException", id="51 scopes"),
        pytest.param({"ClientId": "\ud800"}, "SerializationException", id="client id no text"),
        pytest.param({"ClientId": 7}, "SerializationException", id="client id no string"),
        pytest.param({"Secret": None}, "InvalidParameterException", id="secret no string"),
    ],
)
async def test_an_error_of_get_client_token_has_the_form_of_the_aws_api(
    http: httpx.AsyncClient, members: dict[str, Any], kind: str
) -> None:
    response = await get_client_token(http, reader_with(**members))

    assert response.status_code == 400
    assert list(response.json()) == ["__type", "message"]
    assert response.json()["__type"] == response.headers["x-amzn-errortype"] == kind


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{}", "InvalidParameterException"),
        (b"[]", "SerializationException"),
        (b"{", "SerializationException"),
        (b"\xff", "SerializationException"),
        (b"[" * 16_000, "SerializationException"),
    ],
)
async def test_an_invalid_body_is_refused(http: httpx.AsyncClient, body: bytes, kind: str) -> None:
    assert (await get_client_token(http, body)).json()["__type"] == kind


@pytest.mark.parametrize("target", ["", "AWSCognitoIdentityProviderService.ListUsers"])
async def test_no_other_operation_is_served(http: httpx.AsyncClient, target: str) -> None:
    response = await get_client_token(http, reader_with(), target)

    assert response.json()["__type"] == "UnknownOperationException"


# What a guard and a browser fetch


async def test_each_pool_publishes_its_key_set(http: httpx.AsyncClient, local: LocalCognito) -> None:
    response = await http.get("/eu-central-1_AbCdEf123/.well-known/jwks.json")

    assert response.headers["content-type"] == "application/json"
    assert response.json() == local.jwks()


@pytest.mark.parametrize("document", ["jwks.json", "openid-configuration"])
async def test_an_unknown_pool_publishes_nothing(http: httpx.AsyncClient, document: str) -> None:
    response = await http.get(f"/eu-central-1_Other/.well-known/{document}")

    assert response.status_code == 404
    assert response.json() == {"message": "User pool eu-central-1_Other does not exist."}


async def test_discovery_names_the_issuer_and_where_this_server_is_reached(http: httpx.AsyncClient) -> None:
    response = await http.get("/eu-central-1_AbCdEf123/.well-known/openid-configuration?x=%FF")

    document = response.json()
    assert list(document) == sorted(document)
    assert document["issuer"] == "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123"
    assert document["jwks_uri"] == "http://127.0.0.1:9229/eu-central-1_AbCdEf123/.well-known/jwks.json"
    assert document["token_endpoint"] == "http://127.0.0.1:9229/oauth2/token"


@pytest.mark.parametrize(
    ("host", "root"),
    [("cognito.test:81", "http://cognito.test:81"), ("evil.test/x?", "http://127.0.0.1:9229")],
)
async def test_discovery_follows_a_valid_host_header(http: httpx.AsyncClient, host: str, root: str) -> None:
    response = await http.get("/eu-central-1_AbCdEf123/.well-known/openid-configuration", headers={"Host": host})

    assert response.json()["token_endpoint"] == f"{root}/oauth2/token"


async def test_it_may_be_mounted_in_another_app(local: LocalCognito) -> None:
    app = Starlette(routes=[Mount("/cognito", local)])

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://local.test") as http:
        url = "https://local.test/cognito/eu-central-1_AbCdEf123/.well-known/openid-configuration"
        document = (await http.get(url)).json()
        assert document["token_endpoint"] == "https://local.test/cognito/oauth2/token"
        assert scopes_in(await http.post(document["token_endpoint"], auth=("reader", SECRET), data=GRANT))
        assert (await http.get(document["jwks_uri"])).json() == local.jwks()
        assert (await http.get("/cognito/none")).status_code == 404


async def test_a_browser_may_ask_from_any_origin(http: httpx.AsyncClient) -> None:
    origin = {"Origin": "https://app.example.com"}
    preflight = await http.options(
        "/oauth2/token",
        headers=origin
        | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,x-requested-with",
        },
    )
    answer = await http.post("/oauth2/token", headers=origin, auth=("reader", SECRET), data=GRANT)
    refusal = await http.post("/oauth2/token", headers=origin)

    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-headers"] == "authorization,content-type,x-requested-with"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    for response in (preflight, answer, refusal):
        assert response.headers["access-control-allow-origin"] == "*"


# The record


async def test_requests_are_recorded_without_secrets(http: httpx.AsyncClient, local: LocalCognito) -> None:
    await http.get("/eu-central-1_AbCdEf123/.well-known/jwks.json?secret=1")
    await http.post("/oauth2/token", auth=("reader", SECRET), data=GRANT)
    await http.post("/oauth2/token", auth=("stock", SECRET), data=GRANT | {"scope": "no/such"})
    await http.post("/oauth2/token", auth=(SECRET, "reader"), data=GRANT)
    await get_client_token(http, reader_with())

    assert local.requests == (
        SeenRequest("GET", "/eu-central-1_AbCdEf123/.well-known/jwks.json", 200),
        SeenRequest("POST", "/oauth2/token", 200, "reader"),
        SeenRequest("POST", "/oauth2/token", 400, "stock"),
        SeenRequest("POST", "/oauth2/token", 400),
        SeenRequest("POST", "/", 200, "reader"),
    )


async def test_the_record_keeps_the_last_200(http: httpx.AsyncClient, local: LocalCognito) -> None:
    for number in range(201):
        await http.get(f"/{number}")

    assert len(local.requests) == 200
    assert (local.requests[0].path, local.requests[-1].path) == ("/1", "/200")


async def test_a_websocket_is_refused_and_not_recorded(local: LocalCognito) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    await local(scope, cast("Receive", anyio.sleep_forever), send)

    assert [message["type"] for message in sent] == ["websocket.close"]
    assert local.requests == ()


# The whole


async def test_it_works_without_set_up() -> None:
    local = LocalCognito()
    client = local.pool.clients[0]

    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url="http://local") as http:
        response = await http.post("/oauth2/token", auth=(client.client_id, client.secret), data=GRANT)

    assert scopes_in(response) == {"orders/order.read", "orders/order.write"}
    keys = jwt.PyJWKSet.from_dict(local.jwks())
    for token in (local.mint(), local.mint_user("alice"), local.mint_id("alice")):
        key = keys[jwt.get_unverified_header(token)["kid"]]
        assert jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})
    assert local.user_pool().pool_id == local.pool.pool_id == "eu-central-1_LocalPool0"


async def test_two_pools_with_the_same_id_are_refused(pool_keys: PoolKeys) -> None:
    with pytest.raises(ConfigurationError, match="needs a different id"):
        LocalCognito(orders_pool(pool_keys), orders_pool(pool_keys))
