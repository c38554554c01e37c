"""What `guard.explain` says of a token that `guard.verify` refused."""

from __future__ import annotations

import asyncio
import logging
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from cognito_guard import CognitoGuard, UserPool
from cognito_guard.errors import (
    InsufficientScopeError,
    KeysUnavailableError,
    MissingTokenError,
    RefusalError,
    SignatureError,
)
from cognito_guard.local import LocalClient, LocalPool, PoolKeys
from tests.docs.test_troubleshooting import BLOCKS, PAGE
from tests.refusals.drill import NOW, OTHER_POOL_ID, POOL_ID, READER, Drill, log_lines
from tests.refusals.test_secrecy import BASE64URL, ISSUER, PRINTABLE, claims, segment

MakeGuard = Callable[..., CognitoGuard]


async def refusal(guard: CognitoGuard, token: Any) -> RefusalError:
    with pytest.raises(RefusalError) as caught:
        await guard.verify(token)
    return caught.value


@pytest.mark.anyio
@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "3n4b5urk1ft4fl3mg5e62d9ado"},
        {"iss": ISSUER.replace(POOL_ID, OTHER_POOL_ID)},
        {"token_use": "id"},
        {"lifetime": -3},
        {"exp": None},
        {"headers": {"alg": "HS256"}},
        {"headers": {"kid": "another"}},
    ],
)
async def test_it_says_what_the_line_of_a_request_says(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, call: Callable[..., Any], changes: dict[str, Any]
) -> None:
    token = pool.mint(**{"client_id": reader.client_id, **changes})
    app = Starlette()
    guard.install(app)
    with log_lines() as lines:
        await call(app, "GET", "/", token)

    explanation = guard.explain(token, await refusal(guard, token))

    [line] = [line for line in lines if " refused " in line]
    assert line.split(" refused 401 ")[1].removesuffix("; sent from 127.0.0.1") == explanation


@pytest.mark.anyio
async def test_a_verification_that_is_refused_writes_no_line(guard: CognitoGuard) -> None:
    with log_lines() as lines:
        error = await refusal(guard, "junk")
        explanation = guard.explain("junk", error)

    assert lines == []
    assert explanation.startswith("malformed: the token is a string of 4 characters, accepted is three segments")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("token", "starts"),
    [
        ("x" * 9000, "oversized: the token has more than 8192 characters, accepted is 8192 characters"),
        ("t\xf6ken\u20ac", "malformed: the token is a string of 6 characters, accepted is three"),
        ("", "malformed: the token is a string of 0 characters"),
        (None, "malformed: The access token is not a well-formed JWT"),
    ],
)
async def test_what_is_no_token_is_explained_too(guard: CognitoGuard, token: Any, starts: str) -> None:
    assert guard.explain(token, await refusal(guard, token)).startswith(starts)


@pytest.mark.anyio
async def test_keys_that_cannot_be_had_are_the_reason(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient, fetch: Any
) -> None:
    fetch.fail(ConnectionRefusedError())
    token = pool.mint(client_id=reader.client_id)
    error = await refusal(guard, token)

    assert isinstance(error, KeysUnavailableError)
    assert guard.explain(token, error).startswith(f"keys_unavailable: there are no keys of {pool.pool_id}: https://")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MissingTokenError(), "missing_token: A bearer access token is required"),
        (
            InsufficientScopeError("scope", ("a/b",)),
            "scope: The access token lacks a scope that this resource requires",
        ),
        (SignatureError("signature"), "signature: The signature of the access token does not match"),
    ],
)
def test_an_error_that_is_not_about_the_token_is_named_alone(guard: CognitoGuard, error: Any, says: str) -> None:
    assert guard.explain("junk", error) == says


@pytest.mark.anyio
async def test_settings_that_are_not_ascii_are_escaped(make_guard: MakeGuard, pool: LocalPool) -> None:
    guard = make_guard(UserPool(pool.pool_id, client_ids={"caf\xe9"}, issuers=[pool.issuer]))
    token = pool.mint(client_id="another")

    assert "accepted is caf\\xe9; " in guard.explain(token, await refusal(guard, token))


@pytest.fixture(scope="module")
def drill() -> Drill:
    return Drill(PoolKeys(), PoolKeys())


@settings(max_examples=80)
@given(
    claims=claims,
    place=st.sampled_from(["client_id", "scope", "token_use", "iss", "nowhere"]),
    signature=st.text(BASE64URL, min_size=24, max_size=400) | st.text(string.printable, min_size=24),
)
def test_an_explanation_is_one_line_without_secrets(
    drill: Drill, claims: dict[str, Any], place: str, signature: str
) -> None:
    guard = drill.guard()
    if place != "nowhere":
        claims = {"iss": ISSUER, "token_use": "access", "exp": NOW + 9, "client_id": READER} | claims
        claims[place] = signature[:60]
    token = f"{segment({'alg': 'RS256', 'kid': 'x'})}.{segment(claims)}.{signature}"

    explanation = guard.explain(token, asyncio.run(refusal(guard, token)))

    assert set(explanation) <= PRINTABLE
    assert token not in explanation
    secret = token.rpartition(".")[2]
    assert not any(secret[start : start + 8] in explanation for start in range(len(secret) - 7))


def test_the_page_shows_how_a_worker_logs_it(drill: Drill, caplog: pytest.LogCaptureFixture) -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS["worker.py"], names)  # noqa: S102
    caplog.set_level(logging.INFO, "worker")
    good, late = (
        drill.pool.mint(client_id=READER, scope="orders/order.read"),
        drill.pool.mint(client_id=READER, lifetime=-3),
    )

    caller = asyncio.run(names["caller_of"](drill.guard(), 16, good))
    assert asyncio.run(names["caller_of"](drill.guard(), 17, late)) is None

    assert caller.client_id == READER
    assert f"```text\n{caplog.records[-1].getMessage()}\n```" in PAGE
