"""The console over HTTP: who may ask, what is answered, and how a token is judged there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import httpx
import pytest
from starlette.types import Message

from cognito_guard.local import Fault, LocalCognito, LocalPool, PoolKeys, SigningKey
from cognito_guard.local._judge import judge
from cognito_guard.testing import HOSTILE_TOKENS
from cognito_guard.testing._double import Double
from cognito_guard.testing._hostile import HostileTokens

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:9229"
OWN = {"X-Cognito-Guard": "console", "Content-Type": "application/json", "Origin": HERE}
POOL_ID = "eu-central-1_AbCdEf123"


@pytest.fixture
def local(pool_keys: PoolKeys) -> LocalCognito:
    pool = LocalPool(POOL_ID, keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    pool.add_client(name="reader", client_id="reader", scopes=["orders/order.read"], secrets=["reader_" * 4])
    return LocalCognito(pool)


@pytest.fixture
async def http(local: LocalCognito) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url=HERE) as client:
        yield client


async def ask(http: httpx.AsyncClient, what: str, *, status: int = 200, **asked: Any) -> Any:
    response = await http.post(f"/console/{what}", headers=OWN, json={"pool": POOL_ID} | asked)
    assert response.status_code == status, response.text
    return response.json()


# Who may ask


@pytest.mark.parametrize("host", ["127.0.0.1:9229", "localhost:9229", "pools.localhost", "[::1]:9229", "192.168.1.2"])
async def test_the_page_is_there_under_addresses_and_local_names(http: httpx.AsyncClient, host: str) -> None:
    response = await http.get("/", headers={"Host": host})

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "{{nonce}}" not in response.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9229", "", "[::1"])
@pytest.mark.parametrize("path", ["/", "/console/state"])
async def test_a_name_that_was_pointed_here_gets_nothing(http: httpx.AsyncClient, host: str, path: str) -> None:
    # What DNS rebinding looks like: to the browser, page and request are of one origin.
    headers = OWN | {"Host": host, "Origin": f"http://{host}"}
    response = await http.request("GET" if path == "/" else "POST", path, headers=headers, content=b"{}")

    assert response.status_code == 403
    assert "reader" not in response.text


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Origin": "https://evil.example"}, id="another site"),
        pytest.param({"Origin": "http://127.0.0.1:8000"}, id="another port"),
        pytest.param({"Origin": "https://127.0.0.1:9229"}, id="another scheme"),
        pytest.param({"Origin": "null"}, id="a sandbox"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, id="the browser says so"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, id="another port, the browser says so"),
        pytest.param({"Content-Type": "text/plain"}, id="a form"),
        pytest.param({"X-Cognito-Guard": None}, id="without the header of its own"),
    ],
)
@pytest.mark.parametrize("what", ["state", "token", "judge", "keys", "faults"])
async def test_pages_of_another_origin_get_nothing_and_change_nothing(
    http: httpx.AsyncClient, local: LocalCognito, headers: dict[str, str | None], what: str
) -> None:
    before = local.jwks()
    sent = {name: value for name, value in (OWN | headers).items() if value is not None}
    body = {"pool": POOL_ID, "action": "rotate", "route": "jwks", "fault": "error", "kind": "machine"}
    response = await http.post(f"/console/{what}", headers=sent, json=body)

    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    assert (local.jwks(), local.faults.jwks) == (before, None)


@pytest.mark.parametrize("path", ["/console/state", "/console/token"])
async def test_no_browser_is_told_that_another_origin_may_ask(http: httpx.AsyncClient, path: str) -> None:
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = await http.options(path, headers=preflight | {"Access-Control-Request-Headers": "x-cognito-guard"})

    assert response.status_code == 405
    assert "access-control-allow-origin" not in response.headers


async def test_what_cognito_serves_is_for_all_origins_still(http: httpx.AsyncClient) -> None:
    response = await http.get(f"/{POOL_ID}/.well-known/jwks.json", headers={"Origin": "https://app.example"})

    assert response.headers["access-control-allow-origin"] == "*"


async def test_the_page_may_not_be_framed_or_load_anything_from_elsewhere(http: httpx.AsyncClient) -> None:
    policies = [(await http.get("/")).headers["content-security-policy"] for _ in range(2)]

    assert policies[0] != policies[1]
    assert policies[0].startswith("default-src 'none'; script-src 'nonce-")
    assert "frame-ancestors 'none'" in policies[0]
    assert "unsafe" not in policies[0]


async def test_the_console_can_be_done_without(pool_keys: PoolKeys) -> None:
    local = LocalCognito(LocalPool(keys=pool_keys), console=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url=HERE) as client:
        assert (await client.get("/")).status_code == 405
        assert (await client.post("/console/state", headers=OWN, json={})).status_code == 404


# What is answered


async def test_the_state_is_all_that_there_is(http: httpx.AsyncClient, local: LocalCognito) -> None:
    await http.get(f"/{POOL_ID}/.well-known/jwks.json")
    local.faults.token = Fault(delay=1.5)

    state = await ask(http, "state")

    (pool,) = state["pools"]
    assert (pool["id"], pool["issuer"]) == (POOL_ID, local.pool.issuer)
    assert pool["resource_servers"] == {"orders": {"order.read": "Read orders"}}
    assert pool["clients"] == [
        {
            "id": "reader",
            "name": "reader",
            "scopes": ["orders/order.read"],
            "secrets": ["reader_" * 4],
            "access_token_validity": 3600,
        }
    ]
    assert {key["signs"]: key["published"] for key in pool["keys"]} == {"access tokens": True, "ID tokens": True}
    assert state["faults"] == {"jwks": "none", "token": "other"}
    assert [(seen["method"], seen["status"]) for seen in state["requests"]] == [("GET", 200)]


async def test_its_own_requests_are_no_traffic(http: httpx.AsyncClient, local: LocalCognito) -> None:
    await http.get("/")
    await ask(http, "state")

    assert local.requests == ()


@pytest.mark.parametrize(
    ("asked", "claims"),
    [
        pytest.param({"kind": "machine", "scopes": ["a/b"]}, {"scope": "a/b", "token_use": "access"}, id="machine"),
        pytest.param(
            {"kind": "user", "username": "jane", "groups": ["admins"]},
            {"username": "jane", "cognito:groups": ["admins"], "token_use": "access"},
            id="user",
        ),
        pytest.param({"kind": "id"}, {"cognito:username": "somebody", "token_use": "id"}, id="ID token"),
    ],
)
async def test_tokens_of_each_kind_are_to_be_had(
    http: httpx.AsyncClient, local: LocalCognito, asked: dict[str, Any], claims: dict[str, Any]
) -> None:
    token = (await ask(http, "token", client_id="reader", **asked))["token"]

    assert claims.items() <= claims_of(token).items()


async def test_keys_are_changed_and_each_change_is_told_of(pool_keys: PoolKeys) -> None:
    changes: list[str] = []
    pool = LocalPool(POOL_ID, keys=pool_keys)
    local = LocalCognito(pool, on_change=lambda: changes.append(pool.keys.access.kid))
    old = pool.keys.access
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url=HERE) as client:
        await ask(client, "keys", action="rotate")
        await ask(client, "keys", action="withdraw", kid=old.kid)
        new = pool.keys.access
        await ask(client, "keys", action="replace", kid=new.kid)
        states = (await ask(client, "state"))["pools"][0]["keys"]

    assert changes == [new.kid] * 3
    assert pool.keys.access.kid == new.kid
    assert pool.keys.access is not new
    assert old.kid not in {key["kid"] for key in states}


async def test_a_key_that_signs_without_being_published_is_shown(http: httpx.AsyncClient, local: LocalCognito) -> None:
    await ask(http, "keys", action="withdraw", kid=local.pool.keys.access.kid)
    keys = (await ask(http, "state"))["pools"][0]["keys"]

    assert {key["signs"]: key["published"] for key in keys} == {"access tokens": False, "ID tokens": True}


async def test_keys_that_were_rotated_out_sign_nothing_new(http: httpx.AsyncClient, local: LocalCognito) -> None:
    local.pool.rotate(PoolKeys(local.pool.keys.access, SigningKey()))
    keys = (await ask(http, "state"))["pools"][0]["keys"]

    assert [key["signs"] for key in keys].count("nothing new") == 1


async def test_faults_are_switched_on_and_off(http: httpx.AsyncClient, local: LocalCognito) -> None:
    await ask(http, "faults", route="token", fault="hangs")
    assert local.faults.token == Fault(hangs=True)
    assert (await ask(http, "state"))["faults"]["token"] == "hangs"

    await ask(http, "faults", route="token", fault="none")
    assert local.faults.token is None


@pytest.mark.parametrize(
    ("what", "asked"),
    [
        pytest.param("token", {"pool": "eu-west-1_Nowhere00"}, id="no such pool"),
        pytest.param("token", {"kind": "golden", "client_id": "reader"}, id="no such kind"),
        pytest.param("token", {"kind": "machine", "client_id": 1}, id="a client id that is no string"),
        pytest.param("token", {"kind": "machine", "scopes": "a/b"}, id="scopes that are no list"),
        pytest.param("keys", {"action": "polish"}, id="no such action"),
        pytest.param("keys", {"action": "withdraw", "kid": "none"}, id="no such key"),
        pytest.param("faults", {"route": "jwks", "fault": "smoke"}, id="no such fault"),
        pytest.param("faults", {"route": "_sleep", "fault": "none"}, id="no such route"),
    ],
)
async def test_what_can_not_be_done_is_said(http: httpx.AsyncClient, what: str, asked: dict[str, Any]) -> None:
    assert (await ask(http, what, status=400, **asked))["error"]


@pytest.mark.parametrize(("body", "status"), [(b"{", 400), (b"[]", 400), (b"\xff", 400), (b"[" * 50_000, 400)])
async def test_a_body_that_is_no_object_is_refused(http: httpx.AsyncClient, body: bytes, status: int) -> None:
    assert (await http.post("/console/state", headers=OWN, content=body)).status_code == status


async def statuses_after(local: LocalCognito, *messages: Message) -> list[int]:
    """What is answered to a request for the state whose body comes as *messages*."""
    coming, sent = list(messages), []

    async def receive() -> Message:
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(name.lower().encode(), value.encode()) for name, value in (OWN | {"Host": HERE[7:]}).items()]
    scope = {"type": "http", "method": "POST", "scheme": "http", "path": "/console/state", "headers": headers}
    await local(scope | {"query_string": b""}, receive, send)
    return [message["status"] for message in sent if "status" in message]


@pytest.mark.parametrize(("size", "status"), [(64 * 1024, 200), (64 * 1024 + 1, 413)])
async def test_a_body_of_over_64_kib_is_not_read(local: LocalCognito, size: int, status: int) -> None:
    assert await statuses_after(local, {"type": "http.request", "body": b"{}".ljust(size)}) == [status]


async def test_somebody_who_leaves_is_not_answered(local: LocalCognito) -> None:
    assert await statuses_after(local, {"type": "http.disconnect"}) == []


class NotingKey(SigningKey):
    """Notes when it is made, in place of being made."""

    made: ClassVar[list[str]] = []

    def prepare(self) -> None:
        self.made.append(self.kid)


async def test_keys_are_made_before_the_first_request() -> None:
    local = LocalCognito(LocalPool(keys=PoolKeys(NotingKey(kid="access"), NotingKey(kid="identity"))))
    messages = iter(["lifespan.startup", "lifespan.shutdown"])
    made_when: dict[str, set[str]] = {}

    async def receive() -> Message:
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        made_when[message["type"]] = set(NotingKey.made)

    NotingKey.made.clear()
    await local({"type": "lifespan", "state": {}}, receive, send)

    assert made_when["lifespan.startup.complete"] == {"access", "identity"}


# How a token is judged


def claims_of(token: str) -> dict[str, Any]:
    import jwt  # noqa: PLC0415 - for this alone

    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def outcomes(pool: LocalPool, token: str) -> dict[str, str | None]:
    """The checks that were not passed, with their reasons; None for those that are open."""
    return {check.name: check.reason for check in await judge(pool, token) if check.outcome != "passed"}


async def test_a_good_token_passes_every_check(local: LocalCognito) -> None:
    checks = await judge(local.pool, local.mint())

    assert [check.name for check in checks] == [
        *("shape", "header", "issuer", "token use", "client", "expiry", "other claims", "key", "signature")
    ]
    assert await outcomes(local.pool, local.mint()) == {}


@pytest.mark.parametrize("name", HOSTILE_TOKENS)
async def test_a_hostile_token_fails_first_for_the_reason_it_states(
    guard_free_double: Double, pool_keys: PoolKeys, name: str
) -> None:
    hostile = HostileTokens(guard_free_double, PoolKeys())[name]
    checks = await judge(guard_free_double.local, hostile.token)

    failed = [check for check in checks if check.outcome == "failed"]
    assert failed[0].reason == hostile.reason
    assert failed[0].description


@pytest.fixture
def guard_free_double(local: LocalCognito, pool_keys: PoolKeys) -> Double:
    return Double(local.user_pool(), pool_keys, local.pool.clock)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"client_id": "x", "lifetime": -1}, {"client": "claim_client_id", "expiry": "expired"}, id="two"),
        pytest.param(
            {"iss": "https://elsewhere.example", "lifetime": -1},
            {"issuer": "claim_iss", "expiry": "expired"},
            id="another issuer, expired",
        ),
        pytest.param(
            {"nbf": 10**11, "lifetime": -1},
            {"other claims": "claim_nbf", "expiry": "expired"},
            id="not before, and expired",
        ),
        pytest.param(
            {"scope": 7, "nbf": 10**11},
            {"other claims": "claim_nbf", "key": None, "signature": None},
            id="two of one kind",
        ),
        pytest.param({"scope": 7}, {"other claims": "claim_scope", "key": None, "signature": None}, id="scope"),
        pytest.param({"headers": {"kid": "other"}}, {"key": "unknown_key", "signature": None}, id="kid"),
    ],
)
async def test_what_else_is_wrong_is_found_as_well(
    local: LocalCognito, changes: dict[str, Any], expected: dict[str, str | None]
) -> None:
    assert await outcomes(local.pool, local.mint(**changes)) == expected


@pytest.mark.parametrize("issuer", [None, 7, "no URL", "https://cognito.example/"])
async def test_after_an_issuer_that_no_guard_could_have_all_is_open(local: LocalCognito, issuer: object) -> None:
    found = await outcomes(local.pool, local.mint(iss=issuer))

    assert found.pop("issuer") == "claim_iss"
    assert set(found.values()) == {None}
    assert len(found) == 6


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "a.W10.c", "a." + "W1" * 5000, "a.gA.c"])
async def test_no_token_at_all_fails_at_its_shape(local: LocalCognito, token: str) -> None:
    assert (await judge(local.pool, token))[0].outcome == "failed"


async def test_without_published_keys_there_is_none_to_judge_with(local: LocalCognito) -> None:
    for kid in [key["kid"] for key in local.jwks()["keys"]]:
        local.pool.withdraw(kid)

    assert await outcomes(local.pool, local.mint()) == {"key": "keys_unavailable", "signature": None}


async def test_a_pool_without_clients_has_none_that_is_right(pool_keys: PoolKeys) -> None:
    pool = LocalPool(POOL_ID, keys=pool_keys)

    assert await outcomes(pool, pool.mint(client_id="x")) == {"client": "claim_client_id"}


async def test_the_page_is_given_what_was_found(http: httpx.AsyncClient, local: LocalCognito) -> None:
    checks = (await ask(http, "judge", token=local.mint(lifetime=-1)))["checks"]

    assert json.dumps(checks[5]) == json.dumps(
        {"name": "expiry", "outcome": "failed", "reason": "expired", "description": "The access token has expired."}
    )
