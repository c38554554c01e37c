"""What a log line says of each kind of refusal beyond those of the drill, and what it hints at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient, WebSocketDenialResponse

from cognito_guard import ANY_CLIENT, CognitoGuard, UserPool, events
from cognito_guard._report.flood import IN_FULL
from cognito_guard._requests.internals import internals_of
from cognito_guard.events import Refused
from cognito_guard.local import LocalClient, LocalPool
from tests.refusals.drill import log_lines

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]

OTHER_ID = "eu-central-1_Other0000"
FIXTURE_ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Testing00"


async def reached(request: Request) -> Response:
    raise AssertionError


@pytest.fixture
def app(make_guard: MakeGuard, pool: LocalPool, reader: LocalClient) -> Starlette:
    """Guarded for two pools, the first with a resource server."""
    guard = make_guard(
        UserPool(pool.pool_id, client_ids={reader.client_id}, resource_servers={"orders"}),
        UserPool(OTHER_ID, client_ids={"1other0client"}),
    )
    app = Starlette(
        routes=[
            Route("/", reached),
            Route("/admins", guard.require_groups("admins")(reached)),
            Route("/users", guard.user_only(reached)),
            Route("/machines", guard.machine_only(reached)),
            Route("/tenant", guard.require_that(lambda principal, conn: False, "the t\xe9nant")(reached)),
        ]
    )
    guard.install(app)
    return app


async def line_of(call: Call, app: Any, path: str, token: str | None = None, **options: Any) -> str:
    with log_lines() as lines:
        await call(app, "GET", path, token, **options)
    [line] = [line for line in lines if " refused " in line]
    assert line.isascii()
    return line


@pytest.mark.parametrize(
    ("forge", "parts"),
    [
        (lambda mint: mint(iss=None), ["claim_iss: the token says user pool nothing"]),
        (lambda mint: mint(iss=FIXTURE_ISSUER), ["eu-central-1_Testing00", "did not override the fixture `guard`"]),
        (
            lambda mint: mint(iss="https://cognito.example/eu-central-1_AbCdEf123"),
            ["a string of 46 characters", "replica_regions"],
        ),
        (
            lambda mint: mint(client_id="1other0client"),
            [f"it is a client of {OTHER_ID}, and the token is of eu-central-1"],
        ),
        (lambda mint: mint(client_id="free text"), ["the token says a string of 9 characters"]),
        (lambda mint: mint(token_use=None), ["the token says token_use nothing (not verified), accepted is access"]),
        (lambda mint: mint(token_use="refresh"), ["token_use a string of 7 characters"]),
        (lambda mint: mint(lifetime=-4000), ["expired 4000 s ago", "must get a new token before this one expires"]),
        (lambda mint: mint(exp=None), ["claim_exp: the token says exp is nothing", "accepted is a number"]),
        (lambda mint: mint(exp=True), ["exp is a boolean"]),
        (lambda mint: mint(nbf="now"), ["claim_nbf: the token says nbf is a string of 3 characters"]),
        (lambda mint: mint(jti={"a": 1}), ["claim_jti: the token says jti is an object of 1 members"]),
        (lambda mint: mint(sub=5.5), ["claim_sub: the token says sub is a number"]),
        (lambda mint: mint("billing/x"), ["audience: the token is for another API: it grants billing/x", "orders/..."]),
        (lambda mint: mint(scope="a/b a/c a/d a/e"), ["it grants a/b a/c a/d and 1 more"]),
        (lambda mint: mint(scope=""), ["it grants no scopes"]),
        (lambda mint: mint(aud="https://other"), ["aud is a string of 13 characters", "resource="]),
        (lambda mint: mint(headers={"alg": "HS256"}), ["algorithm: the header", "accepted is RS256"]),
        (lambda mint: mint(headers={"crit": ["exp"]}), ["critical_header: the header"]),
        (lambda mint: mint(headers={"typ": "dpop+jwt"}), ["token_type: the header", "send the access token"]),
        (lambda mint: "a.b.c", ["malformed: the token is a string of 5 characters and 3 segments, accepted is three"]),
        (lambda mint: "a.b.c.d.e", ["five segments are an encrypted token"]),
        (lambda mint: "x" * 9000, ["oversized: the token has more than 8192 characters", "max_token_length"]),
        (lambda mint: "two words", ["400 malformed_header", "credentials of 9 characters that are no token"]),
        (
            lambda mint: mint()[:-8] + "AAAAAAAA",
            ["signature: the signature is not of the key of eu-central-1_AbCdEf123"],
        ),
    ],
)
async def test_what_was_found_and_what_is_accepted(
    app: Starlette, call: Call, pool: LocalPool, reader: LocalClient, forge: Callable[[Any], str], parts: list[str]
) -> None:
    def mint(*scopes: str, **claims: Any) -> str:
        return pool.mint(*scopes, **{"client_id": reader.client_id, **claims})

    line = await line_of(call, app, "/", forge(mint))

    assert [part for part in parts if part not in line] == []


@pytest.mark.parametrize(("scheme", "shown"), [("basic", "Basic"), ("Secret-Scheme", "not known")])
async def test_another_scheme_is_named_if_it_is_known(app: Starlette, call: Call, scheme: str, shown: str) -> None:
    line = await line_of(call, app, "/", headers={"authorization": f"{scheme} dXNlcjpwYXNz"})

    assert f"missing_token: the scheme of the Authorization header is {shown}, accepted is Bearer" in line
    assert "dXNl" not in line


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("/admins", "403 group: the user at client CLIENT is in other groups, or in none, needed is group admins"),
        ("/machines", "403 caller: a user calls through client CLIENT, needed is machines only"),
        ("/tenant", "403 condition: a user calls through client CLIENT, needed is the t\\xe9nant"),
    ],
)
async def test_what_a_user_lacks(
    app: Starlette, call: Call, pool: LocalPool, reader: LocalClient, path: str, part: str
) -> None:
    token = pool.mint_user("ada", "orders/order.read", client_id=reader.client_id)

    assert part.replace("CLIENT", reader.client_id) in await line_of(call, app, path, token)


async def test_a_machine_is_called_one(app: Starlette, call: Call, pool: LocalPool, reader: LocalClient) -> None:
    line = await line_of(call, app, "/users", pool.mint(client_id=reader.client_id))

    assert "403 caller: a machine calls through client" in line


async def test_an_audience_alone_is_nothing_for_machines(
    make_guard: MakeGuard, call: Call, pool: LocalPool, reader: LocalClient
) -> None:
    app = Starlette()
    make_guard(UserPool(pool.pool_id, client_ids=ANY_CLIENT, audience="https://api")).install(app)

    line = await line_of(call, app, "/", pool.mint(client_id=reader.client_id))

    assert "accepted is https://api; " in line
    assert "use resource_servers= instead of audience=" in line


async def test_any_client_is_accepted_but_some(make_guard: MakeGuard, call: Call, pool: LocalPool) -> None:
    app = Starlette()
    make_guard(UserPool(pool.pool_id, client_ids=ANY_CLIENT)).install(app)

    line = await line_of(call, app, "/", pool.mint(client_id=""))

    assert "the token says a string of 0 characters (not verified), accepted is any client" in line


async def test_the_route_is_its_whole_template_once_it_is_chosen(
    make_guard: MakeGuard, call: Call, pool: LocalPool, reader: LocalClient
) -> None:
    guard = make_guard()
    router, sub, app = APIRouter(prefix="/orders"), FastAPI(), FastAPI()

    @router.get("/{number}")
    @guard.require("orders/order.write")
    async def order(number: str) -> None: ...

    sub.include_router(router)
    app.include_router(router, prefix="/v1")
    app.router.routes.append(Mount("/tenants/{tenant}", app=sub))
    guard.install(app)
    token = pool.mint(client_id=reader.client_id)

    assert "INFO GET /v1/orders/{number} refused" in await line_of(call, app, "/v1/orders/17", token)
    assert "INFO GET /tenants/a%20b/orders/{number} refused" in await line_of(
        call, app, "/tenants/a b/orders/17", token
    )


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/orders/17?expand=1", "/orders/17"),
        ("/a%0Ab", "/a%0Ab"),
        ("/\xe4", "/%C3%A4"),
        ("/" + "x" * 127, "/" + "x" * 127),
        ("/" + "x" * 128, "/" + "x" * 127 + "..."),
        ("/reset/eyJhbGciOiJIUzI1NiJ9", "(a path of 27 characters that may hold a token)"),
    ],
)
async def test_before_that_it_is_the_path_as_it_was_sent(app: Starlette, call: Call, path: str, shown: str) -> None:
    assert f"INFO GET {shown} refused" in await line_of(call, app, path)


async def test_beside_credentials_too_long_to_look_through_no_path_is_shown(app: Starlette, call: Call) -> None:
    shown = await line_of(call, app, "/orders/17", "x" * 16_000)
    hidden = await line_of(call, app, "/orders/17", "x" * 17_000)

    assert "GET /orders/17 refused 401 oversized" in shown
    assert "GET (a path of 10 characters that may hold a token) refused 401 oversized" in hidden


def test_a_websocket_is_called_one(app: Starlette) -> None:
    with log_lines() as lines, pytest.raises(WebSocketDenialResponse), TestClient(app).websocket_connect("/feed"):
        raise AssertionError

    assert any("WEBSOCKET /feed refused 401 missing_token" in line for line in lines)


async def test_a_refusal_stays_one_if_its_reasons_cannot_be_told(
    make_guard: MakeGuard, call: Call, pool: LocalPool, reader: LocalClient
) -> None:
    times = iter([1.0])
    app = Starlette()
    make_guard(clock=lambda: next(times)).install(app)

    line = await line_of(call, app, "/", pool.mint(client_id=reader.client_id, exp=0))

    assert "GET / refused 401 expired: The access token has expired" in line


async def test_the_event_has_the_same_fields(
    make_guard: MakeGuard, call: Call, pool: LocalPool, reader: LocalClient
) -> None:
    heard: list[Any] = []
    app = Starlette()
    make_guard(on_event=heard.append).install(app)

    answer = await call(app, "GET", "/orders/17", pool.mint(client_id="3n4b5urk1ft4fl3mg5e62d9ado"))

    [event] = heard
    assert event == events.Refused(401, "claim_client_id", None)
    assert (event.method, event.route, event.found) == ("GET", "/orders/17", "3n4b5urk1ft4fl3mg5e62d9ado")
    assert event.claimed_client_id == event.found
    assert "and 1 more" in event.accepted
    assert "client_ids" in event.hint
    assert event.found not in f"{answer.text}{answer.headers}"


async def test_the_record_has_the_fields_of_the_event(
    make_guard: MakeGuard, call: Call, pool: LocalPool, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Any] = []
    app = Starlette()
    make_guard(on_event=heard.append).install(app)
    caplog.set_level("INFO", "cognito_guard")

    await call(app, "GET", "/orders/17", pool.mint(client_id="3n4b5urk1ft4fl3mg5e62d9ado"))

    [record] = [record for record in caplog.records if " refused " in record.getMessage()]
    assert {name: vars(record)[name] for name in Refused.__slots__} == asdict(heard[-1])
    assert vars(record)["hint"]


async def test_a_line_is_composed_only_if_it_is_written(
    make_guard: MakeGuard, call: Call, pool: LocalPool, reader: LocalClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The clock is asked once to judge an expired token, and once more to say since when it has expired."""
    asked: list[float] = []

    def clock() -> float:
        asked.append(1_000.0)
        return asked[-1]

    app, guard = Starlette(), make_guard(clock=clock)
    guard.install(app)
    token = pool.mint(client_id=reader.client_id, exp=997)

    async def times() -> int:
        before = len(asked)
        assert (await call(app, "GET", "/", token)).status_code == 401
        return len(asked) - before

    caplog.set_level("ERROR", "cognito_guard")
    assert await times() == 1
    caplog.set_level("INFO", "cognito_guard")
    assert [await times() for _ in range(IN_FULL)] == [2] * IN_FULL
    # Of a flood the others are counted.
    assert await times() == 1
    # Not when the guard is dropped, in the middle of another test.
    internals_of(guard).refusals.settle()


async def test_a_requirement_of_another_guard_says_so(
    guard: CognitoGuard, make_guard: MakeGuard, call: Call, pool: LocalPool, reader: LocalClient
) -> None:
    other = make_guard(UserPool(OTHER_ID, client_ids={"a"}))
    app = Starlette(routes=[Route("/", other.require("a/b")(reached))])
    guard.install(app)

    with log_lines() as lines:
        assert (await call(app, "GET", "/", pool.mint(client_id=reader.client_id))).status_code == 500

    [line] = [line for line in lines if "a route requires" in line]
    assert (
        f"requires <CognitoGuard of {OTHER_ID} (1 client, 0 keys)>, which is not installed, but another one is" in line
    )
    assert "Write the requirement with that guard, or install both" in line
