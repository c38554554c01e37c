"""How the console judges a token: every check of a guard, what was found and what is expected."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cognito_guard.local import LocalCognito, LocalPool, PoolKeys
from cognito_guard.local._judge import Check, judge
from cognito_guard.local._unverified import claims_of
from cognito_guard.testing import HOSTILE_TOKENS
from cognito_guard.testing._double import Double
from cognito_guard.testing._hostile import HostileTokens

pytestmark = pytest.mark.anyio

POOL_ID = "eu-central-1_AbCdEf123"


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
    guard_free_double: Double, pool_keys: PoolKeys, name: str, new_keys: Callable[[], PoolKeys]
) -> None:
    hostile = HostileTokens(guard_free_double, new_keys())[name]
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
async def test_further_flaws_are_found_too(
    local: LocalCognito, changes: dict[str, Any], expected: dict[str, str | None]
) -> None:
    assert await outcomes(local.pool, local.mint(**changes)) == expected


@pytest.mark.parametrize("issuer", [None, 7, "no URL", "https://cognito.example/"])
async def test_after_an_issuer_that_no_guard_could_have_all_checks_are_open(
    local: LocalCognito, issuer: object
) -> None:
    found = await outcomes(local.pool, local.mint(iss=issuer))

    assert found.pop("issuer") == "claim_iss"
    assert set(found.values()) == {None}
    assert len(found) == 6


@pytest.mark.parametrize("token", ["", "a", "a.b.c", "a.W10.c", "a." + "W1" * 5000, "a.gA.c"])
async def test_an_empty_token_fails_at_its_form(local: LocalCognito, token: str) -> None:
    assert (await judge(local.pool, token))[0].outcome == "failed"


async def test_without_published_keys_the_key_is_not_found(local: LocalCognito) -> None:
    for kid in [key["kid"] for key in local.jwks()["keys"]]:
        local.pool.withdraw(kid)

    assert await outcomes(local.pool, local.mint()) == {"key": "keys_unavailable", "signature": None}


async def test_a_pool_without_clients_accepts_no_client(pool_keys: PoolKeys) -> None:
    pool = LocalPool(POOL_ID, keys=pool_keys)

    assert await outcomes(pool, pool.mint(client_id="x")) == {"client": "claim_client_id"}


# What was found, and what is expected


@pytest.fixture
def still(pool_keys: PoolKeys) -> LocalPool:
    """A pool whose clock stands still."""
    pool = LocalPool(POOL_ID, keys=pool_keys, clock=lambda: 1_800_000_000.0)
    pool.add_resource_server("orders", {"order.read": "Read orders"})
    for name in ("reader", "writer"):
        pool.add_client(name=name, client_id=name, scopes=["orders/order.read"])
    return pool


def b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


HEADER = '{"alg": "RS256", "kid": "k"}'
_ISSUERS = (
    f'"https://cognito-idp.eu-central-1.amazonaws.com/{POOL_ID}" or '
    f'"https://issuer-cognito-idp.eu-central-1.amazonaws.com/{POOL_ID}"'
)
_NOW = "1800000000 (2027-01-15 08:00:00 UTC)"
_PARTS = "three parts in base64url: a JSON header with the name of a key (kid), JSON claims, and a signature"
_SECONDS = "a number of seconds since 1970"


@pytest.mark.parametrize(
    ("changes", "found", "expected"),
    [
        pytest.param({"headers": {"alg": "none"}}, '"none"', '"RS256"', id="alg"),
        pytest.param({"headers": {"alg": None}}, "missing", '"RS256"', id="no alg"),
        pytest.param({"headers": {"crit": ["b64"]}}, '["b64"]', "no crit in the header", id="crit"),
        pytest.param({"headers": {"kid": None}}, "kid: missing", _PARTS, id="no kid"),
        pytest.param({"headers": {"kid": 7}}, "kid: 7", _PARTS, id="a kid that is no string"),
        pytest.param({"headers": {"kid": ""}}, 'kid: ""', _PARTS, id="an empty kid"),
        pytest.param({"iss": "https://a.example"}, '"https://a.example"', _ISSUERS, id="iss"),
        pytest.param({"iss": None}, "missing", _ISSUERS, id="no iss"),
        pytest.param({"token_use": "id"}, '"id"', '"access"', id="token_use"),
        pytest.param({"client_id": "x"}, '"x"', '"reader" or "writer"', id="client"),
        pytest.param({"client_id": "\ud800"}, '"\\ud800"', '"reader" or "writer"', id="half a surrogate pair"),
        pytest.param({"client_id": "x" * 300}, '"' + "x" * 199 + "…", '"reader" or "writer"', id="a long value"),
        pytest.param({"lifetime": 0}, _NOW, f"later than {_NOW}", id="expired"),
        pytest.param({"exp": -1}, "-1", f"later than {_NOW}", id="expired before 1970"),
        pytest.param({"exp": "soon"}, '"soon"', _SECONDS, id="exp"),
        pytest.param(
            {"nbf": 1_800_000_001}, "1800000001 (2027-01-15 08:00:01 UTC)", f"not later than {_NOW}", id="nbf"
        ),
        pytest.param({"nbf": 253_402_300_800}, "253402300800", f"not later than {_NOW}", id="nbf in the year 10000"),
        pytest.param({"nbf": True}, "true", f"not later than {_NOW}", id="nbf that is no number"),
        pytest.param({"iat": "x"}, '"x"', _SECONDS, id="iat"),
        pytest.param({"scope": ["a"]}, '["a"]', "a string: scopes separated by single spaces", id="scope"),
        pytest.param({"sub": 1}, "1", "a string", id="sub"),
        pytest.param({"username": {}}, "{}", "a string", id="username"),
        pytest.param({"jti": False}, "false", "a string", id="jti"),
        pytest.param({"cognito:groups": "admins"}, '"admins"', "a list of strings", id="groups"),
    ],
)
async def test_a_failed_check_shows_what_was_found_and_what_is_expected(
    still: LocalPool, changes: dict[str, Any], found: str, expected: str
) -> None:
    (check, *_) = [check for check in await judge(still, still.mint(**changes)) if check.outcome == "failed"]

    assert (check.found, check.expected) == (found, expected)


@pytest.mark.parametrize(
    ("token", "found"),
    [
        pytest.param("", "1 part", id="nothing"),
        pytest.param("a.b", "2 parts", id="two parts"),
        pytest.param("a.b.c.d", "4 parts", id="four parts"),
        pytest.param("a.b.c", "a header that is not a JSON object in base64url", id="no header"),
        pytest.param(
            f"{b64('[]')}.b.c", "a header that is not a JSON object in base64url", id="a header that is a list"
        ),
        pytest.param(f"{b64(HEADER)}.b.c", "claims that are not a JSON object in base64url", id="no claims"),
        pytest.param(
            f"{b64(HEADER)}.{b64('{}')}.=",
            "a part that is not base64url without padding",
            id="padding",
        ),
    ],
)
async def test_text_that_is_not_a_token_is_described(still: LocalPool, token: str, found: str) -> None:
    check = (await judge(still, token))[0]

    assert (check.found, check.expected) == (found, _PARTS)


@pytest.mark.parametrize(("length", "reason"), [(8192, "malformed"), (8193, "oversized")])
async def test_for_a_long_token_the_limit_is_shown(still: LocalPool, length: int, reason: str) -> None:
    check = (await judge(still, "x" * length))[0]

    assert check.reason == reason
    if reason == "oversized":
        assert (check.found, check.expected) == ("8193 characters", "at most 8192 characters")


async def test_known_keys_are_named_if_none_fits(still: LocalPool) -> None:
    published = [f'"{key.kid}"' for key in still.published]
    unknown = [check for check in await judge(still, still.mint(headers={"kid": "k"})) if check.outcome == "failed"]
    signature = [check for check in await judge(still, still.mint() + "AAAA") if check.outcome == "failed"]
    token = still.mint()
    for key in still.published:
        still.withdraw(key.kid)
    none = [check for check in await judge(still, token) if check.outcome == "failed"]

    assert [(check.found, check.expected) for check in unknown] == [('"k"', " or ".join(published))]
    assert [(check.found, check.expected) for check in signature] == [
        ("a signature that does not match", f'one made with the key "{still.keys.access.kid}"')
    ]
    assert [(check.found, check.expected) for check in none] == [("no published key", "at least one published key")]


async def test_an_issuer_of_the_pools_own_is_the_one_expected(pool_keys: PoolKeys) -> None:
    pool = LocalPool(POOL_ID, issuer="http://cognito:9229", keys=pool_keys)
    checks = await judge(pool, pool.mint(client_id="x", iss="https://a.example"))

    assert (checks[2].found, checks[2].expected) == ('"https://a.example"', '"http://cognito:9229"')
    assert checks[4].expected == "a client of this user pool, which has none"
    assert [check.outcome for check in await judge(pool, pool.mint(client_id="x"))][2] == "passed"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)
_NAMES = ("iss", "token_use", "client_id", "exp", "nbf", "iat", "scope", "sub", "username", "jti", "cognito:groups")


@settings(max_examples=settings().max_examples * 3 // 5)
@given(changes=st.dictionaries(st.sampled_from(_NAMES), _JSON | st.integers(-(10**400), 10**400), max_size=4))
@example(changes={"nbf": 10**400})
@example(changes={"exp": -(10**400)})
@example(changes={"nbf": float("inf")})
@example(changes={"nbf": 10**15 - 1, "exp": 10**15 - 1})
@example(changes={"iss": "http://["})
def test_any_token_gets_a_result(pool_keys: PoolKeys, changes: dict[str, Any]) -> None:
    pool = LocalPool(POOL_ID, keys=pool_keys)
    pool.add_client(name="x", client_id="x", scopes=["openid"], allowed_flows=["code"])
    claims = (claims_of(pool.mint()) or {}) | changes

    async def judged() -> list[Check]:
        return await judge(pool, pool.sign(claims))

    assert len(anyio.run(judged)) == 9
