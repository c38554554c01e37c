"""What a stranger can reach, run or learn: public routes, and nothing else."""

import collections
import copy
import itertools
import operator
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Host, Match, Mount, Route
from starlette.types import Receive, Scope, Send

from cognito_guard import CognitoGuard, CognitoGuardMiddleware
from tests.requests.apps import WRITE
from tests.requests.recording import Recorder, ask, rewriting

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]

PREFLIGHT = {"origin": "https://shop.example", "access-control-request-method": "GET"}
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "QUERY"]
PATHS = [
    "/private", "/private/", "/written/1", "/written/x", "/written/" + "9" * 5000, "/slash", "/slash/", "/none",
    "/none/", "/mount", "/mount/", "/mount/private", "/mount/private/", "/mount/none", "/options", "//", "/",
    "//public", "/public;x", "/Public", "/docs", "/openapi.json", "/host",
]  # fmt: skip


def shop(guard: CognitoGuard, record: Recorder, framework: Any, *, cors: bool, redirects: bool) -> Any:
    app = framework(middleware=[Middleware(CORSMiddleware, allow_origins=["*"])] if cors else [])
    app.router.redirect_slashes = redirects
    app.router.default = record.app("default", 404)
    app.router.routes += [
        Route("/public", guard.public(record.handler("public"))),
        Route("/private", record.handler("private")),
        Route("/written/{id:int}", guard.require(WRITE)(record.handler("written")), methods=["POST"]),
        Route("/slash/", record.handler("slash")),
        Route("/options", record.handler("options"), methods=["OPTIONS"]),
        Mount("/mount", routes=[Route("/private", record.handler("private"))]),
        Host("other.example", app=record.app("host")),
    ]
    guard.install(app)
    return app


@pytest.mark.parametrize("redirects", [True, False])
@pytest.mark.parametrize("cors", [True, False])
@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_all_that_is_not_public_looks_the_same(
    guard: CognitoGuard, record: Recorder, framework: Any, cors: bool, redirects: bool
) -> None:
    """Unknown paths, 405, redirects, failing convertors: for a stranger they are one answer."""
    app = shop(guard, record, framework, cors=cors, redirects=redirects)
    expected = await ask(app, "GET", "/none", host="other.example")
    assert (expected.status, expected.headers["www-authenticate"]) == (401, "Bearer")

    for method, path in itertools.product(METHODS, PATHS):
        assert (method, path[:20], await ask(app, method, path, host="other.example")) == (method, path[:20], expected)
        preflight = await ask(
            app, method, path, origin="https://shop.example", access_control_request_method="GET", host="x.example"
        )
        # The CORSMiddleware outside of the guard answers a preflight, whatever the path.
        is_answered = cors and method == "OPTIONS"
        assert (preflight.status, preflight.text) == ((200, "OK") if is_answered else (401, expected.text))
        assert is_answered or preflight.headers["www-authenticate"] == "Bearer"
    assert record.take() == []


@pytest.mark.parametrize("redirects", [True, False])
async def test_answers_of_a_public_route_itself_are_open(
    guard: CognitoGuard, call: Call, record: Recorder, redirects: bool
) -> None:
    """Its 405 for another method, HEAD, and the redirect that mends a slash."""
    app = shop(guard, record, Starlette, cors=False, redirects=redirects)

    assert (await call(app, "GET", "/public")).text == "public"
    assert (await call(app, "HEAD", "/public")).status_code == 200
    assert (await call(app, "POST", "/public")).status_code == 405
    redirected = await call(app, "GET", "/public/?q=1")
    assert redirected.status_code == (307 if redirects else 401)
    assert redirected.headers.get("location") == ("http://api.example/public?q=1" if redirects else None)
    assert record.take() == ["public", "public"]


@pytest.mark.parametrize("form", ["wrap", "router", "route"])
async def test_a_public_route_under_a_requirement_tells_strangers_of_no_redirect(
    guard: CognitoGuard, call: Call, record: Recorder, form: str
) -> None:
    app, required = FastAPI(openapi_url=None), [Depends(guard.require(WRITE))]
    router = APIRouter(dependencies=required if form == "router" else [])
    router.add_api_route("/x/", guard.public(record.operation("x")), dependencies=required if form == "route" else [])
    if form == "wrap":
        inner = FastAPI(openapi_url=None)
        inner.include_router(router)
        app.mount("/in", guard.require(WRITE).wrap(inner))
    else:
        app.include_router(router, prefix="/in")
    guard.install(app)

    assert (await call(app, "GET", "/in/x/")).status_code == 401
    assert (await call(app, "GET", "/in/x")).status_code == 401


# -- scopes that are changed on the way


SPELLINGS: dict[str, Callable[[Any], Any]] = {
    "the same": lambda scope: scope,
    "dict": dict,
    "unpacked": lambda scope: {**scope},
    "copy": operator.methodcaller("copy"),
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "or": lambda scope: scope | {},
    "or, from the right": lambda scope: {} | scope,
    "ior": lambda scope: dict.__ior__({}, scope),
    "items": lambda scope: dict(scope.items()),
    "keys": lambda scope: {key: scope[key] for key in scope.keys()},  # noqa: SIM118 - another road into it
    "iterated": lambda scope: {key: scope[key] for key in scope},
    "sorted": lambda scope: {key: scope[key] for key in sorted(scope)},
    "values": lambda scope: dict(zip(scope.keys(), scope.values(), strict=True)),
    "fromkeys": lambda scope: {key: scope[key] for key in dict.fromkeys(scope)},
    "OrderedDict": collections.OrderedDict,
    "defaultdict": lambda scope: collections.defaultdict(None, scope),
    "UserDict": collections.UserDict,
    "as a request": lambda scope: dict(Request(scope)),
    "reduced": lambda scope: dict(scope.__reduce_ex__(2)[4]),
}


def with_rewritten(guard: CognitoGuard, record: Recorder, make_copy: Callable[[Any], Any]) -> dict[str, Any]:
    """Return apps in which middleware behind the guard sends `/public` on to `/private`."""
    middleware = [Middleware(rewriting("/public", "/private", make_copy))]

    def routes() -> list[Route]:
        return [
            Route("/public", guard.public(record.handler("public"))),
            Route("/private", record.handler("private")),
        ]

    mounted = Starlette(routes=[Mount("/sub", app=Starlette(routes=routes(), middleware=middleware))])
    guard.install(mounted)
    outermost = Starlette(routes=[Mount("/sub", routes=routes())], middleware=middleware)
    guard.install(outermost, outermost=True)
    wrapped = CognitoGuardMiddleware(
        Starlette(routes=[Mount("/sub", routes=routes())], middleware=middleware), guard=guard
    )
    return {"mounted": mounted, "outermost": outermost, "wrapped": wrapped}


@pytest.mark.parametrize("where", ["mounted", "outermost", "wrapped"])
@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_no_copy_of_the_scope_opens_another_path(
    guard: CognitoGuard, call: Call, record: Recorder, spelling: str, where: str
) -> None:
    app = with_rewritten(guard, record, SPELLINGS[spelling])[where]

    answer = await call(app, "GET", "/sub/public", crash=False)

    assert (answer.status_code, record.take()) == (401, [])


@pytest.mark.parametrize(
    "make_copy",
    [
        lambda scope: {key: scope[key] for key in reversed(scope)},
        lambda scope: dict([scope.popitem() for _ in range(len(scope))]),
    ],
    ids=["reversed", "popitem"],
)
async def test_unpacking_the_scope_opens_no_path(
    guard: CognitoGuard, call: Call, record: Recorder, make_copy: Callable[[Any], Any]
) -> None:
    app = with_rewritten(guard, record, make_copy)["mounted"]

    answer = await call(app, "GET", "/sub/public", crash=False)

    assert (answer.status_code, record.take()) == (401, [])


@pytest.mark.parametrize(
    "make_copy", [lambda scope: collections.ChainMap({}, scope), lambda scope: dict(dict.items(scope))]
)
async def test_a_wrapped_scope_that_the_guard_cannot_see_gets_no_answer(
    guard: CognitoGuard, call: Call, record: Recorder, make_copy: Callable[[Any], Any]
) -> None:
    """The documented limit: a handler runs, but what it says does not get out."""
    app = with_rewritten(guard, record, make_copy)["mounted"]

    answer = await call(app, "GET", "/sub/public")

    assert (answer.status_code, answer.json()["error"]) == (401, "missing_token")
    assert record.take() == ["private"]


@pytest.mark.parametrize("make_copy", [dict, lambda scope: scope])
async def test_a_public_path_opens_no_other_path(
    guard: CognitoGuard, call: Call, record: Recorder, make_copy: Callable[[Any], Any]
) -> None:
    """A copy is not judged yet: the scope of such a request is never sealed."""
    routes = [Route("/public", record.handler("public")), Route("/private", record.handler("private"))]
    sub = Starlette(routes=routes, middleware=[Middleware(rewriting("/public", "/private", make_copy))])
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app, public_paths={("GET", "/sub/public")})

    answer = await call(app, "GET", "/sub/public")

    assert (answer.status_code, record.take()) == (401, [])


async def test_a_stranger_whose_get_becomes_a_post_is_refused(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    """What was found public is the GET."""

    class Posting:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            scope["method"] = "POST"
            await self.app(scope, receive, send)

    routes = [
        Route("/both", guard.public(record.handler("read"))),
        Route("/both", record.handler("written"), methods=["POST"]),
    ]
    app = Starlette(routes=[Mount("/sub", app=Starlette(routes=routes, middleware=[Middleware(Posting)]))])
    guard.install(app)
    by_path = Starlette(routes=[Mount("/sub", app=Starlette(routes=routes, middleware=[Middleware(Posting)]))])
    guard.install(by_path, public_paths={("GET", "/sub/both")})

    assert (await call(app, "GET", "/sub/both")).status_code == 401
    assert (await call(by_path, "GET", "/sub/both")).status_code == 401
    assert record.take() == []


async def test_a_path_that_is_changed_to_an_unknown_one_reaches_no_404_handler_of_the_apps_own(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    sub = Starlette(
        routes=[Route("/public", guard.public(record.handler("public")))],
        middleware=[Middleware(rewriting("/public", "/none"))],
    )
    sub.router.default = record.app("default", 404)
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app)

    assert (await call(app, "GET", "/sub/public")).status_code == 401
    assert record.take() == []


# -- routes and middleware of the app's own


class Endpointless(BaseRoute):
    """Takes every second request, and names no endpoint."""

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self._asked = 0

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        self._asked += 1
        return (Match.NONE if self._asked % 2 else Match.FULL), {}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._record.app("own")(scope, receive, send)


async def test_a_route_that_answers_in_another_way_than_it_was_asked_says_nothing_to_strangers(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    """It names no endpoint, so it is not known for what it is; but nothing of it gets out."""
    app = Starlette(routes=[Endpointless(record), Route("/public", guard.public(record.handler("public")))])
    guard.install(app)

    answer = await call(app, "GET", "/public")

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert record.take() == ["own"]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_mount_whose_app_is_replaced_is_as_open_as_the_new_app(
    guard: CognitoGuard, call: Call, record: Recorder, whole: bool
) -> None:
    old = Starlette(routes=[Route("/x", guard.public(record.handler("old")))])
    mount = Mount("/sub", app=guard.public(old) if whole else old)
    app = Starlette(routes=[mount])
    guard.install(app)
    new: Any = record.app("new")
    new.settings = SimpleNamespace(former=old)  # to know an app is not to pass requests on to it
    mount.app = new

    assert (await call(app, "GET", "/sub/x")).status_code == 401
    assert record.take() == []


async def test_a_mount_whose_app_is_replaced_by_routes_is_judged_by_these(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    mount = Mount("/sub", app=Starlette(routes=[Route("/x", guard.public(record.handler("old")))]))
    app = Starlette(routes=[mount])
    guard.install(app)
    mount.app = Starlette(routes=[Route("/x", record.handler("new"))])

    assert (await call(app, "GET", "/sub/x")).status_code == 401
    assert record.take() == []


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_middleware_that_swallows_a_refusal_says_nothing_to_strangers(
    guard: CognitoGuard, call: Call, record: Recorder, status: int
) -> None:
    class Swallowing(BaseHTTPMiddleware):
        async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
            answer = await call_next(request)
            return PlainTextResponse("swallowed", status) if answer.status_code >= 400 else answer

    sub = Starlette(
        routes=[
            Route("/public", guard.public(record.handler("public"))),
            Route("/private", record.handler("private")),
        ],
        middleware=[Middleware(rewriting("/gone", "/private")), Middleware(Swallowing)],
    )
    sub.router.routes.insert(0, Route("/gone", guard.public(record.handler("gone"))))
    app = Starlette(routes=[Mount("/sub", app=sub)])
    guard.install(app)

    refused = await call(app, "GET", "/sub/gone")
    assert (refused.status_code, refused.json()["error"]) == (401, "missing_token")
    assert record.take() == []
    assert (await call(app, "GET", "/sub/public")).text == "public"


# -- preflights


async def test_only_the_middleware_for_it_answers_a_preflight(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    """Whatever stands where no CORSMiddleware is ahead does not hear of it."""
    cors = Middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    routes = [Route("/x", record.handler("x"), methods=["GET", "OPTIONS"])]
    app = Starlette(
        routes=[
            Mount("/app", app=Starlette(routes=routes, middleware=[cors])),
            Mount("/wrapped", app=CORSMiddleware(Starlette(routes=routes), allow_origins=["https://shop.example"])),
            Mount("/middleware", routes=routes, middleware=[cors]),
            Mount("/raw", app=record.app("raw", 200, **{"access-control-allow-origin": "*"})),
            Mount("/none", routes=routes),
            Route("/route", record.handler("route"), methods=["OPTIONS"]),
        ]
    )
    guard.install(app)

    for path in ("/app/x", "/app/none", "/wrapped/x", "/wrapped/none", "/middleware/x", "/middleware/none"):
        assert (path, (await call(app, "OPTIONS", path, headers=PREFLIGHT)).text) == (path, "OK")
        foreign = await call(app, "OPTIONS", path, headers=PREFLIGHT | {"origin": "https://evil.example"})
        assert (path, foreign.status_code) == (path, 400)
    for path in ("/raw/x", "/none/x", "/none/y", "/route", "/unknown", "/app"):
        answer = await call(app, "OPTIONS", path, headers=PREFLIGHT)
        assert (path, answer.status_code, answer.headers["www-authenticate"]) == (path, 401, "Bearer")
    assert record.take() == []


# -- exception handlers


async def drops_headers(request: Request, error: HTTPException) -> Response:
    return PlainTextResponse("handled", error.status_code)


async def hides_that_it_exists(request: Request, error: HTTPException) -> Response:
    return PlainTextResponse("handled", 404)


async def sends_to_the_login(request: Request, error: HTTPException) -> Response:
    return PlainTextResponse("handled", 303, {"location": "/login"})


@pytest.mark.parametrize("path", ["/private", "/unknown", "/written"])
@pytest.mark.parametrize("key", [HTTPException, 401])
@pytest.mark.parametrize("framework", [Starlette, FastAPI])
@pytest.mark.parametrize("handler", [drops_headers, hides_that_it_exists, sends_to_the_login])
async def test_every_handlers_answer_to_a_refusal_has_a_challenge(
    guard: CognitoGuard, call: Call, record: Recorder, handler: Any, framework: Any, key: Any, path: str
) -> None:
    app = framework(exception_handlers={key: handler})
    app.router.routes += [
        Route("/private", record.handler("private")),
        Route("/written", guard.require(WRITE)(record.handler("written"))),
        Route("/public", guard.public(record.handler("public"))),
    ]
    guard.install(app)

    answer = await call(app, "GET", path)

    assert (answer.text, answer.headers["www-authenticate"]) == ("handled", "Bearer")
    assert record.take() == []


async def test_a_handler_that_fails_opens_nothing(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    async def fails(request: Request, error: Exception) -> Response:
        raise RuntimeError

    app = Starlette(
        routes=[Route("/written", guard.require(WRITE)(record.handler("written")))],
        exception_handlers={HTTPException: fails},
    )
    guard.install(app)

    for token in (None, may_read):
        assert (await call(app, "GET", "/written", token, crash=False)).status_code == 500
    assert record.take() == []
