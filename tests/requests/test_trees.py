"""Random apps: what ran for a stranger, a reader and a writer is what the audit says about the route."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import anyio
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Host, Mount, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from cognito_guard import CognitoGuard, audit
from cognito_guard.audit import RouteEntry
from tests.requests.apps import WRITE
from tests.requests.recording import Answer, Recorder, ask

MakeGuard = Callable[..., CognitoGuard]

# -- trees


@dataclass(frozen=True)
class Leaf:
    """A route: who may call it, and whether FastAPI makes it, where it can."""

    segment: str
    methods: tuple[str, ...]
    access: str
    kind: str


@dataclass(frozen=True)
class Branch:
    """Something that has routes, and how it hangs on what it is in."""

    kind: str
    segment: str
    children: tuple[Leaf | Branch, ...]


SEGMENTS = ["/a", "/b", "/a/b", "/{}", "/{}/b", "/{:int}", "/{:path}", "/a/{:path}", "/", "/a/", "/b/"]
KINDS = [
    "mount", "mount of mount", "starlette", "fastapi", "own app", "own router", "cors", "middleware", "host", "include",
    "include twice", "dependencies", "public", "wrap", "opaque", "replaced",
]  # fmt: skip
LEAVES = st.builds(
    Leaf,
    st.sampled_from(SEGMENTS),
    st.sampled_from([("GET",), ("POST",), ("GET", "POST"), ("OPTIONS",)]),
    st.sampled_from(["plain", "public", "decorated", "dependency"]),
    st.sampled_from(["route", "own route", "api route", "own api route"]),
)


def trees(kinds: list[str]) -> st.SearchStrategy[list[Leaf | Branch]]:
    return st.lists(
        st.recursive(
            LEAVES,
            lambda nodes: st.builds(
                Branch,
                st.sampled_from(kinds),
                st.sampled_from(["/a", "/b", "/{}", "/a/{}"]),
                st.lists(nodes, min_size=1, max_size=4).map(tuple),
            ),
            max_leaves=8,
        ),
        min_size=1,
        max_size=5,
    )


PATHS = [
    "/", "/a", "/5", "/a/", "/a/b", "/b/a", "/a/5", "/a/a/b", "/a/b/5", "/b/a/b", "//a", "/a/b/", "/c/a/b",
]  # fmt: skip


# -- apps of the apps' own


class OwnRouter(Router):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


class OwnApp(Starlette):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


class OwnRoute(Route):
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().handle(scope, receive, send)


class OwnAPIRoute(APIRoute):
    def get_route_handler(self) -> Any:
        handle = super().get_route_handler()

        async def wrapper(request: Request) -> Response:
            return await handle(request)

        return wrapper


class Through:
    """Middleware of the app's own; around an app that it was not said to be the middleware of, nobody sees that."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class Truth(NamedTuple):
    """What the tree says of a route, where the audit cannot see it; or of the 404 of an app."""

    public: bool
    write: bool
    opaque: bool


NOTHING_AROUND = Truth(public=False, write=False, opaque=False)


class Planter:
    """Makes an app of a tree."""

    def __init__(self, guard: CognitoGuard, record: Recorder) -> None:
        self._guard = guard
        self._record = record
        self._count = 0
        self.truth: dict[str, Truth] = {}

    def grow(self, router: Any, nodes: Any, around: Truth = NOTHING_AROUND) -> None:
        self._count += 1
        name = f"N{self._count}"
        self.truth[name] = around
        router.default = self._record.app(name, 404)
        for node in nodes:
            # Each parameter has a name of its own.
            self._count += 1
            segment = node.segment.replace("{", f"{{p{self._count}")
            if isinstance(node, Leaf):
                self._add_route(router, node, segment, around)
            else:
                self._add_branch(router, node, segment, around)

    def _add_route(self, router: Any, leaf: Leaf, path: str, around: Truth) -> None:
        name = f"H{self._count}"
        # A method that no other route has tells whose 405 it is.
        methods = [*leaf.methods, name]
        is_api = leaf.kind.endswith("api route") and hasattr(router, "add_api_route")
        handler: Any = self._record.handler(name)
        handler.__qualname__ = name
        if leaf.access == "public":
            handler = self._guard.public(handler)
        needs_scope = leaf.access == "decorated" or (leaf.access == "dependency" and is_api)
        if leaf.access == "decorated":
            handler = self._guard.require(WRITE)(handler)
        public = around.public or (leaf.access == "public" and not around.opaque)
        self.truth[name] = Truth(
            public=public and not (needs_scope or around.write),
            write=around.write or needs_scope,
            opaque=around.opaque,
        )
        if is_api:
            of_its_own = [Depends(self._record.dependency("D")), Depends(self._guard.require(WRITE))]
            router.add_api_route(
                path,
                handler,
                methods=methods,
                response_model=None,
                dependencies=of_its_own if leaf.access == "dependency" else [],
                route_class_override=OwnAPIRoute if leaf.kind == "own api route" else None,
            )
        else:
            route_class = OwnRoute if leaf.kind.startswith("own") else Route
            router.routes.append(route_class(path, handler, methods=methods))

    def _add_branch(self, router: Any, branch: Branch, path: str, around: Truth) -> None:
        kind = branch.kind
        if kind in {"include", "include twice", "dependencies"} and hasattr(router, "include_router"):
            required = [Depends(self._record.dependency("D")), Depends(self._guard.require(WRITE))]
            included = APIRouter(dependencies=required if kind == "dependencies" else [])
            self.grow(included, branch.children, around)
            router.include_router(included, prefix=path)
            if kind == "include twice":
                router.include_router(included, prefix="/b", dependencies=required)
            return
        around = Truth(
            # What is public as a whole is so whatever hangs in it; what the guard cannot see into, it opens nothing of.
            public=around.public or (kind == "public" and not around.opaque),
            write=around.write or kind == "wrap",
            opaque=around.opaque or kind == "opaque",
        )
        make: Any = {"fastapi": lambda: FastAPI(openapi_url=None), "own app": OwnApp, "own router": OwnRouter}
        inner: Any = make.get(kind, Starlette)()
        self.grow(getattr(inner, "router", inner), branch.children, around)
        if kind == "mount":
            # Such a mount makes a router of its own.
            route: Any = Mount(path, routes=inner.routes)
            route.app.default = inner.router.default
        elif kind == "middleware":
            route = Mount(path, app=inner, middleware=[Middleware(Through)])
        elif kind == "mount of mount":
            route = Mount(path, app=Mount("", app=inner))
        elif kind == "host":
            route = Host("a.example", app=inner)
        elif kind == "replaced":
            old = self._guard.public(self._record.handler("old"))
            route = Mount(path, app=Starlette(routes=[Route("/{x:path}", old)]))
            route.app = inner
        else:
            hung: Any = {
                "cors": lambda: CORSMiddleware(inner, allow_origins=["*"]),
                "public": lambda: self._guard.public(inner),
                "wrap": lambda: self._guard.require(WRITE).wrap(inner),
                "opaque": lambda: Through(inner),
            }
            route = Mount(path, app=hung.get(kind, lambda: inner)())
        router.routes.append(route)


# -- what is expected


class Seen(NamedTuple):
    """What came of one call."""

    answer: Answer
    ran: list[str]


def allowed_by(answer: Answer) -> list[str]:
    """The handlers that an answer 405 names."""
    return re.findall(r"H\d+", answer.headers.get("allow", ""))


class Comparison:
    """Calls an app as three callers."""

    def __init__(self, app: Any, planter: Planter, record: Recorder, tokens: dict[str, str | None]) -> None:
        self._app = app
        self._truth = planter.truth
        self._record = record
        self._tokens = tokens
        self._entries: dict[str, list[RouteEntry]] = {}
        for entry in audit.routes(app):
            self._entries.setdefault(entry.handler.rpartition(":")[2], []).append(entry)

    async def see(self, caller: str, method: str, path: str, host: str) -> Seen:
        self._record.take()
        answer = await ask(self._app, method, path, self._tokens[caller], host=host)
        return Seen(answer, self._record.take())

    async def expected(self, seen: Seen, method: str, path: str, host: str) -> tuple[bool | None, bool | None]:
        """Return whether a stranger and a reader get to what a writer has *seen*; None if that does not show."""
        allowed = allowed_by(seen.answer)
        if seen.answer.status == 307:
            target = re.sub(r"^https?://[^/]*", "", seen.answer.headers["location"])
            there = await self.see("writer", method, target, host)
            stranger, _ = await self.expected(there, method, target, host)
            truths = [self._truth[name] for name in (*there.ran, *allowed_by(there.answer)) if name in self._truth]
            # Only the handler itself knows what it requires in an app whose routes are not visible.
            if any(truth.opaque and truth.write for truth in truths):
                stranger = None
            # A reader is redirected or refused, as an app around asks for the scope before it redirects or does not.
            return stranger, None
        if not (allowed or seen.ran):
            # FastAPI makes routers of its own for a host in a router that is included.
            assert seen.answer.status == 404
            return None, None
        name = allowed[0] if allowed else seen.ran[-1]
        truth = self._truth[name]
        if truth.opaque or name.startswith("N"):
            return truth.public and not truth.write, not truth.write
        entry = self._entry(name, allowed[0] if allowed else method, path, host)
        return entry.public, WRITE not in entry.scopes

    def _entry(self, name: str, method: str, path: str, host: str) -> RouteEntry:
        for entry in self._entries[name]:
            pattern = re.sub(r"{\w+}", ".*", entry.path)
            if entry.method == method and re.fullmatch(pattern, (host if not pattern.startswith("/") else "") + path):
                return entry
        raise AssertionError(name)

    async def compare(self, method: str, path: str, host: str) -> None:
        shown = await self.see("writer", method, path, host)
        stranger_may, reader_may = await self.expected(shown, method, path, host)
        stranger = await self.see("stranger", method, path, host)
        reader = await self.see("reader", method, path, host)
        for seen, may, refused in ((stranger, stranger_may, 401), (reader, reader_may, 403)):
            if seen.answer.status == refused and (not may or shown.answer.status == 307):
                # What redirects may be a guarded app on the way to something public.
                assert seen.ran == []
            elif shown.answer.status == 307:
                # Strangers are sent on by the guard itself.
                assert (seen.answer.status, seen.ran) == (307, []), (method, path, host)
                assert seen.answer.headers["location"] == shown.answer.headers["location"]
                assert may is not False, (method, path, host)
            else:
                assert seen == shown
                assert may is not False


def compare_all(guard: CognitoGuard, framework: Any, tree: Any, tokens: dict[str, str | None]) -> None:
    record, app = Recorder(), framework()
    planter = Planter(guard, record)
    planter.grow(app.router, tree)
    guard.install(app)
    hosts = ("a.example", "b.example") if "host" in repr(tree) else ("b.example",)
    comparison = Comparison(app, planter, record, tokens)

    async def run() -> None:
        for host, method, path in itertools.product(hosts, ("GET", "POST", "OPTIONS"), PATHS):
            await comparison.compare(method, path, host)

    anyio.run(run)


@pytest.fixture
def tokens(may_read: str, may_write: str, caplog: pytest.LogCaptureFixture) -> dict[str, str | None]:
    # Thousands are refused.
    caplog.set_level(logging.CRITICAL, logger="cognito_guard")
    return {"stranger": None, "reader": may_read, "writer": may_write}


LEAF = Leaf("/a", ("GET",), "public", "api route")
FEW = settings(
    max_examples=settings().max_examples // 8,
    phases=(Phase.explicit, Phase.generate),
)


@pytest.mark.parametrize("framework", [Starlette, lambda: FastAPI(openapi_url=None)], ids=["starlette", "fastapi"])
@given(tree=trees(KINDS))
@example(tree=[Branch("fastapi", "/a", (Branch("include", "/a/{}", (Branch("host", "/a", (LEAF,)),)),))])
@example(tree=[Leaf("/a", ("GET",), "dependency", "own api route"), Leaf("/b", ("GET",), "plain", "own route")])
@example(tree=[Branch("own app", "/a", (LEAF,)), Branch("own router", "/b", (LEAF,))])
@example(tree=[Branch("public", "/b", (Branch("opaque", "/a", (LEAF,)),))])
@example(tree=[Branch("opaque", "/b", (Branch("public", "/a", (LEAF,)),))])
@example(tree=[Branch("public", "/a", (Branch("opaque", "/b", (Leaf("/", ("GET",), "decorated", "own route"),)),))])
@example(tree=[Branch(kind, "/a", (LEAF, Branch("opaque", "/b", (LEAF,)))) for kind in KINDS])
@FEW
def test_the_audit_says_what_runs_for_each_caller(
    make_guard: MakeGuard, tokens: dict[str, str | None], framework: Any, tree: list[Leaf | Branch]
) -> None:
    compare_all(make_guard(), framework, tree, tokens)


@pytest.mark.parametrize("access", ["plain", "public", "decorated"])
def test_a_mount_whose_app_is_replaced_is_what_the_audit_says(
    make_guard: MakeGuard, tokens: dict[str, str | None], access: str
) -> None:
    compare_all(make_guard(), Starlette, [Branch("replaced", "/a", (Leaf("/b", ("GET",), access, "route"),))], tokens)
