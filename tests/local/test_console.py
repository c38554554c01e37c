"""The console over HTTP: which requests are allowed, and how they are answered."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import anyio
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from cognito_guard import UserPool
from cognito_guard.local import Fault, LocalCognito, LocalPool, PoolKeys, SigningKey
from cognito_guard.local._flaws import FLAWS
from cognito_guard.local._judge import judge
from cognito_guard.local._key_history import KeyHistory

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:9229"
OWN = {"X-Cognito-Guard": "console", "Content-Type": "application/json", "Origin": HERE}
POOL_ID = "eu-central-1_AbCdEf123"


def claims_of(token: str) -> dict[str, Any]:
    import jwt  # noqa: PLC0415 - for this alone

    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


async def outcomes(pool: LocalPool, token: str) -> dict[str, str | None]:
    """The checks that were not passed, with their reasons; None for those that are open."""
    return {check.name: check.reason for check in await judge(pool, token) if check.outcome != "passed"}


async def ask(http: httpx.AsyncClient, what: str, *, status: int = 200, **asked: Any) -> Any:
    response = await http.post(f"/console/{what}", headers=OWN, json={"pool": POOL_ID} | asked)
    assert response.status_code == status, response.text
    return response.json()


# What is answered


async def test_the_state_has_everything_that_the_page_shows(http: httpx.AsyncClient, local: LocalCognito) -> None:
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
            "machine": True,
        }
    ]
    assert pool["undo"] is None
    assert {key["signs"]: key["published"] for key in pool["keys"]} == {"access tokens": True, "ID tokens": True}
    assert state["faults"] == {
        "jwks": {"name": "none", "label": "Works"},
        "token": {"name": "other", "label": "Answers after 1.5 s"},
    }
    assert [(seen["method"], seen["status"], seen["reason"]) for seen in state["requests"]] == [("GET", 200, None)]
    assert state["choices"]["faults"]["slow"] == "Answers after 2 s"
    assert state["choices"]["flaws"]["none_algorithm"] == "Not signed (alg none)"


async def test_why_a_request_was_refused_is_shown(http: httpx.AsyncClient) -> None:
    data = {"grant_type": "client_credentials", "scope": "orders/nope"}
    await http.post("/oauth2/token", auth=("reader", "reader_" * 4), data=data)

    (seen,) = (await ask(http, "state"))["requests"]
    assert (seen["status"], seen["client_id"]) == (400, "reader")
    assert "orders/nope" in seen["reason"]


async def test_clients_for_users_and_for_machines_are_distinguished(
    http: httpx.AsyncClient, local: LocalCognito
) -> None:
    local.pool.add_client(name="page", scopes=["openid"], secrets=(), allowed_flows=["code"])

    clients = (await ask(http, "state"))["pools"][0]["clients"]
    assert [(client["name"], client["machine"], client["secrets"]) for client in clients[1:]] == [("page", False, [])]


@pytest.mark.parametrize("issuer", [None, "https://issuer.example/own", "self"])
async def test_the_environment_of_an_api_is_ready_to_copy(pool_keys: PoolKeys, issuer: str | None) -> None:
    pool = LocalPool(POOL_ID, issuer=issuer, keys=pool_keys)
    for name in ("reader", "writer"):
        pool.add_client(client_id=name, scopes=["openid"], allowed_flows=["code"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(LocalCognito(pool)), base_url=HERE) as http:
        (state,) = (await ask(http, "state", url=HERE))["pools"]
    configured = UserPool.from_env(state["environment"])

    assert configured.client_ids == frozenset({"reader", "writer"})
    assert configured.jwks_urls == (f"{HERE}/{POOL_ID}/.well-known/jwks.json",)
    assert configured.token_url == f"{HERE}/oauth2/token"
    assert configured.issuer == pool.issuer


async def test_its_own_requests_are_not_recorded(http: httpx.AsyncClient, local: LocalCognito) -> None:
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
async def test_tokens_of_each_kind_can_be_made(
    http: httpx.AsyncClient, local: LocalCognito, asked: dict[str, Any], claims: dict[str, Any]
) -> None:
    token = (await ask(http, "token", client_id="reader", **asked))["token"]

    assert claims.items() <= claims_of(token).items()


@pytest.mark.parametrize("kind", ["machine", "user"])
async def test_a_token_with_no_scope_ticked_has_no_scope(http: httpx.AsyncClient, kind: str) -> None:
    none = (await ask(http, "token", client_id="reader", kind=kind, scopes=[]))["token"]
    unsaid = (await ask(http, "token", client_id="reader", kind=kind))["token"]

    assert "scope" not in claims_of(none)
    assert claims_of(unsaid)["scope"]


@pytest.mark.parametrize("lifetime", [1, 60, 10 * 365 * 86_400])
@pytest.mark.parametrize("kind", ["machine", "user", "id"])
async def test_a_token_lives_as_long_as_was_chosen(http: httpx.AsyncClient, kind: str, lifetime: int) -> None:
    claims = claims_of((await ask(http, "token", client_id="reader", kind=kind, lifetime=lifetime))["token"])

    assert claims["exp"] - claims["iat"] == lifetime


@pytest.mark.parametrize("lifetime", [0, -1, 10 * 365 * 86_400 + 1, True, 60.0, "60", [], 10**30])
async def test_a_lifetime_that_is_not_a_number_of_seconds_is_refused(http: httpx.AsyncClient, lifetime: object) -> None:
    answer = await ask(http, "token", status=400, client_id="reader", kind="machine", lifetime=lifetime)

    assert answer["error"] == "lifetime must be a whole number of seconds, 1 to 315360000."


@pytest.mark.parametrize("kind", ["machine", "user"])
@pytest.mark.parametrize("flaw", FLAWS)
async def test_a_token_with_a_flaw_is_refused_only_for_that_flaw(
    http: httpx.AsyncClient, local: LocalCognito, kind: str, flaw: str
) -> None:
    token = (await ask(http, "token", client_id="reader", kind=kind, flaw=flaw, username="jane"))["token"]
    failed = [check.reason for check in await judge(local.pool, token) if check.outcome == "failed"]

    assert failed == [FLAWS[flaw].reason]


async def test_a_flaw_goes_with_chosen_scopes_and_client(http: httpx.AsyncClient) -> None:
    token = (await ask(http, "token", client_id="x", kind="machine", flaw="expired", scopes=["a/b"], lifetime=9))[
        "token"
    ]

    claims = claims_of(token)
    assert (claims["scope"], claims["client_id"]) == ("a/b", "x")
    assert claims["exp"] < claims["auth_time"] + 2 * 3600


@pytest.mark.parametrize("flaw", ["not_yet_valid", "wrong_issuer", "none_algorithm", "unknown_key"])
async def test_apart_from_its_flaw_a_token_says_what_was_chosen(http: httpx.AsyncClient, flaw: str) -> None:
    token = (await ask(http, "token", client_id="x", kind="machine", flaw=flaw, scopes=["a/b"], lifetime=9))["token"]

    claims = claims_of(token)
    assert (claims["scope"], claims["client_id"], claims["exp"] - claims["iat"]) == ("a/b", "x", 9)


def test_the_flaws_are_the_ones_that_people_look_for() -> None:
    assert [*FLAWS] == [
        *("expired", "not_yet_valid", "wrong_issuer", "wrong_client", "tampered", "none_algorithm", "unknown_key")
    ]


# Clients and scopes


async def test_a_client_that_was_added_gets_tokens(pool_keys: PoolKeys) -> None:
    changes: list[int] = []
    pool = LocalPool(POOL_ID, keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders", "order.write": "Place orders"})
    local = LocalCognito(pool, on_change=lambda: changes.append(len(pool.clients)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url=HERE) as http:
        wanted: dict[str, Any] = {"name": "writer", "scopes": ["orders/order.write"], "access_token_validity": 300}
        client_id = (await ask(http, "clients", **wanted))["client_id"]
        (client,) = (await ask(http, "state"))["pools"][0]["clients"]
        answer = await http.post(
            "/oauth2/token", auth=(client_id, client["secrets"][0]), data={"grant_type": "client_credentials"}
        )

    assert changes == [1]
    assert (client["name"], client["scopes"]) == ("writer", ["orders/order.write"])
    assert answer.json()["expires_in"] == 300
    assert claims_of(answer.json()["access_token"])["scope"] == "orders/order.write"


async def test_tokens_of_a_client_are_valid_for_an_hour_by_default(
    http: httpx.AsyncClient, local: LocalCognito
) -> None:
    client_id = (await ask(http, "clients", name="x", scopes=["orders/order.read"]))["client_id"]

    client = local.pool.find_client(client_id)
    assert client
    assert client.access_token_validity == 3600


@pytest.mark.parametrize("identifier", ["orders", "https://api.example/stock"])
async def test_an_added_scope_is_kept_beside_the_old_ones(pool_keys: PoolKeys, identifier: str) -> None:
    changes: list[tuple[str, ...]] = []
    pool = LocalPool(POOL_ID, keys=pool_keys)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    pool.add_client(name="reader", client_id="reader", scopes=["orders/order.read"])
    local = LocalCognito(pool, on_change=lambda: changes.append(pool.scopes))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url=HERE) as http:
        added = await ask(http, "scopes", identifier=identifier, name="count", description="Count")
        await ask(http, "scopes", identifier=identifier, name="plain")
        (state,) = (await ask(http, "state"))["pools"]

    assert added == {"scope": f"{identifier}/count"}
    assert {f"{identifier}/count": "Count", f"{identifier}/plain": "plain", "orders/order.read": "Read orders"} == {
        f"{server}/{name}": text
        for server, scopes in state["resource_servers"].items()
        for name, text in scopes.items()
    }
    assert [len(scopes) for scopes in changes] == [2, 3]
    assert state["clients"][0]["scopes"] == ["orders/order.read"]


@pytest.mark.parametrize("name", ["order.read", "", "a/b", "a b", "ü"])
async def test_a_scope_that_cognito_would_not_accept_changes_nothing(
    http: httpx.AsyncClient, local: LocalCognito, name: str
) -> None:
    assert (await ask(http, "scopes", status=400, identifier="orders", name=name))["error"]

    assert local.pool.scopes == ("orders/order.read",)


# Keys


async def test_each_change_of_keys_is_reported(pool_keys: PoolKeys) -> None:
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


async def test_a_signing_key_is_not_confused_with_a_published_one_of_the_same_name(pool_keys: PoolKeys) -> None:
    other = SigningKey(kid=pool_keys.access.kid)
    pool = LocalPool(POOL_ID, keys=pool_keys, published=[other, pool_keys.identity])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(LocalCognito(pool)), base_url=HERE) as http:
        keys = (await ask(http, "state"))["pools"][0]["keys"]

    assert {key["signs"]: key["published"] for key in keys} == {"access tokens": False, "ID tokens": True}


async def test_keys_that_were_rotated_out_sign_nothing_new(http: httpx.AsyncClient, local: LocalCognito) -> None:
    local.pool.rotate(PoolKeys(local.pool.keys.access, SigningKey()))
    keys = (await ask(http, "state"))["pools"][0]["keys"]

    assert [key["signs"] for key in keys].count("nothing new") == 1


@pytest.mark.parametrize("action", ["withdraw", "replace", "rotate"])
@pytest.mark.parametrize("use", ["access", "identity"])
async def test_a_change_of_a_key_can_be_undone(pool_keys: PoolKeys, action: str, use: str) -> None:
    changes: list[str] = []
    pool = LocalPool(POOL_ID, keys=pool_keys)
    pool.add_client(name="reader", client_id="reader", scopes=["openid"], allowed_flows=["code"])
    local = LocalCognito(pool, on_change=lambda: changes.append(action))
    token, before = pool.mint(), pool.jwks()
    kid = getattr(pool.keys, use).kid
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url=HERE) as http:
        await ask(http, "keys", action=action, kid=kid)
        done = (await ask(http, "state"))["pools"][0]["undo"]
        assert pool.jwks() != before
        await ask(http, "keys", action="undo")
        rest = (await ask(http, "state"))["pools"][0]["undo"]

    assert (kid in done, rest) == (action != "rotate", None)
    assert (pool.jwks(), pool.keys) == (before, pool_keys)
    assert await outcomes(pool, token) == {}
    assert changes == [action] * 2


async def test_changes_are_undone_one_after_the_other(http: httpx.AsyncClient, local: LocalCognito) -> None:
    before = local.jwks()
    for key in before["keys"]:
        await ask(http, "keys", action="withdraw", kid=key["kid"])
    assert local.jwks() == {"keys": []}

    await ask(http, "keys", action="undo")
    assert len(local.jwks()["keys"]) == 1
    await ask(http, "keys", action="undo")
    assert local.jwks() == before
    assert "nothing to undo" in (await ask(http, "keys", status=400, action="undo"))["error"]


async def test_nothing_is_undone_after_other_code_has_changed_the_keys(
    http: httpx.AsyncClient, local: LocalCognito
) -> None:
    await ask(http, "keys", action="withdraw", kid=local.pool.keys.identity.kid)
    rotated = local.pool.rotate(PoolKeys(SigningKey(), SigningKey()))

    assert (await ask(http, "state"))["pools"][0]["undo"] is None
    assert (await ask(http, "keys", status=400, action="undo"))["error"]
    assert local.pool.keys is rotated


async def test_a_failed_change_cannot_be_undone(http: httpx.AsyncClient) -> None:
    await ask(http, "keys", status=400, action="withdraw", kid="none")

    assert (await ask(http, "state"))["pools"][0]["undo"] is None


def test_the_last_50_changes_are_remembered(pool_keys: PoolKeys) -> None:
    pool = LocalPool(POOL_ID, keys=pool_keys)
    history = KeyHistory(pool)
    for number in range(51):
        history.make(str(number), pool.rotate)

    assert history.undoable == "50"
    assert [history.undo() for _ in range(51)] == [True] * 50 + [False]
    assert len(pool.published) == 4


# Faults


async def test_faults_are_switched_on_and_off(http: httpx.AsyncClient, local: LocalCognito) -> None:
    await ask(http, "faults", route="token", fault="hangs")
    assert local.faults.token == Fault(hangs=True)
    assert (await ask(http, "state"))["faults"]["token"] == {"name": "hangs", "label": "Does not answer"}

    await ask(http, "faults", route="token", fault="none")
    assert local.faults.token is None


@pytest.mark.parametrize(
    ("fault", "label"),
    [
        (Fault(status=503, delay=0.25), "Answers 503 after 0.25 s"),
        (Fault(bad_json=True), "Answers with broken JSON"),
        (Fault(bad_json=True, status=502, delay=1), "Answers 502 with broken JSON after 1 s"),
        (Fault(hangs=True, delay=1), "Does not answer"),
    ],
)
async def test_a_fault_of_other_code_is_described(
    http: httpx.AsyncClient, local: LocalCognito, fault: Fault, label: str
) -> None:
    local.faults.jwks = fault

    assert (await ask(http, "state"))["faults"]["jwks"]["label"] == label


# What cannot be done


@pytest.mark.parametrize(
    ("what", "asked"),
    [
        pytest.param("token", {"pool": "eu-west-1_Nowhere00"}, id="no such pool"),
        pytest.param("token", {"kind": "golden", "client_id": "reader"}, id="no such kind"),
        pytest.param("token", {"kind": "machine", "client_id": 1}, id="a client id that is no string"),
        pytest.param("token", {"kind": "machine", "scopes": "a/b"}, id="scopes that are no list"),
        pytest.param("token", {"kind": "user", "groups": [1]}, id="groups that are no strings"),
        pytest.param("token", {"kind": "machine", "client_id": "x", "flaw": "smell"}, id="no such flaw"),
        pytest.param("judge", {"token": None}, id="no token"),
        pytest.param("clients", {"name": "", "scopes": ["orders/order.read"]}, id="a client without a name"),
        pytest.param("clients", {"name": "x", "scopes": []}, id="a client without scopes"),
        pytest.param("clients", {"name": "x", "scopes": ["a/b"]}, id="a client with a scope that does not exist"),
        pytest.param(
            "clients",
            {"name": "x", "scopes": ["orders/order.read"], "access_token_validity": 299},
            id="a client whose tokens live too short",
        ),
        pytest.param("scopes", {"identifier": "a b", "name": "x"}, id="an identifier with a blank"),
        pytest.param("scopes", {"identifier": "a", "name": "x", "description": "x" * 257}, id="a long description"),
        pytest.param("keys", {"action": "polish"}, id="no such action"),
        pytest.param("keys", {"action": "withdraw", "kid": "none"}, id="no such key"),
        pytest.param("faults", {"route": "jwks", "fault": "smoke"}, id="no such fault"),
        pytest.param("faults", {"route": "_sleep", "fault": "none"}, id="no such route"),
    ],
)
async def test_an_impossible_action_is_refused_with_a_reason(
    http: httpx.AsyncClient, what: str, asked: dict[str, Any]
) -> None:
    assert (await ask(http, what, status=400, **asked))["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b"[" * 50_000,
        b'{"pool": "\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
    ],
)
async def test_a_body_that_is_not_an_object_is_refused(http: httpx.AsyncClient, body: bytes) -> None:
    assert (await http.post("/console/state", headers=OWN, content=body)).status_code == 400


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
_MEMBERS = st.fixed_dictionaries(
    {"pool": st.just(POOL_ID)},
    optional={
        "action": st.sampled_from(["rotate", "withdraw", "replace", "undo"]) | _JSON,
        "kind": st.sampled_from(["machine", "user", "id"]) | _JSON,
        "flaw": st.sampled_from(["", *FLAWS]) | _JSON,
        "client_id": _JSON,
        "url": st.text() | _JSON,
        "username": _JSON,
        "groups": st.lists(st.text(), max_size=3) | _JSON,
        "scopes": st.lists(st.sampled_from(["orders/order.read"]) | st.text(), max_size=3) | _JSON,
        "lifetime": st.integers() | _JSON,
        "token": st.text() | _JSON,
        "name": st.text(min_size=1) | _JSON,
        "identifier": st.text(min_size=1) | _JSON,
        "description": st.text() | _JSON,
        "access_token_validity": st.integers() | _JSON,
        "route": st.sampled_from(["jwks", "token"]) | _JSON,
        "fault": st.sampled_from(["none", "slow", "error"]) | _JSON,
    },
)


@pytest.mark.parametrize("what", ["state", "token", "judge", "keys", "clients", "scopes", "faults"])
@settings(max_examples=settings().max_examples * 3 // 10)
@given(asked=_MEMBERS)
def test_any_request_is_answered_or_refused(pool_keys: PoolKeys, what: str, asked: dict[str, Any]) -> None:
    async def statuses() -> list[int]:
        pool = LocalPool(POOL_ID, keys=pool_keys)
        pool.add_resource_server("orders", {"order.read": "Read orders"})
        transport = httpx.ASGITransport(LocalCognito(pool))
        async with httpx.AsyncClient(transport=transport, base_url=HERE) as http:
            return [
                (await http.post(f"/console/{each}", headers=OWN, content=json.dumps(asked))).status_code
                for each in (what, "state")
            ]

    status, after = anyio.run(statuses)
    assert status in {200, 400}
    assert after in {200, 400}


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


async def test_a_caller_that_disconnects_is_not_answered(local: LocalCognito) -> None:
    assert await statuses_after(local, {"type": "http.disconnect"}) == []


class NotingKey(SigningKey):
    """Records when it would be made, instead of being made."""

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


async def test_a_pool_whose_issuer_is_its_own_url_judges_by_it(pool_keys: PoolKeys) -> None:
    pool = LocalPool(POOL_ID, issuer="self", keys=pool_keys)
    pool.add_client(client_id="reader", scopes=["openid"], allowed_flows=["code"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(LocalCognito(pool)), base_url=HERE) as http:
        token = (await ask(http, "token", client_id="reader", kind="machine"))["token"]
        checks = (await ask(http, "judge", token=token))["checks"]

    assert claims_of(token)["iss"] == f"{HERE}/{POOL_ID}"
    assert {check["outcome"] for check in checks} == {"passed"}


async def test_the_page_gets_what_was_found(http: httpx.AsyncClient, local: LocalCognito) -> None:
    checks = (await ask(http, "judge", token=local.mint(lifetime=-1)))["checks"]

    assert [*checks[5]] == ["name", "outcome", "reason", "description", "found", "expected"]
    assert (checks[5]["name"], checks[5]["outcome"], checks[5]["reason"]) == ("expiry", "failed", "expired")
