"""What real code sends to the token endpoint, and why it is refused."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import jwt
import pytest

from cognito_guard.local import DisputedAnswers, LocalCognito, LocalPool, PoolKeys
from cognito_guard.local._record import shown

pytestmark = pytest.mark.anyio

SECRET = "reader_secret_" * 3
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
GRANT = {"grant_type": "client_credentials"}
READER = GRANT | {"client_id": "reader", "client_secret": SECRET}


@pytest.fixture
def pool(pool_keys: PoolKeys) -> LocalPool:
    pool = LocalPool(keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read", "order.write": "Write"})
    pool.add_client(name="reader", client_id="reader", scopes=["orders/order.read"], secrets=[SECRET])
    pool.add_client(name="writer", client_id="writer", scopes=["orders/order.write"], secrets=["w" * 40])
    pool.add_client(name="app", client_id="app", scopes=["openid"], secrets=[], allowed_flows=["code"])
    return pool


@pytest.fixture
def local(pool: LocalPool) -> LocalCognito:
    return LocalCognito(pool)


@pytest.fixture
async def http(local: LocalCognito) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url="http://127.0.0.1:9229") as client:
        yield client


async def ask(http: httpx.AsyncClient, query: str = "", **options: Any) -> httpx.Response:
    return await http.post(f"/oauth2/token?{query}", **options)


def claims_in(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    claims: dict[str, Any] = jwt.decode(response.json()["access_token"], options={"verify_signature": False})
    return claims


# Parameters in the query


@pytest.mark.parametrize(
    ("query", "body"),
    [
        pytest.param(READER, {}, id="all in the query"),
        pytest.param({}, READER, id="all in the body"),
        pytest.param(GRANT, {"client_id": "reader", "client_secret": SECRET}, id="the credentials in the body"),
        pytest.param({"scope": "orders/order.read"}, READER, id="the scope in the query"),
    ],
)
async def test_parameters_may_be_in_query_and_body(
    http: httpx.AsyncClient, query: dict[str, str], body: dict[str, str]
) -> None:
    response = await ask(http, urlencode(query), headers=FORM, data=body)

    assert claims_in(response)["scope"] == "orders/order.read"


@pytest.mark.parametrize(
    ("query", "body"),
    [
        pytest.param("grant_type=client_credentials", urlencode(READER), id="in both places"),
        pytest.param("scope=a&scope=b", urlencode(READER), id="twice in the query"),
        pytest.param("", urlencode(READER) + "&scope=a&scope=a", id="twice in the body, the same"),
    ],
)
async def test_a_parameter_that_is_sent_twice_is_refused(
    http: httpx.AsyncClient, local: LocalCognito, query: str, body: str
) -> None:
    response = await ask(http, query, headers=FORM, content=body)

    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})
    assert "is sent twice" in str(local.requests[0].reason)


@pytest.mark.parametrize(("query", "where"), [("a=%FF", "query"), ("", "body")])
async def test_for_an_invalid_form_its_place_is_named(
    http: httpx.AsyncClient, local: LocalCognito, query: str, where: str
) -> None:
    await ask(http, query, headers=FORM, content=b"a=%FF")

    assert f"The {where} is not form-encoded" in str(local.requests[0].reason)


async def test_the_query_is_kept_from_the_log_of_the_server_and_the_record(local: LocalCognito) -> None:
    sent: list[Any] = []
    scope = {"type": "http", "method": "POST", "path": "/oauth2/token", "query_string": b"client_secret=s3cret"}
    scope |= {"headers": [(b"content-type", FORM["Content-Type"].encode())]}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        # This is when uvicorn writes its line.
        assert scope["query_string"] == b""
        sent.append(message)

    await local(scope, receive, send)

    assert sent[0]["status"] == 400
    assert "s3cret" not in repr(local.requests)


# Media types


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Content-Type": "application/json"}, id="json"),
        pytest.param({"Content-Type": "'application/x-www-form-urlencoded'"}, id="in quotes"),
        pytest.param({"Content-Type": "application/x-www-form-urlencoded, text/plain"}, id="two"),
        pytest.param({"Content-Type": ""}, id="none"),
        pytest.param(FORM | {"Accept": "application/x-www-form-urlencoded"}, id="a form for an answer"),
        pytest.param(FORM | {"Accept": "text/html, application/xml;q=0.9"}, id="a browser without */*"),
    ],
)
async def test_a_wrong_media_type_is_a_405_without_a_body(
    http: httpx.AsyncClient, local: LocalCognito, headers: dict[str, str]
) -> None:
    response = await ask(http, headers=headers, content=urlencode(READER))

    assert (response.status_code, response.content) == (405, b"")
    assert response.headers["x-amz-cognito-request-id"]
    assert local.requests[0].reason

    local.disputed = DisputedAnswers(wrong_media_type=400)
    response = await ask(http, headers=headers, content=urlencode(READER))
    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})


@pytest.mark.parametrize(
    "accept", ["*/*", "application/*", "application/json;charset=UTF-8", "text/html, application/json;q=0.5", "", ","]
)
async def test_an_accept_header_that_allows_json_is_accepted(http: httpx.AsyncClient, accept: str) -> None:
    assert claims_in(await ask(http, headers=FORM | {"Accept": accept}, content=urlencode(READER)))


# Metadata and resource


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        pytest.param("tenant=7", "is not a JSON object", id="no JSON"),
        pytest.param("[]", "is not a JSON object", id="a list"),
        pytest.param(quote('{"tenant": "7"}'), "It is encoded twice.", id="encoded twice"),
        pytest.param('{"tenant": 7}', "must map names to strings", id="a number"),
        pytest.param('{"tenant": "\\ud800"}', "is not a JSON object", id="half a character"),
        pytest.param('{"tenant": NaN}', "is not a JSON object", id="what only Python calls JSON"),
    ],
)
async def test_metadata_that_is_not_an_object_of_strings_is_refused(
    http: httpx.AsyncClient, local: LocalCognito, metadata: str, reason: str
) -> None:
    response = await ask(http, data=READER | {"aws_client_metadata": metadata})

    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})
    assert reason in str(local.requests[0].reason)


async def test_a_machine_cannot_bind_its_token_to_a_resource(http: httpx.AsyncClient, local: LocalCognito) -> None:
    response = await ask(http, data=READER | {"resource": "https://api.example.com"})

    assert (response.status_code, response.json()) == (400, {"error": "invalid_request"})
    assert "resource" in str(local.requests[0].reason)


# Reasons


def basic(client_id: str, secret: str) -> dict[str, str]:
    return FORM | {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


@pytest.mark.parametrize(
    ("headers", "form", "reason"),
    [
        pytest.param({}, {}, "The parameter grant_type is missing", id="no grant type"),
        pytest.param({}, {"grant_type": "password"}, "grant_type is password; expected client_credentials", id="grant"),
        pytest.param({}, GRANT, "no Authorization header with Basic, and no parameter client_id", id="no client"),
        pytest.param({"Authorization": "Basic ?"}, GRANT, "is not Basic base64(", id="no base64"),
        pytest.param(basic("reader", SECRET), GRANT | {"client_secret": SECRET}, "authenticates twice", id="twice"),
        pytest.param(basic("reader", SECRET), GRANT | {"client_id": "app"}, "differs from the id in", id="two clients"),
        pytest.param(
            {}, READER | {"client_id": "x"}, "No client has this id: x. Known: reader (reader), ", id="unknown"
        ),
        pytest.param(
            {}, READER | {"client_id": "x" * 33}, "No client has this id, which has 33 characters.", id="a long id"
        ),
        pytest.param({}, {**READER, "client_id": SECRET, "client_secret": "reader"}, "swapped?", id="swapped"),
        pytest.param(
            {}, READER | {"client_secret": ""}, "The request has no secret, but the client reader has", id="none"
        ),
        pytest.param(
            {}, READER | {"client_secret": "wrong" * 6}, "is not an active one of the client reader", id="wrong"
        ),
        pytest.param(
            {}, READER | {"client_secret": SECRET + "\n"}, "has a blank or a line end around it", id="line end"
        ),
        pytest.param({}, READER | {"client_secret": "w" * 40}, "belongs to the client writer", id="other's"),
        pytest.param({}, READER | {"client_id": "app"}, "The client app is public", id="public"),
        pytest.param({}, GRANT | {"client_id": "app"}, "may not use the client_credentials flow; its flows", id="flow"),
        pytest.param(
            {}, READER | {"grant_type": "refresh_token"}, "issues no codes and no refresh tokens", id="refresh"
        ),
        pytest.param(
            {},
            READER | {"scope": "orders/order.write"},
            "The client reader may not ask for orders/order.write. It may ask for orders/order.read.",
            id="scope of others",
        ),
        pytest.param(
            {}, READER | {"scope": "orders/read"}, "defines orders/read. Defined: orders/order.read", id="typo"
        ),
    ],
)
async def test_a_refusal_has_a_reason_in_the_log_and_in_the_record(
    http: httpx.AsyncClient,
    local: LocalCognito,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
    form: dict[str, str],
    reason: str,
) -> None:
    response = await ask(http, headers=FORM | headers, data=form)

    seen = local.requests[0]
    assert response.status_code == 400
    assert reason in str(seen.reason)
    assert seen.reason is not None
    assert seen.reason.startswith(response.json()["error"])
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("cognito_guard.local", logging.WARNING)
    assert record.getMessage() == f"refused POST /oauth2/token: {seen.reason}"
    assert SECRET not in record.getMessage()


async def test_the_error_of_dropped_scopes_names_what_was_dropped(http: httpx.AsyncClient, local: LocalCognito) -> None:
    local.disputed = DisputedAnswers(unassigned_scope="drop")

    await ask(http, data=READER | {"scope": "orders/order.write"})

    assert "may not ask for orders/order.write" in str(local.requests[0].reason)


async def test_scopes_of_a_deleted_resource_server_are_the_reason(
    http: httpx.AsyncClient, local: LocalCognito, pool: LocalPool
) -> None:
    pool.delete_resource_server("orders")

    await ask(http, data=READER)

    assert "is of a resource server that was deleted: orders/order.read" in str(local.requests[0].reason)


async def test_a_long_list_is_cut_short(http: httpx.AsyncClient, local: LocalCognito, pool: LocalPool) -> None:
    pool.add_resource_server("many", {f"scope{number}": "d" for number in range(9)})

    await ask(http, data=READER | {"scope": "no/such"})

    assert str(local.requests[0].reason).endswith("many/scope7, 1 more.")


async def test_a_good_request_has_no_reason(
    http: httpx.AsyncClient, local: LocalCognito, caplog: pytest.LogCaptureFixture
) -> None:
    await ask(http, data=READER)

    assert local.requests[0].reason is None
    assert caplog.records == []


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/oauth2/token", 405, "Method Not Allowed; allowed is POST."),
        ("GET", "/oauth2/nowhere", 404, "Not Found."),
        ("GET", "/eu-central-1_Nowhere/.well-known/jwks.json", 404, "There is no user pool eu-central-1_Nowhere here."),
        ("GET", "/oauth2/authorize", 501, "Users cannot sign in at the local Cognito."),
        ("POST", "/oauth2/revoke", 501, "Users cannot sign in at the local Cognito."),
    ],
)
async def test_a_request_that_is_not_served_has_a_reason_too(
    http: httpx.AsyncClient, local: LocalCognito, method: str, path: str, status: int, reason: str
) -> None:
    response = await http.request(method, path)

    assert response.status_code == status
    assert str(local.requests[0].reason).startswith(reason)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("plain", "plain"),
        ("a\nb\x1b[0m", r"a\nb\x1b[0m"),
        ("ä\ud800", r"\xe4\ud800"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 80 + "..."),
    ],
)
def test_text_from_a_request_is_shown_on_one_short_line(text: str, printed: str) -> None:
    assert shown(text) == printed


# Discovery


async def test_discovery_has_the_members_of_cognitos(http: httpx.AsyncClient) -> None:
    root = "http://127.0.0.1:9229"
    document = (await http.get("/eu-central-1_LocalPool0/.well-known/openid-configuration")).json()

    assert document == {
        "authorization_endpoint": f"{root}/oauth2/authorize",
        "end_session_endpoint": f"{root}/logout",
        "id_token_signing_alg_values_supported": ["RS256"],
        "issuer": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_LocalPool0",
        "jwks_uri": f"{root}/eu-central-1_LocalPool0/.well-known/jwks.json",
        "response_types_supported": ["code", "token"],
        "revocation_endpoint": f"{root}/oauth2/revoke",
        "scopes_supported": ["openid", "email", "phone", "profile"],
        "subject_types_supported": ["public"],
        "token_endpoint": f"{root}/oauth2/token",
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "userinfo_endpoint": f"{root}/oauth2/userInfo",
    }
    assert json.dumps(document) == json.dumps(document, sort_keys=True)
