"""Which tokens are accepted. Each bad token is a good one with one change."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cognito_guard import ANY_CLIENT, CognitoGuard, KeyPolicy, UserPool
from cognito_guard._requests.internals import internals_of
from cognito_guard.errors import (
    ClaimError,
    ConfigurationError,
    ExpiredTokenError,
    InvalidTokenError,
    MalformedTokenError,
    SignatureError,
)
from cognito_guard.events import Event, Verified
from cognito_guard.local import LocalClient, LocalPool, PoolKeys, SigningKey

pytestmark = pytest.mark.anyio

MakeGuard = Callable[..., CognitoGuard]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: bytes, payload: bytes, key: SigningKey) -> str:
    """A token of any two byte strings, with a good signature over them."""
    signing_input = f"{base64url(header)}.{base64url(payload)}"
    return f"{signing_input}.{base64url(key.sign(signing_input.encode()))}"


def header_of(pool: LocalPool, **members: Any) -> bytes:
    return json.dumps({"kid": pool.keys.access.kid, "alg": "RS256"} | members).encode()


def payload_of(token: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return payload


async def test_a_machines_token_makes_a_principal(guard: CognitoGuard, pool: LocalPool, writer: LocalClient) -> None:
    token = pool.mint(client_id=writer.client_id)

    principal = await guard.verify(token)

    assert principal.client_id == principal.subject == writer.client_id
    assert principal.scopes == {"orders/order.read", "orders/order.write"}
    assert principal.username is None
    assert principal.groups == frozenset()
    assert principal.issuer == pool.issuer
    assert principal.token_id == payload_of(token)["jti"]
    assert principal.issued_at == 1_800_000_000
    assert principal.expires_at == 1_800_003_600
    assert principal.claims == payload_of(token)


async def test_a_users_token_makes_a_principal(guard: CognitoGuard, pool: LocalPool, reader: LocalClient) -> None:
    token = pool.mint_user("ada", groups=["admins", "staff"])

    principal = await guard.verify(token)

    assert principal.client_id == reader.client_id
    assert principal.subject == payload_of(token)["sub"] != reader.client_id
    assert principal.username == "ada"
    assert principal.groups == {"admins", "staff"}
    assert principal.scopes == {"aws.cognito.signin.user.admin"}


async def test_both_forms_of_issuer_are_accepted(guard: CognitoGuard, pool: LocalPool, user_pool: UserPool) -> None:
    for issuer in user_pool.issuers:
        assert (await guard.verify(pool.mint(iss=issuer))).issuer == issuer


@pytest.mark.parametrize(
    ("changed", "claim"),
    [
        pytest.param({"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other"}, "iss", id="pool"),
        pytest.param({"iss": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123/"}, "iss"),
        pytest.param({"iss": ["https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123"]}, "iss"),
        pytest.param({"iss": None}, "iss", id="no-issuer"),
        pytest.param({"iss": {}}, "iss", id="unhashable-issuer"),
        pytest.param({"token_use": "id"}, "token_use", id="id-token"),
        pytest.param({"token_use": "Access"}, "token_use"),
        pytest.param({"token_use": None}, "token_use", id="no-use"),
        pytest.param({"token_use": ["access"]}, "token_use"),
        pytest.param({"client_id": "another"}, "client_id", id="another-client"),
        pytest.param({"client_id": None}, "client_id", id="no-client"),
        pytest.param({"client_id": ""}, "client_id"),
        pytest.param({"client_id": ["reader"]}, "client_id", id="unhashable-client"),
        pytest.param({"client_id": 5}, "client_id"),
        pytest.param({"exp": None}, "exp", id="no-expiry"),
        pytest.param({"exp": "1900000000"}, "exp", id="expiry-as-string"),
        pytest.param({"exp": True}, "exp", id="expiry-as-bool"),
        pytest.param({"exp": [1_900_000_000]}, "exp"),
        pytest.param({"exp": 10**400}, "exp", id="expiry-beyond-floats"),
        pytest.param({"exp": float("inf")}, "exp"),
        pytest.param({"exp": float("nan")}, "exp"),
        pytest.param({"nbf": 1_800_000_001}, "nbf", id="not-yet"),
        pytest.param({"nbf": "1"}, "nbf"),
        pytest.param({"nbf": False}, "nbf"),
        pytest.param({"iat": "1"}, "iat"),
        pytest.param({"iat": True}, "iat"),
        pytest.param({"scope": ["orders/order.read"]}, "scope", id="scope-as-list"),
        pytest.param({"scope": 5}, "scope"),
        pytest.param({"sub": 5}, "sub"),
        pytest.param({"username": ["ada"]}, "username"),
        pytest.param({"jti": 5}, "jti"),
        pytest.param({"cognito:groups": "admins"}, "cognito:groups"),
        pytest.param({"cognito:groups": ["admins", 5]}, "cognito:groups"),
        pytest.param({"cognito:groups": {"admins": 1}}, "cognito:groups"),
    ],
)
async def test_one_wrong_claim_is_enough(
    guard: CognitoGuard, pool: LocalPool, changed: dict[str, Any], claim: str
) -> None:
    """Everything else about the token is in order, signature included."""
    claims = {name: value for name, value in (payload_of(pool.mint()) | changed).items() if value is not None}

    with pytest.raises(ClaimError) as caught:
        await guard.verify(pool.sign(claims))

    assert caught.value.claim == claim
    assert caught.value.reason == f"claim_{claim}"


@pytest.mark.parametrize("claim", ["exp", "nbf", "iat", "scope", "sub", "username", "jti", "cognito:groups"])
async def test_null_is_not_a_value(guard: CognitoGuard, pool: LocalPool, claim: str) -> None:
    with pytest.raises(ClaimError) as caught:
        await guard.verify(pool.sign(payload_of(pool.mint()) | {claim: None}))

    assert caught.value.claim == claim


def test_nothing_is_waited_for_where_the_key_is_known(guard: CognitoGuard, pool: LocalPool) -> None:
    anyio.run(guard.prefetch)
    token = pool.mint()

    for _ in ("never seen", "seen before"):
        with pytest.raises(StopIteration) as done:
            guard.verify(token).send(None)
        assert done.value.value.claims == payload_of(token)


async def test_an_id_token_is_refused(guard: CognitoGuard, pool: LocalPool) -> None:
    with pytest.raises(ClaimError) as caught:
        await guard.verify(pool.mint_id("ada"))

    assert caught.value.claim == "token_use"


async def test_a_token_needs_no_more_than_what_is_checked(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient
) -> None:
    bare = {"iss": pool.issuer, "token_use": "access", "client_id": reader.client_id, "exp": 1_900_000_000.5}

    principal = await guard.verify(pool.sign(bare))

    assert (principal.subject, principal.token_id, principal.issued_at) == (None, None, None)
    assert principal.scopes == frozenset()
    assert principal.expires_at == 1_900_000_000.5


@pytest.mark.parametrize(("claim", "attribute"), [("sub", "subject"), ("username", "username"), ("jti", "token_id")])
async def test_a_name_that_is_empty_is_none(guard: CognitoGuard, pool: LocalPool, claim: str, attribute: str) -> None:
    claims: dict[str, Any] = {claim: ""}

    assert getattr(await guard.verify(pool.mint(**claims)), attribute) is None


async def test_what_tokens_have_in_common_is_kept_once(
    guard: CognitoGuard, pool: LocalPool, writer: LocalClient
) -> None:
    tokens = [pool.mint(client_id=writer.client_id, scope="a/b c/d", number=number) for number in range(2)]
    first, second = [await guard.verify(token) for token in tokens]

    assert first is not second
    assert first.scopes == {"a/b", "c/d"}
    assert first.client_id is first.subject is second.client_id
    for name in ("scopes", "groups", "issuer"):
        assert getattr(first, name) is getattr(second, name)


@pytest.mark.parametrize(
    ("claim", "value", "accepted"),
    [
        ("exp", 10**15 - 1, True),
        ("exp", 10**15, False),
        ("nbf", 1 - 10**15, True),
        ("nbf", -(10**15), False),
        ("iat", 10**15 - 1, True),
        ("iat", 10**15, False),
    ],
)
async def test_a_time_is_one_that_a_clock_may_show(
    guard: CognitoGuard, pool: LocalPool, claim: str, value: int, accepted: bool
) -> None:
    token = pool.sign(payload_of(pool.mint()) | {claim: value})

    if accepted:
        assert (await guard.verify(token)).claims[claim] == value
    else:
        with pytest.raises(ClaimError) as caught:
            await guard.verify(token)
        assert caught.value.claim == claim


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [
        ("a/b", {"a/b"}),
        ("a/b c/d", {"a/b", "c/d"}),
        ("", set()),
        ("a/b  c/d ", {"a/b", "c/d"}),
        ("a/b\tc/d", {"a/b\tc/d"}),
        ("a/b\u00a0c/d", {"a/b\u00a0c/d"}),
        ("a/b,c/d", {"a/b,c/d"}),
    ],
)
async def test_scopes_are_split_only_at_spaces(
    guard: CognitoGuard, pool: LocalPool, scope: str, scopes: set[str]
) -> None:
    assert (await guard.verify(pool.mint(scope=scope))).scopes == scopes


async def test_exp_is_exclusive(guard: CognitoGuard, pool: LocalPool, clock: Any) -> None:
    """RFC 7519 section 4.1.4: refused on or after it."""
    token = pool.mint(lifetime=60)

    clock.advance(59.999)
    await guard.verify(token)

    clock.advance(0.001)
    with pytest.raises(ExpiredTokenError):
        await guard.verify(token)


async def test_leeway_moves_exp_and_nbf(make_guard: MakeGuard, pool: LocalPool, clock: Any) -> None:
    guard = make_guard(leeway=5)
    token, early = pool.mint(lifetime=60), pool.mint(nbf=int(clock.now) + 5)

    await guard.verify(early)
    with pytest.raises(ClaimError):
        await guard.verify(pool.mint(nbf=int(clock.now) + 6))

    clock.advance(64.999)
    await guard.verify(token)
    clock.advance(0.001)
    with pytest.raises(ExpiredTokenError):
        await guard.verify(token)


async def test_nbf_is_inclusive(guard: CognitoGuard, pool: LocalPool, clock: Any) -> None:
    await guard.verify(pool.mint(nbf=int(clock.now)))


async def test_an_iat_ahead_of_our_clock_is_accepted(guard: CognitoGuard, pool: LocalPool) -> None:
    await guard.verify(pool.mint(iat=1_800_000_030))


@pytest.mark.parametrize("leeway", [-1, -0.001, float("nan"), float("inf"), True, "5", None])
async def test_leeway_is_a_number_of_seconds(make_guard: MakeGuard, leeway: Any) -> None:
    with pytest.raises(ConfigurationError, match="leeway must"):
        make_guard(leeway=leeway)


async def test_any_client_must_be_written_explicitly(make_guard: MakeGuard, pool: LocalPool) -> None:
    guard = make_guard(UserPool(pool.pool_id, client_ids=ANY_CLIENT))

    assert (await guard.verify(pool.mint("a/b", client_id="stranger"))).client_id == "stranger"
    with pytest.raises(ClaimError):
        await guard.verify(pool.sign(payload_of(pool.mint("a/b", client_id="stranger")) | {"client_id": None}))


@pytest.mark.parametrize(
    "members",
    [
        {"alg": "none"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"alg": "PS256"},
        {"alg": "rs256"},
        {"alg": None},
        {"alg": ["RS256"]},
    ],
)
async def test_rs256_is_the_only_algorithm(guard: CognitoGuard, pool: LocalPool, members: dict[str, Any]) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        await guard.verify(pool.mint(headers=members))

    assert caught.value.reason == "algorithm"


async def test_an_unsigned_token_is_refused(guard: CognitoGuard, pool: LocalPool) -> None:
    header, payload, _ = pool.mint(headers={"alg": "none"}).split(".")

    for token in (f"{header}.{payload}.", f"{header}.{payload}", pool.mint().rpartition(".")[0] + "."):
        with pytest.raises(MalformedTokenError):
            await guard.verify(token)


async def test_the_public_key_is_not_a_shared_secret(guard: CognitoGuard, pool: LocalPool) -> None:
    """A known attack: HS256 with the public key, which everyone can fetch."""
    public = pool.keys.access.private_key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for alg in ("HS256", "RS256"):
        signing_input = pool.mint(headers={"alg": alg}).rpartition(".")[0]
        forged = base64url(hmac.digest(pem, signing_input.encode(), hashlib.sha256))

        with pytest.raises(InvalidTokenError):
            await guard.verify(f"{signing_input}.{forged}")


@pytest.mark.parametrize("crit", [["exp"], [], None, "b64", ["b64"]])
async def test_a_critical_header_parameter_is_not_understood(guard: CognitoGuard, pool: LocalPool, crit: Any) -> None:
    token = signed(header_of(pool, crit=crit), json.dumps(payload_of(pool.mint())).encode(), pool.keys.access)

    with pytest.raises(MalformedTokenError) as caught:
        await guard.verify(token)

    assert caught.value.reason == "critical_header"


@pytest.mark.parametrize("kid", [None, "", 5, ["a"], {}])
async def test_a_token_must_name_its_key(guard: CognitoGuard, pool: LocalPool, kid: Any) -> None:
    with pytest.raises(MalformedTokenError):
        await guard.verify(pool.mint(headers={"kid": kid}))


async def test_nothing_in_a_token_names_a_source_of_keys(
    guard: CognitoGuard, pool: LocalPool, fetch: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    stranger = new_keys().access
    url = "https://keys.attacker.example/jwks.json"
    headers = {"kid": stranger.kid, "jwk": stranger.jwk(), "jku": url, "x5u": url, "x5c": ["MIIB"]}

    with pytest.raises(SignatureError) as caught:
        await guard.verify(pool.sign(payload_of(pool.mint()), headers=headers, key=stranger))

    assert caught.value.reason == "unknown_key"
    assert url not in fetch.urls


async def test_a_strangers_signature_under_a_known_kid_does_not_match(
    guard: CognitoGuard, pool: LocalPool, new_keys: Callable[[], PoolKeys]
) -> None:
    stranger = SigningKey(kid=pool.keys.access.kid, private_key=new_keys().access.private_key)

    with pytest.raises(SignatureError) as caught:
        await guard.verify(pool.sign(payload_of(pool.mint()), key=stranger))

    assert caught.value.reason == "signature"


async def test_a_tampered_token_is_refused(guard: CognitoGuard, pool: LocalPool) -> None:
    header, payload, signature = pool.mint().split(".")
    claims = json.dumps(payload_of(pool.mint()) | {"scope": "orders/order.write"}).encode()

    with pytest.raises(SignatureError):
        await guard.verify(f"{header}.{base64url(claims)}.{signature}")
    with pytest.raises(SignatureError):
        await guard.verify(f"{header}.{payload}.{base64url(b'signature')}")


async def test_a_key_below_2048_bits_is_not_used(guard: CognitoGuard, pool: LocalPool, fetch: Any) -> None:
    weak = SigningKey(private_key=generate_private_key(public_exponent=65537, key_size=1024))  # noqa: S505 - the point
    document = {"keys": [*pool.jwks()["keys"], weak.jwk()]}
    fetch.document = lambda: json.dumps(document).encode()

    with pytest.raises(SignatureError) as caught:
        await guard.verify(pool.sign(payload_of(pool.mint()), key=weak))

    assert caught.value.reason == "unknown_key"


def malformed_tokens() -> list[Any]:
    def token(header: bytes = b'{"kid":"k","alg":"RS256"}', payload: bytes = b"{}", signature: str = "YQ") -> str:
        return f"{base64url(header)}.{base64url(payload)}.{signature}"

    tokens: dict[str, str] = {
        "empty": "",
        "one-segment": "a",
        "two-segments": "YQ.YQ",
        "four-segments": token(signature="YQ.YQ"),
        "five-segments": token(signature="YQ.YQ.YQ"),
        "only-dots": "..",
        "no-header": token(header=b""),
        "no-payload": token(payload=b""),
        "no-signature": token(signature=""),
        "not-ascii": token(signature="\u00e4"),
        "blank": token(signature="Y Q"),
        "newline": token(signature="YQ\n"),
        "padded": token(signature="YQ=="),
        "standard-base64": token(signature="+/+/"),
        "impossible-length": token(signature="YWJjZ"),
        "header-not-json": token(header=b"{"),
        "header-a-list": token(header=b"[]"),
        "header-a-string": token(header=b'"RS256"'),
        "payload-not-json": token(payload=b"x"),
        "payload-a-list": token(payload=b"[]"),
        "payload-null": token(payload=b"null"),
        "payload-with-more-behind": token(payload=b"{}{}"),
        "payload-with-a-newline-behind": token(payload=b"{}\n"),
        "header-with-more-behind": token(header=b'{"kid":"k","alg":"RS256"}{}'),
        "payload-utf-16": token(payload="{}".encode("utf-16")),
        "payload-utf-32": token(payload="{}".encode("utf-32-be")),
        "payload-with-bom": token(payload="{}".encode("utf-8-sig")),
        "payload-not-utf-8": token(payload=b'{"\xff":1}'),
        "payload-deep": token(payload=b"[" * 6000),
        "payload-huge-number": token(payload=b'{"exp":' + b"9" * 5000 + b"}"),
    }
    return [pytest.param(text, id=name) for name, text in tokens.items()]


@pytest.mark.parametrize("token", malformed_tokens())
async def test_a_token_that_is_not_a_compact_jws_is_malformed(guard: CognitoGuard, fetch: Any, token: str) -> None:
    with pytest.raises(MalformedTokenError) as caught:
        await guard.verify(token)

    assert caught.value.reason == "malformed"
    assert fetch.calls == 0


@pytest.mark.parametrize(
    "token", [None, b"e30.e30.YQ", 5, ["e30", "e30", "YQ"], SimpleNamespace(encode=lambda _encoding: "e30.e30.YQ")]
)
async def test_a_token_that_is_not_a_string_is_malformed(guard: CognitoGuard, token: Any) -> None:
    with pytest.raises(MalformedTokenError):
        await guard.verify(token)


async def test_a_signature_has_one_spelling(guard: CognitoGuard, pool: LocalPool) -> None:
    """The last character of 342 carries four bits of the signature and two that mean nothing, so are to be zero."""
    token = pool.mint()
    await guard.verify(token)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    respelled = alphabet[alphabet.index(token[-1]) + 1]

    with pytest.raises(MalformedTokenError):
        await guard.verify(token[:-1] + respelled)


async def test_the_longest_token_has_eight_kibibytes(guard: CognitoGuard, pool: LocalPool) -> None:
    bare = len(pool.mint(filler=""))
    longest = pool.mint(filler="x" * ((8192 - bare) * 3 // 4 - 1))
    assert 8188 <= len(longest) <= 8192
    await guard.verify(longest)

    with pytest.raises(MalformedTokenError) as caught:
        await guard.verify(pool.mint(filler="x" * ((8192 - bare) * 3 // 4 + 4)))
    assert caught.value.reason == "oversized"


@pytest.mark.parametrize(
    "changed",
    [{"iss": "https://elsewhere"}, {"client_id": "another"}, {"token_use": "id"}, {"exp": 1_799_999_999}],
)
async def test_a_token_that_could_not_be_good_never_causes_a_fetch(
    guard: CognitoGuard, pool: LocalPool, fetch: Any, changed: dict[str, Any]
) -> None:
    with pytest.raises(InvalidTokenError):
        await guard.verify(pool.mint(**changed))

    assert fetch.calls == 0


async def test_each_pool_is_judged_by_its_own_keys(
    make_guard: MakeGuard, pool: LocalPool, clock: Any, new_keys: Callable[[], PoolKeys]
) -> None:
    """Two pools that both publish a key of one name."""
    other = LocalPool(
        "eu-west-1_Other",
        keys=PoolKeys(access=SigningKey(kid=pool.keys.access.kid, private_key=new_keys().access.private_key)),
        clock=clock,
    )
    other.add_resource_server("orders", {"order.read": "Read orders"})
    other.add_client(scopes=["orders/order.read"])
    pool.add_client(scopes=["orders/order.read"])
    documents = {local.pool_id: json.dumps(local.jwks()).encode() for local in (pool, other)}

    def fetch(url: str, timeout: float) -> bytes:
        return documents[url.split("/")[3]]

    guard = make_guard(
        UserPool(pool.pool_id, client_ids=ANY_CLIENT), UserPool(other.pool_id, client_ids=ANY_CLIENT), fetch=fetch
    )

    assert (await guard.verify(pool.mint())).issuer == pool.issuer
    assert (await guard.verify(other.mint())).issuer == other.issuer
    with pytest.raises(SignatureError):
        await guard.verify(pool.mint(iss=other.issuer))


async def test_a_guard_needs_different_pools(make_guard: MakeGuard, user_pool: UserPool) -> None:
    twin = UserPool("us-east-1_Twin", client_ids=ANY_CLIENT, issuers=[user_pool.issuer])

    with pytest.raises(ConfigurationError, match="issuer"):
        make_guard(user_pool, twin)
    with pytest.raises(ConfigurationError, match="named twice"):
        make_guard(user_pool, UserPool(user_pool.pool_id, client_ids=ANY_CLIENT))
    with pytest.raises(ConfigurationError, match="at least one user pool"):
        CognitoGuard()
    not_a_pool: Any = "eu-central-1_AbCdEf123"
    with pytest.raises(ConfigurationError, match="at least one user pool"):
        CognitoGuard(not_a_pool)


async def test_without_a_clock_of_its_own_a_guard_asks_the_computers(
    make_guard: MakeGuard, pool: LocalPool, reader: LocalClient
) -> None:
    guard, now = make_guard(clock=None), int(time.time())
    good, old = (pool.mint(iat=now - 1000, exp=now + left) for left in (600, -600))

    for _ in range(2):  # verified, and remembered
        assert (await guard.verify(good)).expires_at == now + 600
    with pytest.raises(ExpiredTokenError):
        await guard.verify(old)


async def test_each_use_of_a_token_is_an_event(make_guard: MakeGuard, pool: LocalPool, reader: LocalClient) -> None:
    events: list[Event] = []
    guard, token = make_guard(on_event=events.append), pool.mint()

    for uses in (1, 2, 3):
        principal = await guard.verify(token)
        assert [event for event in events if isinstance(event, Verified)] == [Verified(principal)] * uses


def test_a_guard_takes_pools_and_nothing_else(make_guard: MakeGuard, user_pool: UserPool) -> None:
    others: list[Any] = ["eu-central-1_AbCdEf123"]
    with pytest.raises(ConfigurationError, match="needs at least one user pool"):
        make_guard(user_pool, *others)


async def test_the_keys_of_all_pools_are_fetched_at_once(make_guard: MakeGuard, pool: LocalPool) -> None:
    """Each fetch waits for the other, so none would end if they ran in turn."""
    both = threading.Barrier(2)

    def fetch(url: str, timeout: float) -> bytes:
        both.wait(30)
        return json.dumps(pool.jwks()).encode()

    pools = [UserPool(pool_id, client_ids=ANY_CLIENT) for pool_id in ("eu-west-1_One", "eu-west-1_Other")]
    await make_guard(*pools, fetch=fetch, key_policy=KeyPolicy(timeout=60)).prefetch()

    assert not both.broken


async def test_a_verifier_with_other_seams_uses_these_and_keeps_its_options(
    make_guard: MakeGuard, pool: LocalPool, reader: LocalClient, clock: Any, fetch: Any
) -> None:
    options: dict[str, Any] = {"max_token_length": 2048, "leeway": 5, "key_policy": KeyPolicy(max_age=100)}
    verifier = internals_of(make_guard(**options)).verifier
    own_clock, timer, urls = [clock.now], [0.0], list[str]()

    def own_fetch(url: str, timeout: float) -> bytes:
        urls.append(url)
        return json.dumps(pool.jwks()).encode()

    other = verifier.with_seams(fetch=own_fetch, clock=lambda: own_clock[0], timer=lambda: timer[0])
    token = pool.mint(lifetime=60)

    assert await other.verify(token)
    assert (len(urls), fetch.calls) == (1, 0)
    own_clock[0] += 64
    assert await other.verify(token)
    own_clock[0] += 1
    with pytest.raises(ExpiredTokenError):
        await other.verify(token)
    timer[0] += 100
    await other.issuers.prefetch()
    await other.issuers.settle()
    assert len(urls) == 2
    assert (other.max_token_length, other.policy.max_age) == (2048, 100)
