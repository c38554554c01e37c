"""The code of a guarded handler runs only for callers with its scope, no matter what calls it."""

import asyncio
import contextvars
import copy
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import FrozenInstanceError
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from fastapi import FastAPI
from pydantic import validate_call
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from cognito_guard import CognitoGuard, UserPool, audit
from cognito_guard.errors import ConfigurationError, InsufficientScopeError, NotInstalledError
from tests.requests.apps import READ, WRITE
from tests.requests.recording import Recorder

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]
Guarded = Callable[[], Any]


# -- called from elsewhere


async def straight(coroutine: Guarded, function: Guarded) -> Any:
    return await coroutine()


async def in_a_task_group(coroutine: Guarded, function: Guarded) -> Any:
    async with anyio.create_task_group() as group:
        group.start_soon(coroutine)


async def in_a_worker_thread(coroutine: Guarded, function: Guarded) -> Any:
    return await anyio.to_thread.run_sync(function)


async def from_a_worker_thread(coroutine: Guarded, function: Guarded) -> Any:
    return await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(coroutine))


async def in_a_copied_context(coroutine: Guarded, function: Guarded) -> Any:
    return contextvars.copy_context().run(function)


async def by_a_partial(coroutine: Guarded, function: Guarded) -> Any:
    return await functools.partial(coroutine)()


async def swallowing_what_is_raised(coroutine: Guarded, function: Guarded) -> Any:
    try:
        return await coroutine()
    except Exception:  # noqa: BLE001 - as libraries do
        return None


WAYS = [
    straight, in_a_task_group, in_a_worker_thread, from_a_worker_thread, in_a_copied_context, by_a_partial,
    swallowing_what_is_raised,
]  # fmt: skip


@pytest.mark.parametrize("public", [True, False])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("framework", [Starlette, FastAPI])
async def test_any_call_of_a_guarded_handler_runs_only_for_callers_with_the_scope(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str,
    framework: Any, way: Any, public: bool,
) -> None:  # fmt: skip
    coroutine = guard.require(WRITE)(record.operation("admin"))
    function = guard.require(WRITE)(record.dependency("admin"))

    async def handler(request: Request) -> Response:
        await way(coroutine, function)
        return PlainTextResponse("handler")

    app = framework()
    app.router.routes.append(Route("/x", guard.public(handler) if public else handler))
    guard.install(app)

    assert (await call(app, "GET", "/x", crash=way is not in_a_task_group)).status_code == 401
    # A task group raises a group of exceptions, which is passed on to the server.
    assert (await call(app, "GET", "/x", may_read, crash=way is not in_a_task_group)).status_code == 403
    assert record.take() == []
    assert (await call(app, "GET", "/x", may_write)).text == "handler"
    assert record.take() == ["admin"]


@pytest.mark.parametrize("path", ["/background", "/stream"])
async def test_code_that_runs_after_the_answer_is_judged_too(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, path: str
) -> None:
    admin = guard.require(WRITE)(record.operation("admin"))

    async def background(request: Request) -> Response:
        return PlainTextResponse("x", background=BackgroundTask(admin))

    async def stream(request: Request) -> Response:
        async def parts() -> AsyncIterator[str]:
            yield "x"
            await admin()

        return StreamingResponse(parts())

    app = Starlette(routes=[Route("/background", background), Route("/stream", stream)])
    guard.install(app)

    assert (await call(app, "GET", path, may_read, crash=False)).text == "x"
    assert record.take() == []
    assert (await call(app, "GET", path, may_write)).text == "x"
    assert record.take() == ["admin"]


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_task_that_outlives_its_request_keeps_its_caller(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    admin, tasks, over = guard.require(WRITE)(record.operation("admin")), [], asyncio.Event()

    async def later() -> str:
        await over.wait()
        return await admin()

    async def handler(request: Request) -> Response:
        tasks.append(asyncio.create_task(later()))
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/x", handler)])
    guard.install(app)
    await call(app, "GET", "/x", may_read)
    await call(app, "GET", "/x", may_write)
    over.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)

    assert isinstance(outcomes[0], InsufficientScopeError)
    assert outcomes[1] == "admin"
    assert record.take() == ["admin"]


@pytest.mark.parametrize("where", ["thread", "context"])
async def test_without_a_known_caller_the_code_does_not_run(
    guard: CognitoGuard, call: Call, record: Recorder, may_write: str, where: str
) -> None:
    admin = guard.require(WRITE)(record.dependency("admin"))
    raised: list[Exception] = []

    def attempt() -> None:
        with pytest.raises(NotInstalledError) as error:
            admin()
        raised.append(error.value)

    async def handler(request: Request) -> Response:
        if where == "context":
            contextvars.Context().run(attempt)
        else:
            thread = threading.Thread(target=attempt)
            thread.start()
            thread.join()
        return PlainTextResponse("x")

    app = Starlette(routes=[Route("/x", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/x", may_write)).text == "x"
    assert [type(each) for each in raised] == [NotInstalledError]
    assert record.take() == []


async def test_no_request_leaves_its_caller_to_the_next(
    guard: CognitoGuard, call: Call, record: Recorder, may_write: str
) -> None:
    admin = guard.require(WRITE)(record.operation("admin"))
    app = Starlette(routes=[Route("/x", record.handler("x")), Route("/open", guard.public(record.handler("open")))])
    guard.install(app)

    for path, token in (("/x", may_write), ("/open", None), ("/x", None)):
        await call(app, "GET", path, token)
        with pytest.raises(NotInstalledError):
            await admin()


# -- requests that are handed over


@pytest.mark.parametrize("spelling", ["first", "second", "keyword"])
async def test_a_request_that_was_made_up_has_no_caller(
    guard: CognitoGuard, call: Call, record: Recorder, may_write: str, spelling: str
) -> None:
    async def admin(*args: Any, **kwargs: Any) -> Response:
        raise AssertionError

    guarded = guard.require(WRITE)(admin)

    async def handler(request: Request) -> Response:
        made_up = Request({"type": "http", "method": "GET", "path": "/", "headers": request.scope["headers"]})
        if spelling == "keyword":
            return await guarded(conn=made_up)
        return await guarded(*([made_up] if spelling == "first" else ["self", made_up]))

    app = Starlette(routes=[Route("/x", handler)])
    guard.install(app)

    assert (await call(app, "GET", "/x", may_write)).status_code == 500


async def test_a_request_that_was_kept_does_not_lend_its_callers_rights(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    admin, kept = guard.require(WRITE)(record.handler("admin")), []

    async def keep(request: Request) -> Response:
        kept.append(request)
        return PlainTextResponse("kept")

    async def use(request: Request) -> Response:
        return await admin(kept[0])

    app = Starlette(routes=[Route("/keep", keep), Route("/use", use)])
    guard.install(app)
    await call(app, "GET", "/keep", may_write)

    answer = await call(app, "GET", "/use", may_read)
    assert (answer.status_code, record.take()) == (403, [])


@pytest.mark.parametrize("how", ["alone", "with a keyword", "by keyword", "behind others"])
async def test_a_method_judges_the_request_that_it_is_called_with(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, how: str
) -> None:
    class Admin:
        @guard.require(WRITE)
        async def method(self, request: Request, extra: int = 0) -> Response:
            record.note("admin")
            return PlainTextResponse(str(extra))

        @guard.require(WRITE)
        async def last(self, first: int, second: int, request: Request) -> Response:
            record.note("admin")
            return PlainTextResponse(str(first + second))

    kept: list[Request] = []

    async def keep(request: Request) -> Response:
        kept.append(request)
        return PlainTextResponse("kept")

    async def use(_: Request) -> Response:
        if how == "behind others":
            return await Admin().last(1, 2, kept[-1])
        if how == "by keyword":
            return await Admin().method(extra=1, request=kept[-1])
        return await (Admin().method(kept[-1]) if how == "alone" else Admin().method(kept[-1], extra=1))

    app = Starlette(routes=[Route("/keep", keep), Route("/use", use)])
    guard.install(app)

    for token, status in ((may_read, 403), (may_write, 200)):
        await call(app, "GET", "/keep", token)
        assert (await call(app, "GET", "/use", may_write)).status_code == status
    assert record.take() == ["admin"]


async def test_a_refusal_that_was_caught_is_final(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    admin = guard.require(WRITE)(record.handler("admin"))

    async def persistent(request: Request) -> Response:
        with pytest.raises(InsufficientScopeError) as first:
            await admin(request)
        with pytest.raises(InsufficientScopeError) as second:
            await admin(request)
        assert second.value is first.value
        return PlainTextResponse("answered all the same")

    app = Starlette(routes=[Route("/", persistent)])
    guard.install(app)

    answer = await call(app, "GET", "/", may_read)
    assert (answer.status_code, answer.json()["error"], record.take()) == (403, "insufficient_scope", [])


async def test_the_log_names_the_guard_that_is_installed_beside_the_one_that_is_not(
    make_guard: Callable[..., CognitoGuard],
    user_pool: UserPool,
    call: Call,
    record: Recorder,
    may_write: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard, other = make_guard(), make_guard(UserPool("eu-west-1_Other", client_ids={"other"}))
    admin = other.require(WRITE)(record.handler("admin"))

    async def use(request: Request) -> Response:
        return await admin(request)

    app = Starlette(routes=[Route("/", use)])
    guard.install(app)

    assert (await call(app, "GET", "/", may_write, crash=False)).status_code == 500
    (line,) = [
        each.getMessage() for each in caplog.records if each.name == "cognito_guard" and each.levelname == "ERROR"
    ]
    assert f"requires {other!r}, which is not installed, but another one is: {guard!r}." in line
    assert record.take() == []


async def test_all_of_a_request_is_written_to_one_logger(
    make_guard: Callable[..., CognitoGuard],
    call: Call,
    record: Recorder,
    may_read: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    guard, other = make_guard(), make_guard()
    never: Any = record.handler("never")

    def failing(*_: object) -> bool:
        raise ValueError

    async def of_another_guard(_: Request) -> Response:
        return await other.require(READ)(never)()  # type: ignore[no-any-return]

    app = Starlette(
        routes=[
            Route("/condition", guard.require_that(failing, "it fails")(never)),
            Route("/other", of_another_guard),
        ]
    )
    guard.install(app)
    assert (await call(app, "GET", "/condition", may_read)).status_code == 403
    assert (await call(app, "GET", "/other", may_read, crash=False)).status_code == 500
    with pytest.raises(NotInstalledError):
        await guard.require(READ)(never)()

    assert {each.name for each in caplog.records if each.name.startswith("cognito")} == {"cognito_guard"}
    for words in ("the condition 'it fails' raised", "which is not installed", "was called outside of a request"):
        assert words in caplog.text


def test_a_requirement_is_a_value(guard: CognitoGuard) -> None:
    requirement = guard.require(READ)

    assert requirement == guard.require(READ) != guard.require(WRITE)
    with pytest.raises(FrozenInstanceError):
        requirement.guard = guard  # type: ignore[misc]
    assert not hasattr(requirement, "__dict__")


# -- every shape of handler, and what is put around it


class Service:
    """Handlers of a class that someone else makes objects of."""

    def __init__(self, guard: CognitoGuard, record: Recorder) -> None:
        self._record = record

    @classmethod
    def guarded_by(cls, guard: CognitoGuard) -> Any:
        required = guard.require(WRITE)

        class GuardedService(cls):  # type: ignore[valid-type, misc]
            @required
            async def method(self, number: int = 1) -> int:
                self._record.note("code")
                return number

            @required
            def function(self, number: int = 1) -> int:
                self._record.note("code")
                return number

            @classmethod
            @required
            def of_the_class(cls, number: int = 1) -> int:
                return number

            @staticmethod
            @required
            def static(number: int = 1) -> int:
                return number

        return GuardedService

    async def plain(self, number: int = 1) -> int:
        self._record.note("code")
        return number


def shapes(guard: CognitoGuard, record: Recorder) -> dict[str, Any]:
    service = Service.guarded_by(guard)(guard, record)

    @guard.require(WRITE)
    async def guarded(number: int = 1) -> int:
        record.note("code")
        return number

    def wrapper() -> Any:
        @functools.wraps(guarded)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            record.note("wrapper")
            return await guarded(*args, **kwargs)

        return wrapped

    def validated(number: int = 1) -> int:
        record.note("code")
        return number

    return {
        "function": guarded,
        "method": service.method,
        "sync method": service.function,
        "class method": service.of_the_class,
        "static method": service.static,
        "guarded bound method": guard.require(WRITE)(service.plain),
        "partial": functools.partial(guarded, number=1),
        "partial of a partial": functools.partial(functools.partial(guarded), number=1),
        "wrapped": wrapper(),
        "guarded again": guard.require(READ)(wrapper()),
        "validated outside": validate_call(guarded),
        "validated inside": guard.require(WRITE)(validate_call(validated)),
    }


SHAPES = [
    "function", "method", "sync method", "class method", "static method", "guarded bound method", "partial",
    "partial of a partial", "wrapped", "guarded again", "validated outside", "validated inside",
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
async def test_every_shape_of_handler_is_guarded_and_listed(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, shape: str
) -> None:
    made = shapes(guard, record)
    assert list(made) == SHAPES
    app = FastAPI(openapi_url=None)
    app.add_api_route("/x", made[shape])
    guard.install(app)

    assert (await call(app, "GET", "/x?number=many")).status_code == 401
    assert (await call(app, "GET", "/x?number=many", may_read)).status_code == 403
    assert record.take() == []
    assert (await call(app, "GET", "/x?number=1", may_write)).text == "1"
    assert [route.scopes >= {WRITE} for route in audit.routes(app)] == [True]
    assert [finding for finding in audit.findings(app) if finding.stops] == []


@pytest.mark.parametrize("shape", SHAPES)
async def test_no_shape_of_handler_runs_for_a_handler_that_has_no_scope_of_its_own(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, shape: str
) -> None:
    inner = shapes(guard, record)[shape]

    async def flagged(request: Request) -> Response:
        made = inner(number=7)
        return PlainTextResponse(str(await made if inspect.isawaitable(made) else made))

    app = Starlette(routes=[Route("/x", guard.public(flagged))])
    guard.install(app)

    for token, status in ((None, 401), (may_read, 403)):
        record.take()
        assert (await call(app, "GET", "/x", token)).status_code == status
        assert "code" not in record.take()
    assert (await call(app, "GET", "/x", may_write)).text in {"7", "1"}


def test_a_guarded_handler_keeps_its_signature(guard: CognitoGuard) -> None:
    async def handler(request: Request, number: int = 1, *, word: str) -> dict[str, int]:
        raise AssertionError

    guarded = guard.require(WRITE)(guard.require(READ)(handler))

    assert inspect.signature(guarded) == inspect.signature(handler)
    assert inspect.signature(guarded).replace() == inspect.signature(handler)
    assert inspect.get_annotations(guarded) == inspect.get_annotations(handler)
    assert (guarded.__name__, guarded.__qualname__, guarded.__doc__) == ("handler", handler.__qualname__, None)
    assert inspect.iscoroutinefunction(guarded)
    assert copy.copy(guarded) is copy.deepcopy(guarded) is guarded


@pytest.mark.parametrize("kind", [classmethod, staticmethod])
async def test_a_class_method_is_guarded_above_its_own_decorator(guard: CognitoGuard, kind: Any) -> None:
    async def method(*_: Any) -> None:
        raise AssertionError

    guarded: Any = guard.require(WRITE)(kind(method))

    assert type(guarded) is kind
    with pytest.raises(NotInstalledError):
        await guarded.__func__()


def test_a_requirement_above_a_property_is_a_mistake(guard: CognitoGuard) -> None:
    with pytest.raises(ConfigurationError, match="decorates a handler"):
        guard.require(WRITE)(property(lambda self: self))  # type: ignore[call-overload]


async def test_a_subclass_that_overrides_dispatch_keeps_the_requirement(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    from starlette.endpoints import HTTPEndpoint  # noqa: PLC0415 - beside its one use

    @guard.require(WRITE)
    class Orders(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            raise AssertionError

    class Heir(Orders):
        async def dispatch(self) -> None:
            raise AssertionError

    class Calls(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            record.note("calls")
            await Orders(self.scope, self.receive, self.send)
            raise AssertionError

    app = Starlette(routes=[Route("/heir", Heir), Route("/calls", Calls)])
    guard.install(app)

    assert (await call(app, "GET", "/heir", may_read)).status_code == 403
    assert record.take() == []
    assert (await call(app, "GET", "/calls", may_read)).status_code == 403
    assert record.take() == ["calls"]
