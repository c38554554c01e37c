"""
The guard beside two other implementations of JWT, with all the checks they have.

Whatever it accepts, they accept. Where it refuses what one of them accepts, the reason is on the list below.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any, Final

import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cognito_guard import CognitoGuard
from cognito_guard.errors import RefusalError
from cognito_guard.local import LocalPool

pytestmark = pytest.mark.anyio

Claims = dict[str, Any]
Make = Callable[[LocalPool], str]

STRICTER: Final = {
    "claim_client_id": "whose clients are welcome, only a guard of Cognito knows",
    "claim_cognito:groups": "likewise, of what type Cognito's own claims are",
    "claim_exp": "PyJWT takes text for a number, and both take one that arithmetic with fractions cannot hold",
    "claim_iat": "no condition for either, but here it becomes part of the caller, so it is a number",
    "claim_nbf": "PyJWT takes text and true for a number",
    "claim_scope": "of what type Cognito's own claims are",
    "claim_token_use": "that an ID token is no access token, only a guard of Cognito knows",
    "claim_username": "of what type Cognito's own claims are",
    "critical_header": "nothing critical is understood, a list of nothing may not be (RFC 7515 section 4.1.11)",
    "expired": "joserfc's clock shows whole seconds, and PyJWT drops the fraction of a token's time",
    "malformed": "a token has one spelling: no padding, and JSON in UTF-8 without a mark or blanks around it",
    "token_type": "RFC 7519 leaves typ to the application, and access tokens have one of three",
    "oversized": "there is a length above which nothing is looked at",
}


def by_pyjwt(token: str, pool: LocalPool) -> Claims:
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(pool.jwks()).keys}
    claims: Claims = jwt.decode(
        token,
        keys[jwt.get_unverified_header(token)["kid"]],
        algorithms=["RS256"],
        issuer=pool.issuer,
        options={
            "require": ["exp", "iss"],
            "verify_aud": False,
            # An iat ahead of the clock is no reason to refuse (RFC 7519 section 4.1.6).
            "verify_iat": False,
            "enforce_minimum_key_length": True,
        },
    )
    return claims


def by_joserfc(token: str, pool: LocalPool) -> Claims:
    jwks: Any = pool.jwks()
    claims: Claims = joserfc.jwt.decode(token, joserfc.jwk.KeySet.import_key_set(jwks), algorithms=["RS256"]).claims
    registry = joserfc.jwt.JWTClaimsRegistry(exp={"essential": True}, iss={"essential": True, "value": pool.issuer})
    registry.validate({name: value for name, value in claims.items() if name not in {"aud", "iat"}})
    return claims


ORACLES: Final = {"PyJWT": by_pyjwt, "joserfc": by_joserfc}


def accepted_by(token: str, pool: LocalPool) -> dict[str, Claims]:
    accepted = {}
    for name, oracle in ORACLES.items():
        try:
            accepted[name] = oracle(token, pool)
        except Exception:  # noqa: BLE001, S112 - whatever it stumbles over, it does not accept
            continue
    return accepted


async def check(guard: CognitoGuard, pool: LocalPool, token: str) -> None:
    others = accepted_by(token, pool)
    try:
        accepted = await guard.verify(token)
    except RefusalError as error:
        reason = error.reason
    else:
        # As text, since NaN is not equal to itself.
        assert {name: str(claims) for name, claims in others.items()} == dict.fromkeys(
            ORACLES, str(dict(accepted.claims))
        )
        return
    assert not others or reason in STRICTER, f"{reason}, but accepted by {', '.join(others)}"


@pytest.fixture
def clock() -> Callable[[], float]:
    """Shows the real time, for PyJWT knows no other, and stands still."""
    now = time.time()
    return lambda: now


def claims_of(token: str) -> Claims:
    claims: Claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(pool: LocalPool, header: bytes, payload: bytes) -> str:
    signing_input = f"{base64url(header)}.{base64url(payload)}"
    return f"{signing_input}.{base64url(pool.keys.access.sign(signing_input.encode()))}"


def with_claims(**changes: Any) -> Make:
    return lambda pool: pool.sign(claims_of(pool.mint()) | changes)


def with_header(**changes: Any) -> Make:
    return lambda pool: pool.sign(claims_of(pool.mint()), headers=changes)


def with_payload(change: Callable[[str], bytes]) -> Make:
    return lambda pool: signed(pool, header(pool), change(json.dumps(claims_of(pool.mint()))))


def header(pool: LocalPool) -> bytes:
    return json.dumps({"kid": pool.keys.access.kid, "alg": "RS256"}).encode()


NOT_NEEDED_BY_OTHERS: list[tuple[str, set[str], Make]] = [
    ("claim_client_id", {"PyJWT", "joserfc"}, with_claims(client_id="stranger")),
    ("claim_cognito:groups", {"PyJWT", "joserfc"}, with_claims(**{"cognito:groups": "admins"})),
    ("claim_exp", {"PyJWT"}, with_claims(exp="4102444800")),
    ("claim_exp", {"PyJWT", "joserfc"}, with_claims(exp=10**400)),
    ("claim_iat", {"PyJWT", "joserfc"}, with_claims(iat="yesterday")),
    ("claim_nbf", {"PyJWT"}, with_claims(nbf="1")),
    ("claim_nbf", {"PyJWT"}, with_claims(nbf=True)),
    ("claim_scope", {"PyJWT", "joserfc"}, with_claims(scope=["orders/order.read"])),
    ("claim_token_use", {"PyJWT", "joserfc"}, with_claims(token_use="id")),
    ("claim_username", {"PyJWT", "joserfc"}, with_claims(username=5)),
    ("critical_header", {"joserfc"}, with_header(crit=[])),
    ("critical_header", {"PyJWT", "joserfc"}, with_header(crit=["b64"], b64=True)),
    ("malformed", {"PyJWT"}, lambda pool: f"{pool.mint()}=="),
    ("malformed", {"PyJWT", "joserfc"}, with_payload(lambda text: f" {text}".encode())),
    ("malformed", {"PyJWT", "joserfc"}, with_payload(lambda text: f"{text}\n".encode())),
    ("malformed", {"PyJWT", "joserfc"}, with_payload(lambda text: text.encode("utf-16"))),
    ("malformed", {"PyJWT", "joserfc"}, with_payload(lambda text: text.encode("utf-8-sig"))),
    ("token_type", {"PyJWT", "joserfc"}, with_header(typ="dpop+jwt")),
    ("oversized", {"PyJWT", "joserfc"}, with_claims(filler="x" * 8192)),
]


@pytest.mark.parametrize(
    ("reason", "others", "make"),
    [pytest.param(*each, id=f"{each[0]}-{n}") for n, each in enumerate(NOT_NEEDED_BY_OTHERS)],
)
async def test_what_only_others_accept_is_refused(
    guard: CognitoGuard, pool: LocalPool, reason: str, others: set[str], make: Make
) -> None:
    token = make(pool)

    with pytest.raises(RefusalError) as caught:
        await guard.verify(token)

    assert caught.value.reason == reason
    assert accepted_by(token, pool).keys() == others


def test_every_reason_on_the_list_is_needed() -> None:
    # Which side of a whole second it is, no test can choose: neither clock can be set.
    assert {reason for reason, _, _ in NOT_NEEDED_BY_OTHERS} == STRICTER.keys() - {"expired"}


@pytest.mark.parametrize("members", [{"cty": 5}, {"jku": 5}, {"x5c": "none"}])
async def test_header_parameters_that_mean_nothing_are_not_looked_at(
    guard: CognitoGuard, pool: LocalPool, members: dict[str, Any]
) -> None:
    """The one way in which others are stricter: what is not understood is ignored here (RFC 7515 section 4)."""
    token = with_header(**members)(pool)

    await guard.verify(token)

    assert accepted_by(token, pool).keys() < ORACLES.keys()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
CHECKED = ["iss", "token_use", "client_id", "exp", "nbf", "iat", "aud"]
TAKEN_OVER = ["scope", "sub", "username", "jti", "cognito:groups"]
TIMES = st.floats(-1e10, 1e10) | st.integers(-(10**10), 10**10)
CLAIMS = st.dictionaries(st.sampled_from([*CHECKED, *TAKEN_OVER, "other"]), JSON | TIMES, max_size=3)
HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "crit", "typ", "b64"]),
    JSON | st.sampled_from(["RS256", "rs256", "RS512", "PS256", "HS256", "none", "None"]),
    max_size=2,
)
CHARACTERS = st.sampled_from("AQgwz09-_+/=. \n\x00\u00e4")
MORE = settings(max_examples=settings().max_examples * 3 // 2)
# What is judged here is the same on every event loop, and there is much of it.
ONE_LOOP = pytest.mark.parametrize("anyio_backend", ["asyncio"])


async def test_a_good_token_is_accepted_by_all(guard: CognitoGuard, pool: LocalPool) -> None:
    token = pool.mint()

    assert (await guard.verify(token)).claims == claims_of(token)
    await check(guard, pool, token)


@ONE_LOOP
@MORE
@given(changes=CLAIMS)
async def test_signed_tokens_with_any_claims(guard: CognitoGuard, pool: LocalPool, changes: Claims) -> None:
    await check(guard, pool, with_claims(**changes)(pool))


@ONE_LOOP
@MORE
@given(changes=HEADERS)
async def test_signed_tokens_with_any_header(guard: CognitoGuard, pool: LocalPool, changes: dict[str, Any]) -> None:
    await check(guard, pool, with_header(**changes)(pool))


@ONE_LOOP
@MORE
@given(
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 2), st.text(CHARACTERS, max_size=2)), min_size=1, max_size=3
    )
)
async def test_tokens_that_were_tampered_with(
    guard: CognitoGuard, pool: LocalPool, edits: list[tuple[float, int, str]]
) -> None:
    token = pool.mint()
    for place, dropped, put in edits:
        at = round(place * len(token))
        token = token[:at] + put + token[at + dropped :]

    await check(guard, pool, token)


@ONE_LOOP
@MORE
@given(index=st.integers(min_value=0), bit=st.integers(min_value=0, max_value=6))
async def test_tokens_with_one_bit_flipped(guard: CognitoGuard, pool: LocalPool, index: int, bit: int) -> None:
    token = pool.mint()
    at = index % len(token)

    await check(guard, pool, token[:at] + chr(ord(token[at]) ^ (1 << bit)) + token[at + 1 :])


@ONE_LOOP
@MORE
@given(order=st.permutations([0, 1, 2]), taken=st.tuples(*[st.integers(0, 1)] * 3))
async def test_tokens_put_together_from_others(
    guard: CognitoGuard, pool: LocalPool, order: list[int], taken: tuple[int, ...]
) -> None:
    tokens = [pool.mint().split("."), pool.mint().split(".")]

    await check(guard, pool, ".".join(tokens[which][part] for which, part in zip(taken, order, strict=True)))


@ONE_LOOP
@MORE
@given(first=st.binary(max_size=60), second=st.binary(max_size=60), content=JSON)
async def test_random_bytes_with_a_good_signature(
    guard: CognitoGuard, pool: LocalPool, first: bytes, second: bytes, content: Any
) -> None:
    for head, payload in (
        (first, second),
        (header(pool), second),
        (header(pool), json.dumps(content).encode()),
        (json.dumps(content).encode(), json.dumps(claims_of(pool.mint())).encode()),
    ):
        await check(guard, pool, signed(pool, head, payload))


@ONE_LOOP
@MORE
@given(token=st.text(max_size=60) | st.from_regex(r"[A-Za-z0-9_-]*(\.[A-Za-z0-9_=+/-]*){0,4}", fullmatch=True))
async def test_random_text(guard: CognitoGuard, pool: LocalPool, token: str) -> None:
    await check(guard, pool, token)
