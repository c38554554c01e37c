"""What a run of the matrix may take, says while it goes on, and leaves out."""

import functools
from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import Receive, Scope, Send

from cognito_guard import CognitoGuard, UserPool
from cognito_guard._rules.conditions import Granted
from cognito_guard.local import LocalClient, LocalPool
from cognito_guard.testing import assert_no_holes, deny_matrix, stand_in
from tests.testing.matrix_apps import READ, WRITE, forbid

pytestmark = pytest.mark.anyio

MakeGuard = Callable[..., CognitoGuard]


async def test_a_handler_that_is_silent_is_given_up(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard()

    async def silent(request: Request) -> Response:
        await anyio.sleep_forever()
        raise AssertionError

    app = Starlette(routes=[Route("/events", guard.require(READ)(silent)), Route("/bare", silent)])
    guard.install(app)

    calls = await deny_matrix(app, pool.mint_user, timeout=0.01)
    reached = [call for call in calls if call.token == "a token that grants it"]
    assert [(call.status, call.is_hole) for call in reached] == [(None, False), (None, False)]
    assert str(reached[0]) == "GET /events with a token that grants it: no answer in time, expected no refusal"


async def test_silence_is_not_a_refusal(guard: CognitoGuard, pool: LocalPool, writer: LocalClient) -> None:
    async def silent(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.sleep_forever()

    with pytest.raises(AssertionError, match="with no token: no answer in time, expected 401 by a guard"):
        await assert_no_holes(Starlette(routes=[Mount("/", app=silent)]), pool.mint_user, timeout=0.01)


async def test_progress_names_each_route_before_it_is_called(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    log: list[str] = []
    guard = make_guard()

    async def note(request: Request) -> Response:
        log.append("reached")
        return PlainTextResponse("")

    paths = ["/one", "/two", "/three"]
    app = Starlette(routes=[Route(path, guard.require(READ)(note)) for path in paths])
    guard.install(app)

    await assert_no_holes(app, pool.mint_user, progress=lambda progress: log.append(str(progress)))

    assert log == ["1 of 3: GET /one", "reached", "2 of 3: GET /two", "reached", "3 of 3: GET /three", "reached"]


async def test_a_function_decides_which_handlers_are_reached(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard()
    app = Starlette(routes=[Route("/read", guard.require(READ)(forbid)), Route("/pay", guard.require(WRITE)(forbid))])
    guard.install(app)

    calls = await deny_matrix(app, pool.mint_user, reach=lambda route: route.path != "/pay")

    reached = [call.route.path for call in calls if call.expected is None]
    assert reached == ["/read"]
    assert [call.refused for call in calls if call.route.path == "/pay"] == [401, 401, 403]


async def test_a_route_with_a_condition_is_called_only_with_tokens_that_must_be_refused(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard()
    app = Starlette(
        routes=[
            Route("/machines", guard.machine_only(guard.require(READ)(forbid))),
            Route("/users", guard.user_only(functools.partial(forbid))),
            Route(
                "/owned",
                guard.require_that(lambda principal, conn: False, "owns the order")(guard.require(READ)(forbid)),
            ),
        ]
    )
    guard.install(app)

    await assert_no_holes(app, pool.mint_user)

    calls = await deny_matrix(app, pool.mint_user)
    assert [(call.route.path, call.token, call.refused) for call in calls] == [
        ("/machines", "no token", 401),
        ("/machines", "a tampered token", 401),
        ("/machines", f"a token without {READ}", 403),
        ("/machines", "a token of a user", 403),
        ("/users", "no token", 401),
        ("/users", "a tampered token", 401),
        ("/users", "a token that grants it", None),
        ("/owned", "no token", 401),
        ("/owned", "a tampered token", 401),
        ("/owned", f"a token without {READ}", 403),
    ]


async def test_a_token_lacks_one_scope_of_each_alternative(
    make_guard: MakeGuard, pool: LocalPool, writer: LocalClient
) -> None:
    guard = make_guard()
    alternatives = frozenset({frozenset({READ, WRITE}), frozenset({"orders/all"})})
    requirement = replace(guard.require(READ), condition=Granted(alternatives))
    app = Starlette(routes=[Route("/", requirement(functools.partial(forbid)))])
    guard.install(app)

    await assert_no_holes(app, pool.mint_user)

    calls = await deny_matrix(app, pool.mint_user)
    assert [call.token for call in calls if call.expected == 403] == [
        f"a token without orders/all and {READ}",
        f"a token without orders/all and {WRITE}",
    ]


async def test_a_guard_that_names_its_resource_server_has_no_holes() -> None:
    guard = CognitoGuard(
        UserPool("eu-west-1_AbCdEf123", client_ids={"7lhlkkfbfb4q5kpp90urffao"}, resource_servers={"orders"})
    )
    app = Starlette(
        routes=[
            Route("/read", guard.require("order.read")(functools.partial(forbid))),
            Route("/bill", guard.require("billing/bill.read")(functools.partial(forbid))),
            Route("/any", guard.authenticated(functools.partial(forbid))),
        ]
    )
    guard.install(app)

    with stand_in(guard) as cognito:
        await assert_no_holes(app, cognito.mint_user)


async def test_tokens_are_made_once(make_guard: MakeGuard, pool: LocalPool, writer: LocalClient) -> None:
    guard = make_guard()
    app = Starlette(routes=[Route(f"/{number}", guard.require(READ, WRITE)(forbid)) for number in range(20)])
    app.routes.append(Route("/bill", guard.require("billing/bill.read")(forbid)))
    guard.install(app)
    made = []

    def mint(username: str, /, *scopes: str, groups: list[str]) -> str:
        made.append(scopes)
        return pool.mint_user(username, *scopes, groups=groups)

    await assert_no_holes(app, mint)

    assert len(made) == 3 + 2
    # Each names every resource server, so that a guard may ask for any of them.
    assert {scope.partition("/")[0] for scope in made[2]} == {"orders", "billing", "none"}
    assert all({"orders", "billing"} <= {scope.partition("/")[0] for scope in scopes} for scopes in made)


async def test_the_stand_in_of_a_guard_makes_tokens_that_it_accepts() -> None:
    options = {"issuers": ["https://login.example/pool"], "audience": "https://orders.example"}
    guard = CognitoGuard(UserPool("eu-west-1_AbCdEf123", client_ids={"of-another-form"}, **options))  # type: ignore[arg-type]
    app = Starlette(
        routes=[Route("/read", guard.require(READ)(forbid)), Route("/admin", guard.require_groups("admins")(forbid))]
    )
    guard.install(app)

    with stand_in(guard) as cognito:
        await assert_no_holes(app, cognito.mint_user)
