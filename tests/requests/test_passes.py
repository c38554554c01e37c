"""Each pass of a request through a guard is judged by itself, and so is each request made from another."""

import functools
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cognito_guard import ANY_CLIENT, CognitoGuard, CognitoGuardMiddleware, UserPool
from cognito_guard.local import LocalClient
from tests.requests.apps import WRITE, HandedOn, guard_client
from tests.requests.recording import Recorder, ask

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
MakeGuard = Callable[..., CognitoGuard]


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token.encode())]


async def part(app: ASGIApp, scope: Any, receive: Receive) -> int:
    """Return the status of one part of a batch."""
    statuses: list[int] = []

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]


# -- apps in turn


@pytest.mark.parametrize("copies", [True, False])
async def test_a_public_switch_opens_no_app_that_has_its_own_guard(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, copies: bool
) -> None:
    version = Starlette(
        routes=[Route("/orders", record.handler("orders")), Route("/open", guard.public(record.handler("open")))]
    )
    guard.install(version)

    async def switch(scope: Scope, receive: Receive, send: Send) -> None:
        await version({**scope} if copies else scope, receive, send)

    app = Starlette(routes=[Mount("/api", app=guard.public(switch))])
    guard.install(app)

    assert (await call(app, "GET", "/api/orders")).status_code == 401
    assert (await call(app, "GET", "/api/none")).status_code == 401
    assert record.take() == []
    assert (await call(app, "GET", "/api/open")).text == "open"
    assert (await call(app, "GET", "/api/orders", may_read)).text == "orders"


class InTurn:
    """Asks one app after another, until one knows the path."""

    def __init__(self, *apps: ASGIApp) -> None:
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent: list[Message] = []
        for app in self._apps:
            sent = []

            async def keep(message: Message, sent: list[Message] = sent) -> None:
                sent.append(message)

            await app(scope, receive, keep)
            if sent[0]["status"] != 404:
                break
        for message in sent:
            await send(message)


async def test_a_public_route_of_one_app_opens_nothing_in_the_next(
    guard: CognitoGuard, make_guard: MakeGuard, call: Call, record: Recorder, may_read: str
) -> None:
    for second_guard in (guard, make_guard()):
        first = Starlette(routes=[Route("/{path:path}", guard.public(record.handler("none", 404)))])
        guard.install(first)
        second = Starlette(routes=[Route("/secret", record.handler("secret"))])
        second_guard.install(second)
        app = InTurn(first, second)

        answer = await call(app, "GET", "/secret")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert record.take() == ["none"]
        assert (await call(app, "GET", "/secret", may_read)).text == "secret"
        record.take()


async def test_a_finished_pass_does_not_affect_the_next(
    make_guard: MakeGuard, call: Call, record: Recorder, may_read: str
) -> None:
    one, other = make_guard(), make_guard()
    first = Starlette(routes=[Route("/{path:path}", one.public(record.handler("none", 404)))])
    one.install(first)
    second = Starlette(routes=[Route("/open", other.public(record.handler("open")))])
    other.install(second)

    assert (await call(InTurn(first, second), "GET", "/open")).text == "open"
    assert record.take() == ["none", "open"]
    assert (await call(InTurn(first, second), "GET", "/unknown", may_read)).status_code == 404


async def test_a_finished_pass_does_not_let_in_a_token_that_has_expired_since(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, clock: Any
) -> None:
    async def none(_: Request) -> Response:
        clock.advance(24 * 60 * 60)
        return Response(status_code=404)

    first = Starlette(routes=[Route("/{path:path}", none)])
    second = Starlette(routes=[Route("/orders", record.handler("orders"))])
    for app in (first, second):
        guard.install(app)

    assert (await call(InTurn(first, second), "GET", "/orders", may_read)).status_code == 401
    assert record.take() == []


async def test_a_public_route_opens_nothing_that_is_asked_next_within_one_guard(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    class Falling(Router):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await InTurn(super().__call__, Router(routes=[Route("/secret", record.handler("secret"))]))(
                scope, receive, send
            )

    router = Falling(routes=[Route("/{path:path}", guard.public(record.handler("none", 404)))])
    app = Starlette(routes=[Mount("/", app=router)])
    guard.install(app)

    assert (await call(app, "GET", "/secret")).status_code == 401
    assert record.take() == ["none"]
    assert (await call(app, "GET", "/secret", may_read)).text == "secret"


# -- guards within guards


@pytest.mark.parametrize("public", [True, False])
async def test_two_guards_in_a_row_both_judge(
    make_guard: MakeGuard, call: Call, record: Recorder, may_read: str, may_write: str, public: bool
) -> None:
    outer, inner = make_guard(), make_guard()
    sub = Starlette(
        routes=[
            Route("/plain", record.handler("plain")),
            Route("/inner", inner.public(record.handler("inner"))),
            Route("/outer", outer.public(record.handler("outer"))),
            Route("/both", outer.public(inner.public(record.handler("both")))),
            Route("/needs-outer", outer.require(WRITE)(record.handler("needs outer"))),
            Route("/needs-inner", inner.require(WRITE)(record.handler("needs inner"))),
        ]
    )
    inner.install(sub)
    app = Starlette(routes=[Mount("/sub", app=outer.public(sub) if public else sub)])
    outer.install(app)

    strangers_reach = {"inner", "both"} if public else {"both"}
    for path in ("plain", "inner", "outer", "both"):
        status = (await call(app, "GET", f"/sub/{path}")).status_code
        assert (path, status) == (path, 200 if path in strangers_reach else 401)
        assert record.take() == ([path] if path in strangers_reach else [])
        assert (await call(app, "GET", f"/sub/{path}", may_read)).text == path
        record.take()
    for path in ("needs-outer", "needs-inner"):
        assert (await call(app, "GET", f"/sub/{path}")).status_code == 401
        assert (await call(app, "GET", f"/sub/{path}", may_read)).status_code == 403
        assert record.take() == []
        assert (await call(app, "GET", f"/sub/{path}", may_write)).status_code == 200
        record.take()


async def test_who_is_a_stranger_outside_may_be_a_caller_inside(
    make_guard: MakeGuard, user_pool: UserPool, call: Call, may_read: str, reader: LocalClient, writer: LocalClient
) -> None:
    outer = make_guard(UserPool(user_pool.pool_id, client_ids={writer.client_id}))
    inner = make_guard(UserPool(user_pool.pool_id, client_ids={reader.client_id}))

    async def who(request: Request) -> Response:
        caller = inner.principal(request)
        assert (outer.principal(request), request.user) == (None, caller)
        return PlainTextResponse(str(caller and caller.client_id))

    sub = Starlette(routes=[Route("/open", outer.public(who)), Route("/closed", who)])
    inner.install(sub)
    app = Starlette(routes=[Mount("/sub", app=sub)])
    outer.install(app)

    assert (await call(app, "GET", "/sub/open", may_read)).text == reader.client_id
    assert (await call(app, "GET", "/sub/closed", may_read)).status_code == 401
    assert (await call(app, "GET", "/sub/open")).status_code == 401


@pytest.mark.parametrize(("asked", "status", "runs"), [("/sub/open", 200, ["open"]), ("/sub/moved", 401, [])])
async def test_middleware_between_two_guards_gives_a_stranger_no_rights_outside(
    make_guard: MakeGuard, call: Call, record: Recorder, may_read: str, asked: str, status: int, runs: list[str]
) -> None:
    """It adds a token that the inner guard accepts, and may send the request elsewhere."""
    outer, inner = make_guard(), make_guard()

    class Adding(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            request.scope["headers"] = bearer(may_read)
            if asked.endswith("moved"):
                request.scope["path"] = "/sub/secret"
            return await call_next(request)

    sub = Starlette(
        routes=[
            Route("/open", outer.public(record.handler("open"))),
            Route("/moved", outer.public(record.handler("moved"))),
            Route("/secret", record.handler("secret")),
        ]
    )
    inner.install(sub)
    app = Starlette(routes=[Mount("/sub", app=Adding(sub))])
    outer.install(app)

    assert (await call(app, "GET", asked)).status_code == status
    assert record.take() == runs


async def test_the_scope_of_an_outer_pass_opens_nothing_for_a_stranger_of_the_inner_one(
    make_guard: MakeGuard, user_pool: UserPool, call: Call, record: Recorder, may_read: str, reader: LocalClient
) -> None:
    """Middleware between the guards keeps the scope it got, and a public handler sends that one on."""
    outer = make_guard(UserPool(user_pool.pool_id, client_ids={reader.client_id}))
    inner = make_guard(UserPool(user_pool.pool_id, client_ids={"another"}))
    kept: list[Scope] = []
    secret = Router([Route("/secret", record.handler("secret"))])

    class Keeping:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            kept.append(scope)
            await self.app(scope, receive, send)

    async def door(request: Request) -> Response:
        kept[-1]["path"] = "/secret"
        return PlainTextResponse(str(await part(secret, kept[-1], request.receive)))

    app = Starlette(
        routes=[Route("/door", inner.public(door))],
        middleware=[
            Middleware(CognitoGuardMiddleware, guard=outer),
            Middleware(Keeping),
            Middleware(CognitoGuardMiddleware, guard=inner),
        ],
    )

    assert (await call(app, "GET", "/door", may_read)).status_code == 401
    assert record.take() == []


@pytest.mark.parametrize("how", ["del", "clear", "pop"])
@pytest.mark.parametrize("has_token", [True, False])
async def test_a_scope_that_has_lost_what_guards_know_reaches_nothing(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, how: str, has_token: bool
) -> None:
    class Losing:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            members: Any = dict.copy(scope)  # type: ignore[arg-type]
            if how == "del":
                del scope["cognito_guard"]
            elif how == "clear":
                scope.clear()
                for name in members.keys() - {"cognito_guard"}:
                    scope[name] = members[name]
            else:
                scope.pop("cognito_guard")
            scope["path"] = "/secret"
            await self.app(scope, receive, send)

    app = Starlette(
        routes=[Route("/open", guard.public(record.handler("open"))), Route("/secret", record.handler("secret"))],
        middleware=[Middleware(CognitoGuardMiddleware, guard=guard), Middleware(Losing)],
    )

    with suppress(KeyError):
        assert (await call(app, "GET", "/open", may_read if has_token else None)).status_code == 401
    assert record.take() == []


async def test_a_public_handler_opens_nothing_behind_another_guard(
    make_guard: MakeGuard, call: Call, record: Recorder
) -> None:
    outer, inner = make_guard(), make_guard()
    sub = Starlette(
        routes=[
            Route("/door", inner.public(record.handler("inner"))),
            Route("/both", outer.public(inner.public(record.handler("both")))),
        ]
    )
    inner.install(sub)

    async def door(_: Request) -> Response:
        return HandedOn(sub)

    app = Starlette(routes=[Route("/{path}", outer.public(door))])
    outer.install(app)

    assert (await call(app, "GET", "/door")).status_code == 401
    assert record.take() == []
    assert (await call(app, "GET", "/both")).text == "both"


async def test_the_user_of_middleware_between_two_guards_is_left_to_it(
    make_guard: MakeGuard, call: Call, may_read: str
) -> None:
    outer, inner = make_guard(), make_guard()

    class Badge(AuthenticationBackend):
        async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, SimpleUser]:
            return AuthCredentials(["door"]), SimpleUser("jane")

    async def who(request: Request) -> Response:
        return PlainTextResponse(f"{request.user.display_name} {request.auth.scopes}")

    sub = Starlette(routes=[Route("/who", who)])
    inner.install(sub)
    app = Starlette(routes=[Mount("/sub", app=AuthenticationMiddleware(sub, backend=Badge()))])
    outer.install(app)

    assert (await call(app, "GET", "/sub/who", may_read)).text == "jane ['door']"


# -- requests that are made of another


SECRET, NONE = "/secret", "/none"


def batch_app(guard: CognitoGuard, record: Recorder, *, handler: Any, public: bool) -> Starlette:
    app = Starlette(
        routes=[
            Route("/batch", guard.public(handler) if public else handler),
            Route("/plain", record.handler("plain")),
            Route("/write", guard.require(WRITE)(record.handler("write"))),
            Route("/open", guard.public(record.handler("open"))),
        ]
    )
    guard.install(app)
    return app


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("spelling", ["copy", "same", "new list"])
async def test_each_part_of_a_batch_is_judged_by_itself(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, spelling: str, public: bool
) -> None:
    """One that is refused takes nothing from the others, nor from the whole."""

    async def batch(request: Request) -> Response:
        statuses = {}
        for path in ("/plain", "/write", "/open", "/plain"):
            scope: Any = request.scope
            if spelling == "same":
                scope["path"] = path
            else:
                scope = {**scope, "path": path}
            if spelling == "new list":
                scope["headers"] = list(scope["headers"])
            statuses[path] = await part(request.app, scope, request.receive)
        return JSONResponse(statuses)

    app = batch_app(guard, record, handler=batch, public=public)

    if public:
        assert (await call(app, "GET", "/batch")).json() == {"/plain": 401, "/write": 401, "/open": 200}
        assert record.take() == ["open"]
    assert (await call(app, "GET", "/batch", may_read)).json() == {"/plain": 200, "/write": 403, "/open": 200}
    assert record.take() == ["plain", "open", "plain"]
    assert (await call(app, "GET", "/batch", may_write)).json() == {"/plain": 200, "/write": 200, "/open": 200}


async def with_tokens(tokens: list[str], paths: list[str], request: Request) -> Response:
    """Answer with the status of each path for each token, all asked at once."""
    statuses: dict[str, int] = {}

    async def one(number: int, token: str, path: str) -> None:
        scope = {**request.scope, "path": path, "headers": bearer(token)}
        statuses[f"{number} {path}"] = await part(request.app, scope, request.receive)

    async with anyio.create_task_group() as group:
        for number, token in enumerate(tokens):
            for path in paths:
                group.start_soon(one, number, token, path)
    return JSONResponse(dict(sorted(statuses.items())))


@pytest.mark.parametrize("caller", ["reader", "writer"])
async def test_a_part_with_a_token_of_its_own_is_judged_by_that(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, caller: str
) -> None:
    tokens = [may_read, may_write, "nonsense"]
    batch = functools.partial(with_tokens, tokens, ["/plain", "/write"])
    app = batch_app(guard, record, handler=batch, public=False)

    answer = await call(app, "GET", "/batch", may_read if caller == "reader" else may_write)

    assert answer.json() == {
        "0 /plain": 200, "0 /write": 403, "1 /plain": 200, "1 /write": 200, "2 /plain": 401, "2 /write": 401,
    }  # fmt: skip
    assert sorted(record.take()) == ["plain", "plain", "write"]


async def test_a_part_with_a_token_of_its_own_is_judged_by_that_in_a_public_batch(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    batch = functools.partial(with_tokens, [may_read, may_write], ["/plain", "/write"])
    app = batch_app(guard, record, handler=batch, public=True)

    assert (await call(app, "GET", "/batch")).json() == {
        "0 /plain": 200, "0 /write": 403, "1 /plain": 200, "1 /write": 200,
    }  # fmt: skip


@pytest.mark.parametrize("spelling", ["copy", "same"])
@pytest.mark.parametrize("caller", ["reader", "writer"])
async def test_other_credentials_do_not_bypass_the_guard(
    guard: CognitoGuard,
    call: Call,
    record: Recorder,
    may_read: str,
    may_write: str,
    spelling: str,
    caller: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Straight to the router no guard has seen them: neither the old caller counts there nor the new."""
    of_caller, of_other = (may_write, may_read) if caller == "writer" else (may_read, may_write)

    async def batch(request: Request) -> Response:
        scope: Any = request.scope if spelling == "same" else {**request.scope}
        scope.update({"path": "/write", "headers": bearer(of_other)})
        await part(request.app.router, scope, request.receive)
        raise AssertionError

    app = batch_app(guard, record, handler=batch, public=False)

    assert (await call(app, "GET", "/batch", of_caller, crash=False)).status_code == 500
    assert record.take() == []
    assert "with an Authorization header that no guard has seen" in caplog.text


async def test_a_stranger_on_a_public_route_stays_one_where_the_request_goes_next(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    async def batch(request: Request) -> Response:
        request.scope["path"] = "/plain"
        await part(request.app.router, request.scope, request.receive)
        raise AssertionError

    app = batch_app(guard, record, handler=batch, public=True)

    assert (await call(app, "GET", "/batch")).status_code == 401
    assert record.take() == []


async def test_a_public_object_of_fastapi_opens_nothing_that_it_hands_on_to(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    class Batch:
        async def __call__(self, request: Request) -> Any:
            request.scope["path"] = "/plain"
            return await part(request.app.router, request.scope, request.receive)

    app = FastAPI(openapi_url=None)
    app.add_api_route("/batch", guard.public(Batch()))
    app.add_api_route("/plain", record.operation("plain"))
    guard.install(app)

    answer = await call(app, "GET", "/batch")
    assert (answer.status_code, record.take()) == (401, [])


# -- apps that are called in process


@pytest.mark.parametrize("inner_guard", ["the same", "another"])
async def test_an_app_that_is_called_in_process_has_requests_of_its_own(
    guard: CognitoGuard, make_guard: MakeGuard, call: Call, record: Recorder, may_read: str, may_write: str,
    inner_guard: str,
) -> None:  # fmt: skip
    of_inner = guard if inner_guard == "the same" else make_guard()
    inner = FastAPI(openapi_url=None)
    # Without parameters, so that it is known by the context alone whose request this is.
    inner.add_api_route("/write", of_inner.require(WRITE)(record.operation("write")))
    inner.add_api_route("/open", of_inner.public(record.operation("open")))
    of_inner.install(inner)
    after = guard.require(WRITE)(record.operation("after"))

    async def outer(request: Request) -> Response:
        token = request.query_params.get("token")
        statuses = [(await ask(inner, "GET", path, token)).status for path in ("/write", "/open")]
        return JSONResponse([*statuses, await after()])

    app = Starlette(routes=[Route("/outer", guard.public(outer))])
    guard.install(app)

    for token in (None, may_read):
        refused = await call(app, "GET", f"/outer?token={may_write}", token)
        assert refused.status_code == (401 if token is None else 403)
        assert record.take() == ["write", "open"]
    assert (await call(app, "GET", "/outer", may_write)).json() == [401, 200, "after"]
    assert (await call(app, "GET", f"/outer?token={may_read}", may_write)).json() == [403, 200, "after"]
    assert record.take() == ["open", "after"] * 2


async def test_an_app_without_its_guard_refuses_in_process_too(
    guard: CognitoGuard, call: Call, record: Recorder, may_write: str
) -> None:
    inner = Starlette(routes=[Route("/write", guard.require(WRITE)(record.handler("write")))])

    async def outer(request: Request) -> Response:
        return PlainTextResponse(str((await ask(inner, "GET", "/write", may_write)).status))

    app = Starlette(routes=[Route("/outer", outer)])
    guard.install(app)

    assert (await call(app, "GET", "/outer", may_write)).text == "500"
    assert record.take() == []


# -- the same guard twice


async def test_a_caller_verified_by_an_outer_pass_is_not_verified_again(
    make_guard: MakeGuard, call: Call, may_read: str
) -> None:
    events: list[Any] = []
    guard = make_guard(on_event=events.append)

    async def who(request: Request) -> Response:
        principal = guard.principal(request)
        assert principal is request.user
        return PlainTextResponse(str(principal and principal.client_id))

    sub = Starlette(routes=[Route("/who", who)])
    guard.install(sub)
    app = CognitoGuardMiddleware(Starlette(routes=[Mount("/sub", app=sub)]), guard=guard)

    assert (await call(app, "GET", "/sub/who", may_read)).text == guard_client(may_read)
    assert (await call(app, "GET", "/sub/who")).status_code == 401
    assert len([event for event in events if getattr(event, "status", None) == 401]) == 1


async def test_a_caller_behind_a_public_app_has_a_scope_that_can_be_copied(
    make_guard: MakeGuard, call: Call, record: Recorder, may_read: str
) -> None:
    """The stranger outside has arrived, so nothing of the outer guard is left to be judged."""
    outer, inner = make_guard(UserPool("eu-west-1_Other", client_ids=ANY_CLIENT)), make_guard()
    sub = Starlette(routes=[Route("/x", record.handler("x"))])

    async def copying(scope: Scope, receive: Receive, send: Send) -> None:
        await sub({**scope}, receive, send)

    app = Starlette(routes=[Mount("/sub", app=outer.public(CognitoGuardMiddleware(copying, guard=inner)))])
    outer.install(app)

    assert (await call(app, "GET", "/sub/x", may_read)).text == "x"
    assert (await call(app, "GET", "/sub/x")).status_code == 401


async def test_a_header_that_middleware_adds_changes_no_credentials(
    guard: CognitoGuard, call: Call, record: Recorder, may_write: str
) -> None:
    class Adding(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            request.scope["headers"] = [*request.scope["headers"], (b"x-request-id", b"1")]
            return await call_next(request)

    app = Starlette(
        routes=[Route("/", guard.require(WRITE)(record.handler("reached")))], middleware=[Middleware(Adding)]
    )

    assert (await call(CognitoGuardMiddleware(app, guard=guard), "GET", "/", may_write)).text == "reached"


async def test_a_request_of_another_guards_app_is_judged_by_itself(
    make_guard: MakeGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    """The app that is serving does not have that guard, so it says nothing of its callers."""
    guard, other = make_guard(), make_guard()
    admin, kept = other.require(WRITE)(record.handler("admin")), []

    async def keep(request: Request) -> Response:
        kept.append(request)
        return PlainTextResponse("kept")

    async def use(request: Request) -> Response:
        return await admin(kept[-1])

    keeper, app = Starlette(routes=[Route("/", keep)]), Starlette(routes=[Route("/", use)])
    other.install(keeper)
    guard.install(app)

    for token, status in ((may_read, 403), (may_write, 200)):
        await call(keeper, "GET", "/", token)
        assert (await call(app, "GET", "/", may_read, crash=False)).status_code == status
    assert record.take() == ["admin"]
