"""Which requests the console allows, and what it shows to nobody else."""

from __future__ import annotations

import httpx
import pytest

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys

pytestmark = pytest.mark.anyio

HERE = "http://127.0.0.1:9229"
OWN = {"X-Cognito-Guard": "console", "Content-Type": "application/json", "Origin": HERE}
POOL_ID = "eu-central-1_AbCdEf123"


@pytest.mark.parametrize("host", ["127.0.0.1:9229", "localhost:9229", "pools.localhost", "[::1]:9229", "192.168.1.2"])
async def test_the_page_is_served_at_addresses_and_local_names(http: httpx.AsyncClient, host: str) -> None:
    response = await http.get("/", headers={"Host": host})

    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert "{{nonce}}" not in response.text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9229", "", "[::1"])
@pytest.mark.parametrize("path", ["/", "/console/state"])
async def test_a_host_name_that_points_here_is_refused(http: httpx.AsyncClient, host: str, path: str) -> None:
    # DNS rebinding: for the browser, page and request have the same origin.
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
@pytest.mark.parametrize("what", ["state", "token", "judge", "keys", "clients", "scopes", "faults"])
async def test_pages_of_another_origin_get_nothing_and_change_nothing(
    http: httpx.AsyncClient, local: LocalCognito, headers: dict[str, str | None], what: str
) -> None:
    before = local.jwks(), local.pool.clients, local.pool.scopes
    sent = {name: value for name, value in (OWN | headers).items() if value is not None}
    body = {"pool": POOL_ID, "action": "rotate", "route": "jwks", "fault": "error", "kind": "machine"}
    body |= {"name": "x", "scopes": ["orders/order.read"], "identifier": "orders"}  # type: ignore[dict-item]
    response = await http.post(f"/console/{what}", headers=sent, json=body)

    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    assert (local.jwks(), local.pool.clients, local.pool.scopes) == before
    assert local.faults.jwks is None


@pytest.mark.parametrize("path", ["/console/state", "/console/token"])
async def test_no_browser_is_told_that_another_origin_may_ask(http: httpx.AsyncClient, path: str) -> None:
    preflight = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = await http.options(path, headers=preflight | {"Access-Control-Request-Headers": "x-cognito-guard"})

    assert response.status_code == 405
    assert "access-control-allow-origin" not in response.headers


async def test_cognitos_own_endpoints_stay_open_to_all_origins(http: httpx.AsyncClient) -> None:
    response = await http.get(f"/{POOL_ID}/.well-known/jwks.json", headers={"Origin": "https://app.example"})

    assert response.headers["access-control-allow-origin"] == "*"


async def test_the_page_may_not_be_framed_or_load_anything_from_elsewhere(http: httpx.AsyncClient) -> None:
    policies = [(await http.get("/")).headers["content-security-policy"] for _ in range(2)]

    assert policies[0] != policies[1]
    assert policies[0].startswith("default-src 'none'; script-src 'nonce-")
    assert "frame-ancestors 'none'" in policies[0]
    assert "require-trusted-types-for 'script'; trusted-types 'none'" in policies[0]
    assert "unsafe" not in policies[0]


async def test_the_page_is_one_file_with_style_and_scripts_that_carry_the_nonce(http: httpx.AsyncClient) -> None:
    response = await http.get("/")
    nonce = response.headers["content-security-policy"].partition("'nonce-")[2].partition("'")[0]

    assert response.text.count(f' nonce="{nonce}">') == response.text.count(" nonce=") == 2
    assert "{{" not in response.text
    assert not any(link in response.text for link in (" src=", " href=", "@import", "url(", "https://"))
    for part in (":root {", "async function ask(", "function getToken(", "function keyItem(", "function keepUp("):
        assert part in response.text


async def test_the_console_can_be_left_out(pool_keys: PoolKeys) -> None:
    local = LocalCognito(LocalPool(keys=pool_keys), console=False)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(local), base_url=HERE) as client:
        assert (await client.get("/")).status_code == 405
        assert (await client.post("/console/state", headers=OWN, json={})).status_code == 404
