"""Whatever a stranger sends, a log line stays one line of printable ASCII, without the token or its signature."""

from __future__ import annotations

import json
import string
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.types import Message

from cognito_guard import CognitoGuard, UserPool, events
from cognito_guard.local import LocalPool, PoolKeys
from tests.refusals.drill import NOW, POOL_ID, READER, log_lines

ISSUER = f"https://cognito-idp.eu-central-1.amazonaws.com/{POOL_ID}"
BASE64URL = string.ascii_letters + string.digits + "-_"
PRINTABLE = set(string.printable) - set("\t\n\r\v\f")

# Free text of strangers, among it what a signature may hold.
texts = st.text(max_size=300) | st.text(BASE64URL, max_size=140)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
signatures = st.text(BASE64URL, min_size=24, max_size=400)
claims = st.fixed_dictionaries(
    {},
    optional={
        "iss": st.just(ISSUER) | st.just(ISSUER.replace("AbCdEf123", "Staging01")) | values,
        "token_use": st.sampled_from(["access", "id"]) | values,
        "client_id": st.just(READER) | values,
        "exp": st.just(NOW + 60) | st.just(NOW - 3) | values,
        "nbf": st.just(NOW + 60) | values,
        "scope": st.just("orders/order.read billing/x") | values,
        "aud": values,
        "cognito:groups": values,
        "iat": values,
        "jti": values,
    },
)


def segment(document: object) -> str:
    return urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def heard() -> list[events.Event]:
    return []


@pytest.fixture(scope="module")
def app(heard: list[events.Event]) -> Starlette:
    pool = LocalPool(POOL_ID, keys=PoolKeys())
    document = json.dumps(pool.jwks()).encode()
    # Each refusal is in a window of its own: all of them are written.
    times = iter(range(0, 10**9, 100))
    guard = CognitoGuard(
        UserPool(POOL_ID, client_ids={READER, "another"}, resource_servers={"orders"}),
        clock=lambda: NOW,
        timer=lambda: float(next(times)),
        fetch=lambda url, timeout: document,
        on_event=heard.append,
    )
    app = Starlette()
    guard.install(app)
    return app


async def send_request(app: Starlette, method: str, path: bytes, headers: list[bytes], client: Any) -> int:
    statuses = []

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": method,
        "path": path.decode("latin-1"),
        "raw_path": path,
        "query_string": b"",
        "headers": [(b"authorization", value) for value in headers],
        "client": client,
    }
    await app(scope, receive, send)
    [status] = statuses
    return int(status)


def run(coroutine: Any) -> int:
    """No refusal waits for anything that a plain step would not do; keys are fetched by a thread."""
    import asyncio  # noqa: PLC0415 - anyio.run is too slow for each example

    status: int = asyncio.run(coroutine)
    return status


@settings(max_examples=settings().max_examples * 3 // 2)
@given(
    claims=claims,
    header=st.just({"alg": "RS256", "kid": "x"})
    | st.dictionaries(st.sampled_from(["alg", "kid", "crit", "typ"]), values),
    signature=signatures,
    cut=st.integers(0, 400),
    place=st.sampled_from(["path", "client_id", "scope", "method", "kid", "nowhere"]),
    path=st.binary(max_size=200),
    method=st.sampled_from(["GET", "POST", "PROPFIND"]) | st.text(string.ascii_uppercase, min_size=1, max_size=20),
    extra=st.lists(st.binary(max_size=60), max_size=2),
    client=st.none() | st.tuples(texts, st.just(5)),
)
@example(
    {"iss": ISSUER, "token_use": "access"}, {"alg": "RS256", "kid": "x"}, "S" * 40, 0, "client_id", b"", "GET", [], None
)
@example(
    {"iss": ISSUER, "token_use": "access"}, {"alg": "RS256", "kid": "x"}, "S" * 40, 0, "path", b"", "GET", [], None
)
@example({}, {"alg": "RS256", "kid": "x"}, "DEADBEEF" * 3, 0, "nowhere", b"", "DEADBEEF", [], ("DEADBEEF:DEAD", 5))
def test_a_line_is_one_line_without_secrets(
    app: Starlette,
    heard: list[events.Event],
    claims: dict[str, Any],
    header: dict[str, Any],
    signature: str,
    cut: int,
    place: str,
    path: bytes,
    method: str,
    extra: list[bytes],
    client: Any,
) -> None:
    part = signature[cut % 16 :][:60]
    if place == "path":
        path += part.encode()
    elif place == "method":
        method = part
    elif place == "kid":
        header = {**header, "kid": part}
    elif place != "nowhere":
        claims = {"iss": ISSUER, "token_use": "access", "exp": NOW + 9, "client_id": READER} | claims | {place: part}
    token = f"{segment(header)}.{segment(claims)}.{signature}"
    heard.clear()

    with log_lines() as lines:
        assert run(send_request(app, method, b"/" + path, [f"Bearer {token}".encode(), *extra], client)) in {400, 401}

    [line] = [line for line in lines if " refused " in line]
    [event] = [event for event in heard if isinstance(event, events.Refused)]
    told = [line, *(str(value) for value in (event.method, event.route, event.found, event.accepted, event.hint))]
    told.append(str(event.claimed_client_id))
    for text in told:
        assert set(text) <= PRINTABLE
        assert token not in text
        assert not any(signature[start : start + 8] in text for start in range(len(signature) - 7))
