"""Apps within apps: judged where the router really goes, and opened or guarded as a whole."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Host, Mount, Route, Router

from cognito_guard import CognitoGuard, CognitoGuardMiddleware, audit
from tests.requests.apps import READ, WRITE
from tests.requests.recording import Recorder, ask

pytestmark = pytest.mark.anyio

Call = Callable[..., Awaitable[httpx.Response]]


def requirements(app: object) -> dict[str, str]:
    return {route.path: route.requirement for route in audit.routes(app)}


def catch_all(guard: CognitoGuard, record: Recorder) -> Starlette:
    return Starlette(
        routes=[
            Route("/secret", record.handler("secret")),
            Route("/{rest:path}", guard.public(record.handler("public"))),
        ]
    )


@pytest.mark.parametrize(
    "hang",
    [
        lambda inner: Mount("/shop", app=Mount("/v1", app=inner)),
        lambda inner: Mount("/shop", app=Router(routes=[Mount("/v1", app=inner)])),
        lambda inner: Mount("/shop", routes=[Mount("/v1", app=inner)]),
        lambda inner: Mount("/shop", app=Host("api.example", app=Mount("/v1", app=inner))),
        lambda inner: Host("{name}.example", app=Mount("/shop", app=Mount("/v1", app=inner))),
        lambda inner: Mount("/shop", app=CORSMiddleware(Mount("/v1", app=inner), allow_origins=["*"])),
        lambda inner: Mount("/{shop}", app=Mount("/{version}", app=inner)),
        lambda inner: Mount("/shop/v1", app=Mount("", app=inner)),
    ],
)
async def test_a_mount_of_a_mount_is_judged_by_the_path_that_is_left(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, hang: Callable[[Any], Any]
) -> None:
    app = Starlette(routes=[hang(catch_all(guard, record))])
    guard.install(app)

    assert (await call(app, "GET", "/shop/v1/secret")).status_code == 401
    assert (await call(app, "GET", "/secret")).status_code == 401
    assert record.take() == []
    assert (await call(app, "GET", "/shop/v1/page")).text == "public"
    assert (await call(app, "GET", "/shop/v1/secret", may_read)).text == "secret"


@pytest.mark.parametrize("root_path", ["", "/api", "/api/", "/", "/shop", "/secret", "api", "/sho"])
@pytest.mark.parametrize(
    "path", ["/shop/secret", "/api/shop/secret", "/shop/shop/secret", "/secret/shop/secret", "//shop/secret"]
)
async def test_no_root_path_of_the_server_opens_a_path(
    guard: CognitoGuard, record: Recorder, may_read: str, path: str, root_path: str
) -> None:
    app = Starlette(routes=[Mount("/shop", app=catch_all(guard, record)), Route("/{p:path}", record.handler("rest"))])
    guard.install(app)

    shown = await ask(app, "GET", path, may_read, root_path=root_path)
    assert shown.status == 200
    record.take()
    answer = await ask(app, "GET", path, root_path=root_path)

    assert answer.status == (200 if shown.text == "public" else 401)
    assert record.take() == (["public"] if shown.text == "public" else [])


async def test_a_route_that_is_mounted_is_judged_as_a_route(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    app = Starlette(
        routes=[
            Mount("/public", app=Route("/x", guard.public(record.handler("public")))),
            Mount("/write", app=Route("/x", guard.require(WRITE)(record.handler("write")))),
        ]
    )
    guard.install(app)

    assert (await call(app, "GET", "/public/x")).text == "public"
    assert (await call(app, "GET", "/public/y")).status_code == 401
    assert (await call(app, "GET", "/write/x")).status_code == 401
    assert requirements(app) == {"/public/x": "public", "/write/x": WRITE}


# -- whole mounts


async def test_a_public_app_is_open_except_for_routes_with_a_requirement(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    inner = Starlette(
        routes=[
            Route("/plain", record.handler("plain")),
            Route("/write", guard.require(WRITE)(record.handler("write"))),
            Mount("/files", app=record.app("files")),
            Mount("/wrapped", app=guard.require(WRITE).wrap(record.app("wrapped"))),
        ]
    )
    app = Starlette(routes=[Mount("/open", app=guard.public(inner)), Route("/shut", record.handler("shut"))])
    guard.install(app)

    for path, name in (("/open/plain", "plain"), ("/open/files/x", "files")):
        assert (await call(app, "GET", path)).text == name
        assert record.take() == [name]
    assert (await call(app, "GET", "/open/none")).status_code == 404
    for path, name in (("/open/write", "write"), ("/open/wrapped/", "wrapped")):
        assert (await call(app, "GET", path)).status_code == 401
        assert (await call(app, "GET", path, may_read)).status_code == 403
        assert record.take() == []
        assert (await call(app, "GET", path, may_write)).text == name
        record.take()
    assert (await call(app, "GET", "/shut")).status_code == 401
    assert requirements(app) == {
        "/open/plain": "public", "/open/write": WRITE, "/open/files": "public", "/open/wrapped": WRITE,
        "/shut": "any valid token (default)",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["wrapped", "wrapped twice", "middleware", "host", "inside CORS", "around CORS"])
async def test_every_kind_of_wrapped_app_is_guarded(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str, form: str
) -> None:
    routes = [Route("/plain", record.handler("plain")), Route("/open", guard.public(record.handler("open")))]
    inner, requirement = Starlette(routes=routes), guard.require(WRITE)
    hung: Any = {
        "wrapped": lambda: Mount("/in", app=requirement.wrap(inner)),
        "wrapped twice": lambda: Mount("/in", app=guard.require(READ).wrap(requirement.wrap(inner))),
        "middleware": lambda: Mount("/in", routes=routes, middleware=[Middleware(requirement.wrap)]),
        "host": lambda: Mount("/in", routes=[Host("api.example", app=requirement.wrap(inner))]),
        "inside CORS": lambda: Mount("/in", app=CORSMiddleware(requirement.wrap(inner), allow_origins=["*"])),
        "around CORS": lambda: Mount("/in", app=requirement.wrap(CORSMiddleware(inner, allow_origins=["*"]))),
    }[form]()
    app = Starlette(routes=[hung])
    guard.install(app)

    for path in ("/in/plain", "/in/open", "/in/none", "/in/"):
        assert (path, (await call(app, "GET", path)).status_code) == (path, 401)
        assert (path, (await call(app, "GET", path, may_read)).status_code) == (path, 403)
    assert record.take() == []
    assert (await call(app, "GET", "/in/plain", may_write)).text == "plain"
    assert (await call(app, "GET", "/in/open", may_write)).text == "open"
    assert (await call(app, "GET", "/in/none", may_write)).status_code == 404
    assert all(WRITE in requirement for requirement in requirements(app).values())
    remarks = [finding.problem for finding in audit.findings(app) if "is marked public" in finding.problem]
    assert len(remarks) == 1


async def test_urls_of_a_wrapped_app_are_found(guard: CognitoGuard, call: Call, may_read: str) -> None:
    async def links(request: Request) -> Response:
        return PlainTextResponse(f"{request.url_for('in:links', id=7)} {request.app.url_path_for('links', id=8)}")

    inner = Starlette(routes=[Route("/links/{id:int}", links, name="links")])
    app = Starlette(routes=[Mount("/in", app=guard.require(READ).wrap(inner), name="in")])
    guard.install(app)

    assert (await call(app, "GET", "/in/links/1", may_read)).text == "http://api.example/in/links/7 /links/8"


async def test_a_wrapped_app_that_is_an_endpoint_is_guarded(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str, may_write: str
) -> None:
    app = Starlette(routes=[Route("/raw", guard.require(WRITE).wrap(record.app("raw")))])
    guard.install(app)

    assert (await call(app, "GET", "/raw")).status_code == 401
    assert (await call(app, "GET", "/raw", may_read)).status_code == 403
    assert record.take() == []
    assert (await call(app, "GET", "/raw", may_write)).text == "raw"


async def test_a_wrapped_app_without_its_guard_refuses(
    guard: CognitoGuard, call: Call, record: Recorder, may_write: str
) -> None:
    app = Starlette(routes=[Mount("/in", app=guard.require(WRITE).wrap(record.app("raw")))])

    assert (await call(app, "GET", "/in/", may_write)).status_code == 500
    assert record.take() == []


async def test_a_mounted_fastapi_app_keeps_its_own_overrides_and_handlers(
    guard: CognitoGuard, call: Call, record: Recorder, may_read: str
) -> None:
    """What the app outside overrides is not for an app within."""
    sub = FastAPI(openapi_url=None)
    sub.add_api_route("/x", guard.require(WRITE)(record.operation("x")))
    app = FastAPI(openapi_url=None)
    app.mount("/sub", sub)
    app.dependency_overrides[guard.require(WRITE)] = record.dependency("instead")
    guard.install(app)

    assert (await call(app, "GET", "/sub/x", may_read)).status_code == 403
    assert record.take() == []


async def test_a_public_app_right_behind_the_middleware_is_what_the_audit_says(
    guard: CognitoGuard, call: Call, record: Recorder
) -> None:
    inner = Starlette(routes=[Route("/x", record.handler("x"))])
    app = CognitoGuardMiddleware(guard.public(inner), guard=guard)

    assert requirements(app)["/x"] == ("public" if (await call(app, "GET", "/x")).status_code == 200 else "refused")


@pytest.mark.parametrize(
    ("host", "path", "status"),
    [
        ("api.example", "/x", 401), ("API.example", "/x", 401), ("api.example:8000", "/x", 401), ("other", "/x", 200),
        ("", "/x", 200), ("api.example, other", "/x", 200), ("api.example", "/y", 200), ("other", "/y", 401),
        ("api.example.evil", "/y", 401), ("api.example#", "/y", 401), ("api.example/", "/y", 401),
    ],
)  # fmt: skip
async def test_the_host_decides_as_the_router_reads_it(
    guard: CognitoGuard, record: Recorder, may_read: str, host: str, path: str, status: int
) -> None:
    inner = Starlette(routes=[Route("/x", record.handler("shut")), Route("/y", guard.public(record.handler("open")))])
    app = Starlette(
        routes=[
            Host("{name}.example", app=inner),
            Route("/x", guard.public(record.handler("open"))),
            Route("/y", record.handler("shut")),
        ]
    )
    guard.install(app)

    assert (await ask(app, "GET", path, host=host)).status == status
    assert record.take() == (["open"] if status == 200 else [])
    assert (await ask(app, "GET", path, may_read, host=host)).text == ("open" if status == 200 else "shut")
