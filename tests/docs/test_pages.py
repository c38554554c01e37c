"""`docs/multi-tenant.md` and `docs/in-front.md`: each block of code is run."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

import example_app
from cognito_guard.local import LocalCognito, LocalPool, serving
from cognito_guard.testing import KeyRing, StandIn, stand_in

pytestmark = pytest.mark.anyio

DOCS = Path(example_app.__file__).parent.parent / "docs"
CLIENT = "7lhlkkfbfb4q5kpp90urffao"

Call = Callable[..., Awaitable[httpx.Response]]


def block(page: str, name: str) -> dict[str, Any]:
    """What the block *name* of *page* defines."""
    blocks = dict(
        re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE)
    )
    names: dict[str, Any] = {"__name__": name}
    exec(compile(blocks[name], name, "exec", dont_inherit=True), names)  # noqa: S102
    return names


@pytest.fixture(scope="module")
def keys() -> KeyRing:
    return KeyRing()


@pytest.mark.parametrize(
    ("page", "names"),
    [
        ("multi-tenant.md", ["scopes.py", "client.py", "trigger.py", "claims.py", "pools.py"]),
        ("in-front.md", ["alb.py", "cookie.py"]),
    ],
)
def test_the_tests_below_run_every_block(page: str, names: list[str]) -> None:
    text = (DOCS / page).read_text()

    assert re.findall(r"^```python\n# (.*)$", text, re.MULTILINE) == names
    assert text.count("```python") == len(names)


async def test_a_tenant_in_a_scope(keys: KeyRing, call: Call) -> None:
    names = block("multi-tenant.md", "scopes.py")

    with stand_in(names["guard"], keys=keys) as standing_in:
        token = standing_in.token("order.read", "tenants/acme")
        assert (await call(names["app"], "GET", "/acme/orders", token)).json() == ["an order of acme"]
        assert (await call(names["app"], "GET", "/globex/orders", token)).status_code == 403
        assert (await call(names["app"], "GET", "/acme/orders", standing_in.token("order.read"))).status_code == 403
        other_api = standing_in.token("tenants/acme")
        assert (await call(names["app"], "GET", "/acme/orders", other_api)).status_code == 401


def trigger(metadata: dict[str, str], client_id: str = CLIENT) -> dict[str, Any]:
    """The claims that the trigger of the page adds to the token of a client."""
    event = {
        "version": "3",
        "triggerSource": "TokenGeneration_ClientCredentials",
        "callerContext": {"clientId": client_id},
        "request": {"scopes": ["orders/order.read"], "clientMetadata": metadata},
        "response": {},
    }
    answer = block("multi-tenant.md", "trigger.py")["handler"](event, None)["response"]
    claims: dict[str, Any] = answer["claimsAndScopeOverrideDetails"]["accessTokenGeneration"]["claimsToAddOrOverride"]
    return claims


async def test_a_tenant_in_a_claim(keys: KeyRing, call: Call) -> None:
    names = block("multi-tenant.md", "claims.py")

    with stand_in(names["guard"], keys=keys) as standing_in:
        token = standing_in.token("order.read", **trigger({"tenant": "acme"}))
        assert (await call(names["app"], "GET", "/acme/orders", token)).json() == ["an order of acme"]
        assert (await call(names["app"], "GET", "/globex/orders", token)).status_code == 403
        assert (await call(names["app"], "GET", "/acme/orders", standing_in.token("order.read"))).status_code == 403


@pytest.mark.parametrize(
    ("metadata", "client_id"), [({"tenant": "umbrella"}, CLIENT), ({}, CLIENT), ({"tenant": "acme"}, "another")]
)
def test_the_trigger_refuses_a_client_that_does_not_act_for_the_tenant(
    metadata: dict[str, str], client_id: str
) -> None:
    with pytest.raises(PermissionError):
        trigger(metadata, client_id)


@pytest.mark.slow
def test_the_client_asks_for_a_tenant(pool: LocalPool) -> None:
    client = pool.add_client(scopes=["orders/order.read"])
    sent = bytearray()

    class Listening(LocalCognito):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def listen() -> Message:
                message = await receive()
                sent.extend(message.get("body", b""))
                return message

            await super().__call__(scope, listen, send)

    with serving(Listening(pool)) as url:
        get_token = block("multi-tenant.md", "client.py")["get_token"]
        token = get_token(f"{url}/oauth2/token", client.client_id, client.secrets[0].value, "acme")

    assert token.count(".") == 2
    assert json.loads(parse_qs(sent.decode())["aws_client_metadata"][0]) == {"tenant": "acme"}


def token_of(standing_in: StandIn, client_id: str) -> str:
    return standing_in.token("order.read", client_id=client_id)


async def test_a_pool_for_each_tenant(keys: KeyRing, call: Call) -> None:
    names = block("multi-tenant.md", "pools.py")

    with stand_in(names["guard"], keys=keys) as standing_in:
        acme, globex = token_of(standing_in, "1acme0client"), token_of(standing_in, "1globex0client")
        assert (await call(names["app"], "GET", "/acme/orders", acme)).status_code == 200
        assert (await call(names["app"], "GET", "/globex/orders", globex)).status_code == 200
        assert (await call(names["app"], "GET", "/globex/orders", acme)).status_code == 403
        assert (await call(names["app"], "GET", "/umbrella/orders", acme)).status_code == 403


@pytest.mark.parametrize(
    ("name", "carried"),
    [
        ("alb.py", lambda token: {"x-amzn-oidc-accesstoken": token}),
        ("cookie.py", lambda token: {"cookie": f"theme=dark; access_token={token}"}),
    ],
)
async def test_a_token_from_elsewhere_is_verified_like_any_other(
    keys: KeyRing, call: Call, name: str, carried: Callable[[str], dict[str, str]]
) -> None:
    names = block("in-front.md", name)

    with stand_in(names["guard"], keys=keys) as standing_in:
        good, hostile = standing_in.token(username="ada"), standing_in.hostile["foreign_key"].token
        assert (await call(names["app"], "GET", "/me", headers=carried(good))).json() == "hello"
        assert (await call(names["app"], "GET", "/me", headers=carried(hostile))).status_code == 401
        assert (await call(names["app"], "GET", "/me")).status_code == 401
        # The Authorization header comes first, and is not made two of.
        assert (await call(names["app"], "GET", "/me", good, headers=carried(hostile))).status_code == 200
        assert (await call(names["app"], "GET", "/me", hostile, headers=carried(good))).status_code == 401
