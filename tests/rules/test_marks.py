"""A public mark or a requirement counts for that very object, not for copies or similar objects."""

import copy
import functools
import inspect
import types
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.types import Receive, Scope, Send

from cognito_guard import CognitoGuard, audit
from cognito_guard.errors import ConfigurationError, NotInstalledError
from tests.requests.apps import WRITE
from tests.requests.recording import Recorder

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


class Service:
    """Handlers that are methods, and an app."""

    async def method(self, request: Request) -> Response:
        return PlainTextResponse("reached")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("reached")(scope, receive, send)


class Loose(Router):
    """A router whose parameters do not tell what it is."""

    async def __call__(self, *args: Any) -> None:
        raise AssertionError


def wrapping(handler: Any) -> Any:
    @functools.wraps(handler)
    async def wrapper(request: Request) -> Response:
        return PlainTextResponse("reached")

    return wrapper


def with_its_attributes(handler: Any) -> Any:
    async def look_alike(request: Request) -> Response:
        return PlainTextResponse("reached")

    look_alike.__dict__.update(handler.__dict__)
    return look_alike


def with_its_code(handler: Any) -> Any:
    twin = types.FunctionType(handler.__code__, handler.__globals__, "twin", None, handler.__closure__)
    twin.__dict__.update(handler.__dict__)
    return twin


@pytest.mark.parametrize("derive", [wrapping, with_its_attributes, with_its_code, functools.partial])
async def test_functions_made_from_a_public_function_are_not_public(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, derive: Callable[[Any], Any]
) -> None:
    original = record.handler("reached")
    public = guard.public(original)
    app = Starlette(routes=[Route("/public", public), Route("/original", original), Route("/derived", derive(public))])
    guard.install(app)

    assert (await call(app, "GET", "/public")).text == "reached"
    assert record.take() == ["reached"]
    for path in ("/original", "/derived"):
        assert (path, (await call(app, "GET", path)).status_code) == (path, 401)
        assert record.take() == []
        assert (await call(app, "GET", path, may_read)).text == "reached"
        record.take()
    assert {route.path: route.public for route in audit.routes(app)} == {
        "/public": True, "/original": False, "/derived": False,
    }  # fmt: skip


async def test_a_public_method_is_public_for_its_object_or_its_class(guard: CognitoGuard, call: Call) -> None:
    """As it was marked: on an object for that, in a class for all."""

    class Open(Service):
        method = guard.public(Service.method)

    class Heir(Open):
        async def method(self, request: Request) -> Response:
            raise AssertionError

    one, other = Service(), Service()
    app = Starlette(
        routes=[
            Route("/marked", guard.public(one.method)),
            Route("/one", one.method),
            Route("/other", other.method),
            Route("/open", Open().method),
            Route("/heir", Heir().method),
        ]
    )
    guard.install(app)

    for path, status in (("/marked", 200), ("/one", 401), ("/other", 401), ("/open", 200), ("/heir", 401)):
        assert (path, (await call(app, "GET", path)).status_code) == (path, status)


async def test_a_public_app_is_that_object(guard: CognitoGuard, call: Call) -> None:
    marked = guard.public(Service())
    app = Starlette(
        routes=[
            Route("/marked", marked),
            Route("/copy", copy.copy(marked)),
            Route("/deep", copy.deepcopy(marked)),
            Route("/other", Service()),
            Mount("/mounted", app=marked),
            Mount("/mounted-copy", app=copy.copy(marked)),
        ]
    )
    guard.install(app)

    for path, status in (
        ("/marked", 200), ("/copy", 401), ("/deep", 401), ("/other", 401), ("/mounted/", 200), ("/mounted-copy/", 401),
    ):  # fmt: skip
        assert (path, (await call(app, "GET", path)).status_code) == (path, status)


async def test_a_requirement_holds_for_what_is_put_around_it(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    guarded = guard.require(WRITE)(record.handler("reached"))
    app = Starlette(
        routes=[
            Route("/wrapping", wrapping(guarded)),
            Route("/twice", wrapping(wrapping(guarded))),
            Route("/partial", functools.partial(guarded)),
            Route("/wrapped-partial", wrapping(functools.partial(wrapping(guarded)))),
        ]
    )
    guard.install(app)

    for route in audit.routes(app):
        assert (route.path, route.requirement) == (route.path, WRITE)
        assert (await call(app, "GET", route.path, may_read)).status_code == 403
    assert record.take() == []


@pytest.mark.parametrize("derive", [lambda handler: handler, wrapping, functools.partial])
def test_public_and_a_requirement_exclude_each_other_in_any_order(
    guard: CognitoGuard, record: Recorder, derive: Callable[[Any], Any]
) -> None:
    with pytest.raises(ConfigurationError, match="cannot be public and have a requirement"):
        guard.public(derive(guard.require(WRITE)(record.handler("x"))))


def test_a_public_function_cannot_have_a_requirement(guard: CognitoGuard, record: Recorder) -> None:
    with pytest.raises(ConfigurationError, match="cannot be public and have a requirement"):
        guard.require(WRITE)(guard.public(record.handler("x")))


async def test_a_public_wrapper_that_calls_a_guarded_handler_opens_nothing(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    """It does not say what it calls; the guarded handler does."""
    guarded = guard.require(WRITE)(record.handler("guarded"))

    async def unnamed(request: Request) -> Response:
        record.note("wrapper")
        return await guarded(request)

    app = Starlette(routes=[Route("/x", guard.public(unnamed))])
    guard.install(app)

    for token, status, ran in (
        (None, 401, ["wrapper"]), (may_read, 403, ["wrapper"]), (may_write, 200, ["wrapper", "guarded"]),
    ):  # fmt: skip
        assert (await call(app, "GET", "/x", token)).status_code == status
        assert record.take() == ran


def test_a_public_copy_behaves_like_its_function(guard: CognitoGuard) -> None:
    async def handler(request: Request, number: int = 1, *, word: str = "w") -> str:
        """Say it."""
        raise AssertionError

    twin: Any = guard.public(handler)

    assert twin is not handler
    assert (twin.__name__, twin.__qualname__, twin.__doc__) == ("handler", handler.__qualname__, "Say it.")
    assert (twin.__defaults__, twin.__kwdefaults__, twin.__annotations__) == (
        handler.__defaults__, handler.__kwdefaults__, handler.__annotations__,
    )  # fmt: skip
    assert not hasattr(twin, "__wrapped__")

    @functools.wraps(handler)
    async def around(*args: Any) -> str:
        raise AssertionError

    assert inspect.unwrap(guard.public(around)) is handler


def test_a_mark_of_one_guard_is_not_of_another(make_guard: Callable[..., CognitoGuard], record: Recorder) -> None:
    one, other = make_guard(), make_guard()
    handler = record.handler("x")
    app = Starlette(routes=[Route("/one", one.public(handler)), Route("/both", other.public(one.public(handler)))])
    other.install(app)

    assert {route.path: route.public for route in audit.routes(app)} == {"/one": False, "/both": True}


@pytest.mark.parametrize(
    "app",
    [
        pytest.param(Starlette(), id="starlette"),
        pytest.param(FastAPI(), id="fastapi"),
        pytest.param(Router(), id="router"),
        pytest.param(APIRouter(), id="api router"),
        pytest.param(Loose(), id="router with other parameters"),
        pytest.param(Service(), id="raw"),
        pytest.param(Mount("/x", app=Service()), id="mount"),
        pytest.param(Route("/x", Service()), id="route"),
    ],
)
def test_a_requirement_on_an_app_says_how_to_guard_it(guard: CognitoGuard, app: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"requirement\.wrap\(app\).*APIRouter\(dependencies="):
        guard.require(WRITE)(app)


@pytest.mark.parametrize("make", [APIRouter, lambda: Route("/x", Service()), lambda: Mount("/x", app=Service())])
def test_a_public_mark_that_opens_nothing_is_a_mistake(guard: CognitoGuard, make: Callable[[], Any]) -> None:
    with pytest.raises(ConfigurationError):
        guard.public(make())


async def test_a_plain_function_and_its_guarded_copy_may_both_be_routes(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    handler = record.handler("x")
    app = Starlette(routes=[Route("/plain", handler), Route("/guarded", guard.require(WRITE)(handler))])
    guard.install(app)

    assert (await call(app, "GET", "/plain", may_read)).text == "x"
    assert (await call(app, "GET", "/guarded", may_read)).status_code == 403


async def test_an_app_mounted_twice_may_be_guarded_once(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    raw = record.app("raw")
    app = Starlette(routes=[Mount("/plain", app=raw), Mount("/guarded", app=guard.require(WRITE).wrap(raw))])
    guard.install(app)

    assert (await call(app, "GET", "/plain/", may_read)).text == "raw"
    assert (await call(app, "GET", "/guarded/", may_read)).status_code == 403


async def test_an_app_mounted_twice_may_be_guarded_by_two_requirements(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    raw = record.app("raw")
    guarded = guard.authenticated.wrap(guard.require(WRITE).wrap(raw))
    app = Starlette(routes=[Mount("/plain", app=raw), Mount("/guarded", app=guarded)])
    guard.install(app)

    assert (await call(app, "GET", "/plain/", may_read, crash=False)).text == "raw"


# -- above the route decorator


@pytest.mark.parametrize("kind", ["require", "require_any", "authenticated", "method", "partial", "sub-app"])
def test_a_requirement_that_no_route_uses_stops_the_app(guard: CognitoGuard, record: Recorder, kind: str) -> None:
    class Own:
        async def method(self) -> None:
            raise AssertionError

    app = FastAPI(openapi_url=None)
    where = FastAPI(openapi_url=None) if kind == "sub-app" else app
    handler: Any = {"method": Own().method, "partial": functools.partial(record.operation("x"))}.get(kind)
    requirement = {"require_any": guard.require_any(WRITE), "authenticated": guard.authenticated}.get(
        kind, guard.require(WRITE)
    )
    requirement(where.get("/x", response_model=None)(handler or record.operation("x")))
    if kind == "sub-app":
        app.mount("/sub", where)

    stopping = [finding.problem for finding in audit.findings(app) if finding.stops]

    assert [problem.partition(",")[0] for problem in stopping] == ["a requirement is above the route decorator"]


async def test_head_has_the_requirement_of_get_unless_the_class_answers_it_itself(
    guard: CognitoGuard, call: Call, may_read: str
) -> None:
    class Get(HTTPEndpoint):
        @guard.require(WRITE)
        async def get(self, request: Request) -> Response:
            raise AssertionError

    class Both(Get):
        async def head(self, request: Request) -> Response:
            return Response()

    app = Starlette(routes=[Route("/get", Get), Route("/both", Both)])
    guard.install(app)

    for path, method, status in (("/get", "HEAD", 403), ("/both", "HEAD", 200), ("/both", "GET", 403)):
        assert (path, method, (await call(app, method, path, may_read)).status_code) == (path, method, status)


@pytest.mark.parametrize("kind", [staticmethod, classmethod])
async def test_a_public_mark_counts_above_what_makes_a_method_static(
    guard: CognitoGuard, call: Call, kind: Any
) -> None:
    async def answer(*args: Any) -> Response:
        return PlainTextResponse("open")

    class Service:
        method = guard.public(kind(answer))

    app = Starlette(routes=[Route("/open", Service().method), Route("/plain", answer)])
    guard.install(app)

    assert (await call(app, "GET", "/open")).text == "open"
    assert (await call(app, "GET", "/plain")).status_code == 401


@pytest.mark.parametrize("handler", [object(), len, int])
def test_what_takes_no_attributes_cannot_be_public(guard: CognitoGuard, handler: Any) -> None:
    with pytest.raises(ConfigurationError, match="open its path"):
        guard.public(handler)


async def test_a_handler_that_wraps_itself_is_looked_at_once(guard: CognitoGuard, call: Call, may_read: str) -> None:
    async def one(request: Request) -> Response:
        return PlainTextResponse("one")

    async def other(request: Request) -> Response:
        raise AssertionError

    vars(one)["__wrapped__"], vars(other)["__wrapped__"] = other, one
    app = Starlette(routes=[Route("/", one)])
    guard.install(app)

    assert (await call(app, "GET", "/", may_read)).text == "one"


async def test_a_public_partial_is_another_one_with_the_same_arguments(guard: CognitoGuard, call: Call) -> None:
    async def answer(number: int, request: Request, *, word: str) -> Response:
        return PlainTextResponse(f"{number} {word}")

    partial = functools.partial(answer, 1, word="w")
    app = Starlette(routes=[Route("/open", guard.public(partial)), Route("/plain", partial)])
    guard.install(app)

    assert (await call(app, "GET", "/open")).text == "1 w"
    assert (await call(app, "GET", "/plain")).status_code == 401


def test_what_takes_no_attributes_may_have_a_requirement(guard: CognitoGuard) -> None:
    guarded = guard.require(WRITE)(len)

    with pytest.raises(NotInstalledError):
        guarded("abc")
