"""Faults: how long they last, which requests they affect, and how they end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from starlette.types import Message

from cognito_guard.errors import ConfigurationError
from cognito_guard.local import Fault, LocalCognito, LocalPool, PoolKeys

pytestmark = pytest.mark.anyio

JWKS = "/eu-central-1_LocalPool0/.well-known/jwks.json"
GET_JWKS = ("GET", JWKS)
POST_TOKEN = ("POST", "/oauth2/token")
GET_CLIENT_TOKEN = {"X-Amz-Target": "AWSCognitoIdentityProviderService.GetClientToken"}


class Sleeps:
    """Sleeps that take no time; `then` is called at each."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.then: Callable[[], None] = lambda: None

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        self.then()
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def sleeps() -> Sleeps:
    return Sleeps()


@pytest.fixture
def local(pool_keys: PoolKeys, sleeps: Sleeps) -> LocalCognito:
    return LocalCognito(LocalPool(keys=pool_keys), sleep=sleeps)


def http(local: LocalCognito) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url="http://local")


async def call(local: LocalCognito, method: str, path: str, *events: str) -> list[Message]:
    """Return what is sent to a client of which *events* are heard, one after the other, and then nothing more."""
    sent: list[Message] = []
    to_come = list(events)

    async def receive() -> Message:
        if not to_come:
            await anyio.sleep_forever()
        return {"type": to_come.pop(0)}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    await local(scope, receive, send)
    return sent


async def test_without_faults_nothing_waits(local: LocalCognito, sleeps: Sleeps) -> None:
    async with http(local) as client:
        assert (await client.get(JWKS)).status_code == 200
        assert (await client.post("/oauth2/token")).status_code == 405
    assert sleeps.seconds == []


@pytest.mark.parametrize(("method", "path", "status"), [(*GET_JWKS, 200), (*POST_TOKEN, 405), ("POST", "/", 400)])
async def test_a_slow_answer_is_the_usual_one(
    local: LocalCognito, sleeps: Sleeps, method: str, path: str, status: int
) -> None:
    local.faults.jwks = local.faults.token = Fault(delay=2.5)

    async with http(local) as client:
        assert (await client.request(method, path, headers=GET_CLIENT_TOKEN)).status_code == status
    assert sleeps.seconds == [2.5]


async def test_a_fault_of_tokens_does_not_affect_the_rest_of_the_aws_api(local: LocalCognito) -> None:
    local.faults.token = Fault(status=500)
    asked = {"UserPoolId": "eu-central-1_LocalPool0"}

    async with http(local) as client:
        headers = {"X-Amz-Target": "AWSCognitoIdentityProviderService.DescribeUserPool"}
        assert (await client.post("/", headers=headers, json=asked)).status_code == 200
        assert (await client.post("/", headers=GET_CLIENT_TOKEN)).status_code == 500
    assert local.requests[-1].reason == "A fault is switched on."


@pytest.mark.parametrize("status", [200, 500, 599])
async def test_a_status_comes_without_key_or_token(local: LocalCognito, status: int) -> None:
    local.faults.jwks = local.faults.token = Fault(status=status)

    async with http(local) as client:
        for method, path in (GET_JWKS, POST_TOKEN):
            response = await client.request(method, path)
            assert (response.status_code, response.json()) == (status, {"message": "A fault is switched on."})


@pytest.mark.parametrize(("fault", "status"), [(Fault(bad_json=True), 200), (Fault(bad_json=True, status=502), 502)])
async def test_bad_json_claims_to_be_json(local: LocalCognito, fault: Fault, status: int) -> None:
    local.faults.jwks = fault

    async with http(local) as client:
        response = await client.get(JWKS)

    assert (response.status_code, response.headers["content-type"]) == (status, "application/json")
    with pytest.raises(ValueError, match="Expecting"):
        response.json()


async def test_a_fault_is_of_one_route_and_a_browser_may_see_it(local: LocalCognito) -> None:
    local.faults.jwks = Fault(status=500)

    async with http(local) as client:
        assert (await client.post("/oauth2/token")).status_code == 405
        response = await client.get(JWKS, headers={"Origin": "https://app.example.com"})

    assert response.status_code == 500
    assert response.headers["access-control-allow-origin"] == "*"


async def test_cleared_faults_are_gone(local: LocalCognito) -> None:
    local.faults.jwks = local.faults.token = Fault(status=500)

    local.faults.clear()

    assert local.faults.jwks is local.faults.token is None
    async with http(local) as client:
        assert (await client.get(JWKS)).status_code == 200


@pytest.mark.parametrize(("route", "status"), [("jwks", 200), ("token", 405)])
async def test_a_request_that_hangs_is_answered_once_the_fault_is_lifted(
    local: LocalCognito, sleeps: Sleeps, route: str, status: int
) -> None:
    def lift() -> None:
        assert local.requests[0].status is None
        if len(sleeps.seconds) == 4:
            local.faults.clear()

    sleeps.then = lift
    setattr(local.faults, route, Fault(hangs=True))

    async with http(local) as client:
        response = await client.request(*(GET_JWKS if route == "jwks" else POST_TOKEN))

    assert response.status_code == local.requests[0].status == status
    assert sleeps.seconds == [0, 0.05, 0.05, 0.05]


@pytest.mark.parametrize("fault", [Fault(hangs=True), Fault(delay=3600)], ids=["hangs", "slow"])
@pytest.mark.parametrize("request_line", [GET_JWKS, POST_TOKEN], ids=["jwks", "token"])
async def test_waiting_ends_without_an_answer_when_the_client_leaves(
    pool_keys: PoolKeys, fault: Fault, request_line: tuple[str, str]
) -> None:
    local = LocalCognito(LocalPool(keys=pool_keys))
    local.faults.jwks = local.faults.token = fault

    sent = await call(local, *request_line, "http.request", "http.disconnect")

    assert sent == []
    assert local.requests[0].status is None

    local.faults.clear()
    assert await call(local, *request_line, "http.request", "http.disconnect")


async def test_waiting_ends_when_the_request_is_cancelled(local: LocalCognito, sleeps: Sleeps) -> None:
    local.faults.jwks = Fault(hangs=True)

    with anyio.CancelScope() as scope:
        sleeps.then = lambda: scope.cancel() if len(sleeps.seconds) == 3 else None
        await call(local, *GET_JWKS, "http.request")

    assert scope.cancelled_caught
    assert local.requests[0].status is None


async def test_a_client_that_leaves_in_the_middle_of_its_body_gets_no_answer(local: LocalCognito) -> None:
    assert await call(local, *POST_TOKEN, "http.disconnect") == []


@pytest.mark.parametrize(
    "settings", [{"delay": -0.1}, {"delay": math.inf}, {"delay": math.nan}, {"status": 199}, {"status": 600}]
)
def test_an_impossible_fault_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Fault(**settings)
