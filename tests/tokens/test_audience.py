"""Which tokens are meant for this API. Each of these is good otherwise, signature included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.errors import AudienceError, ClaimError
from cognito_guard.local import LocalClient, LocalPool, PoolKeys

pytestmark = pytest.mark.anyio

MakeGuard = Callable[..., CognitoGuard]

OURS = "https://api.example.com"
OTHER = "https://other.example.com"


@pytest.fixture
def make(make_guard: MakeGuard, pool: LocalPool, reader: LocalClient) -> MakeGuard:
    """Make a guard that accepts *reader*'s tokens, for the API that options name."""

    def make(**options: Any) -> CognitoGuard:
        return make_guard(UserPool(pool.pool_id, client_ids={reader.client_id}, **options))

    return make


async def refused(guard: CognitoGuard, token: str) -> None:
    with pytest.raises(AudienceError) as caught:
        await guard.verify(token)
    error = caught.value
    assert (error.status, error.code, error.reason, error.claim) == (401, "invalid_token", "audience", "aud")


@pytest.mark.parametrize("scopes", ["orders/order.read", "billing/read orders/x", "openid orders/a orders/b"])
async def test_a_scope_of_ours_is_enough(make: MakeGuard, pool: LocalPool, scopes: str) -> None:
    guard = make(resource_servers={"orders"})

    assert (await guard.verify(pool.mint(scope=scopes))).scopes == set(scopes.split())
    assert (await guard.verify(pool.mint_user("ada", scope=scopes))).username == "ada"


@pytest.mark.parametrize(
    "scope",
    [
        "",
        "billing/read",
        "aws.cognito.signin.user.admin",
        "openid email",
        "orders",
        "/orders",
        "order.read",
        "Orders/order.read",
        "orders.eu/order.read",
        "orders/admin/order.read",
        "billing/orders/order.read",
        "\torders/order.read",
        None,
    ],
)
async def test_without_a_scope_of_ours_a_token_is_for_another_api(
    make: MakeGuard, pool: LocalPool, scope: str | None
) -> None:
    guard = make(resource_servers={"orders"})

    await refused(guard, pool.mint(scope=scope))
    await refused(guard, pool.mint_user("ada", scope=scope))


async def test_users_who_signed_in_by_api_are_refused(make: MakeGuard, pool: LocalPool) -> None:
    await refused(make(resource_servers={"orders"}), pool.mint_user("ada"))


@pytest.mark.parametrize(
    ("scope", "identifiers"),
    [
        ("https://api.example.com/read", {"https://api.example.com"}),
        ("https://api.example.com/admin/read", {"https://api.example.com/admin"}),
        ("https://api.example.com//read", {"https://api.example.com/"}),
        ("https://api.example.com/read", {"orders", "https://api.example.com"}),
    ],
)
async def test_an_identifier_may_contain_slashes(
    make: MakeGuard, pool: LocalPool, scope: str, identifiers: set[str]
) -> None:
    await make(resource_servers=identifiers).verify(pool.mint(scope=scope))


@pytest.mark.parametrize(
    "scope", ["https://api.example.com/admin/read", "https://api.example.com//read", "https://api.example.co/read"]
)
async def test_an_identifier_is_all_the_text_before_the_last_slash(
    make: MakeGuard, pool: LocalPool, scope: str
) -> None:
    await refused(make(resource_servers={"https://api.example.com"}), pool.mint(scope=scope))


@pytest.mark.parametrize("identifier", ["openid", "aws.cognito.signin.user.admin"])
async def test_a_scope_without_a_slash_is_of_no_resource_server(
    make: MakeGuard, pool: LocalPool, identifier: str
) -> None:
    await refused(make(resource_servers={identifier}), pool.mint_user("ada", scope="openid " + identifier))


@pytest.mark.parametrize("audience", [OURS, [OURS], [OTHER, OURS], "orders"])
async def test_an_audience_that_names_us_needs_no_scope(make: MakeGuard, pool: LocalPool, audience: Any) -> None:
    guard = make(resource_servers={"orders", OURS})

    await guard.verify(pool.mint_user("ada", aud=audience))


async def test_an_audience_may_be_named_beside_the_resource_servers(make: MakeGuard, pool: LocalPool) -> None:
    guard = make(resource_servers={"orders"}, audience=OURS)

    await guard.verify(pool.mint_user("ada", aud=OURS))
    await guard.verify(pool.mint_user("ada", aud="orders"))
    await guard.verify(pool.mint(scope="orders/order.read"))
    await refused(guard, pool.mint_user("ada", aud=OTHER))
    await refused(guard, pool.mint_user("ada"))


@pytest.mark.parametrize(
    "audience",
    [OTHER, [OTHER], [], "", [""], ["client", OTHER], 5, {}, {"orders": 1}, [5], [["orders"]], True, "order"],
)
async def test_an_audience_that_names_another_api_outweighs_every_scope(
    make: MakeGuard, pool: LocalPool, audience: Any
) -> None:
    await refused(make(resource_servers={"orders"}), pool.mint("orders/order.read", aud=audience))


async def test_null_is_not_an_audience(make: MakeGuard, pool: LocalPool, reader: LocalClient) -> None:
    claims = {"iss": pool.issuer, "token_use": "access", "client_id": reader.client_id, "exp": 1_900_000_000}
    token = pool.sign(claims | {"scope": "orders/order.read", "aud": None})

    await refused(make(resource_servers={"orders"}), token)


@pytest.mark.parametrize("in_a_list", [False, True])
async def test_the_tokens_own_client_is_not_an_audience(
    make: MakeGuard, pool: LocalPool, reader: LocalClient, in_a_list: bool
) -> None:
    """A pre-token-generation trigger may set `aud` to the client id, and to nothing else: it names no API."""
    audience = [reader.client_id] if in_a_list else reader.client_id
    guard = make(resource_servers={"orders"}, audience=reader.client_id)

    await guard.verify(pool.mint("orders/order.read", aud=audience))
    await refused(guard, pool.mint("billing/read", aud=audience))
    await refused(guard, pool.mint("orders/order.read", aud=[reader.client_id, OTHER]))
    await guard.verify(pool.mint("billing/read", aud=[reader.client_id, "orders"]))


@pytest.mark.parametrize("audience", [OURS, [OTHER, OURS]])
async def test_an_audience_without_resource_servers_is_found(make: MakeGuard, pool: LocalPool, audience: Any) -> None:
    await make(audience=OURS).verify(pool.mint(aud=audience))


@pytest.mark.parametrize("audience", [None, OTHER, [], [OTHER, 5], 5, {}])
async def test_an_audience_without_resource_servers_is_required(
    make: MakeGuard, pool: LocalPool, audience: Any
) -> None:
    await refused(make(audience=OURS), pool.mint("orders/order.read", aud=audience))


async def test_an_audience_without_resource_servers_may_be_the_client(
    make: MakeGuard, pool: LocalPool, reader: LocalClient
) -> None:
    await make(audience=reader.client_id).verify(pool.mint(aud=reader.client_id))


async def test_an_audience_is_ignored_unless_configured(make: MakeGuard, pool: LocalPool) -> None:
    await make().verify(pool.mint("billing/read", aud=OTHER))


@pytest.mark.parametrize("options", [{"resource_servers": {"orders"}}, {"audience": OURS}])
async def test_a_token_for_another_api_causes_no_look_up_of_a_key(
    make: MakeGuard, pool: LocalPool, fetch: Any, options: dict[str, Any]
) -> None:
    await refused(make(**options), pool.mint("billing/read", headers={"kid": "unknown"}))

    assert fetch.calls == 0


async def test_a_claim_of_another_type_is_named_in_the_refusal(make: MakeGuard, pool: LocalPool) -> None:
    with pytest.raises(ClaimError) as caught:
        await make(resource_servers={"orders"}).verify(pool.mint(scope=["orders/order.read"]))

    assert caught.value.reason == "claim_scope"


async def test_each_pool_has_its_own_resource_servers(
    make_guard: MakeGuard, pool: LocalPool, clock: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    other = LocalPool("us-east-1_Other", keys=new_keys(), clock=clock)
    other.add_client(client_id="other", scopes=(), allowed_flows=())
    guard = make_guard(
        pool.user_pool(client_ids={"abc"}, resource_servers={"orders"}), other.user_pool(resource_servers={"billing"})
    )

    await guard.verify(pool.mint("orders/read", client_id="abc"))
    await guard.verify(other.mint("billing/read"))
    await refused(guard, pool.mint("billing/read", client_id="abc"))
    await refused(guard, other.mint("orders/read"))


names = st.sampled_from(["orders", "billing", OURS, f"{OURS}/admin"])
scopes = st.lists(st.builds("{}/{}".format, names, st.sampled_from(["read", "write"])), max_size=3)


@settings(max_examples=settings().max_examples * 3 // 5)
@given(servers=st.sets(names, min_size=1), granted=scopes, named=st.none() | names | st.lists(names, max_size=2))
async def test_the_rule_holds_for_every_mixture(
    make: MakeGuard, pool: LocalPool, servers: set[str], granted: list[str], named: Any
) -> None:
    """As the issue of a token by Cognito has it: the words of the rule, not the code, decide here."""
    guard = make(resource_servers=servers)
    token = pool.mint(scope=" ".join(granted), aud=named)
    audiences = [named] if isinstance(named, str) else named

    if audiences is None:
        meant_for_us = any(scope.rsplit("/", 1)[0] in servers for scope in granted)
    else:
        meant_for_us = any(audience in servers for audience in audiences)

    if meant_for_us:
        await guard.verify(token)
    else:
        await refused(guard, token)
