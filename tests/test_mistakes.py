"""Every known mistake in using the package, and the sentence that says what to write instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Host, Mount, Route

from cognito_guard import CognitoGuard, UserPool, audit
from cognito_guard.errors import ConfigurationError

POOL_ID = "eu-central-1_AbCdEf123"

# Written like a user who does not know the names: type checkers would object.
AnyPool: Any = UserPool
AnyGuard: Any = CognitoGuard


def make_guard() -> Any:
    return CognitoGuard(UserPool(POOL_ID, client_ids={"7lhlkkfbfb4q5kpp90urffao"}, resource_servers={"orders"}))


async def handler(request: Request) -> Response:
    raise AssertionError


async def raw_app(scope: Any, receive: Any, send: Any) -> None: ...


MISTAKES: list[tuple[Callable[[], object], str]] = [
    (lambda: AnyPool(POOL_ID, client_ids='["a","b"]'), "client_ids must be a collection"),
    (lambda: AnyPool(POOL_ID, client_ids=['["a","b"]']), 'client_ids must hold app client ids; \'["a","b"]\' is none'),
    (lambda: AnyPool(POOL_ID, client_ids="*"), "write client_ids=ANY_CLIENT"),
    (lambda: AnyPool(POOL_ID, client_ids={"*"}), "write client_ids=ANY_CLIENT"),
    (lambda: AnyPool(POOL_ID, client_ids={"my app"}), "it is not the client's name. Write client_ids={'7lhlkk"),
    (lambda: AnyPool(POOL_ID, client_ids={" "}), "Write client_ids={'7lhlkk"),
    (lambda: AnyPool(POOL_ID, client_id="a"), "UserPool takes no client_id=; write client_ids={...}"),
    (lambda: AnyPool(POOL_ID, client_ids={"a"}, issuer="https://x"), "takes no issuer=; the issuer follows from the"),
    (
        lambda: AnyPool(POOL_ID, client_ids={"a"}, region="eu-central-1"),
        "takes no region=; the region is the first part",
    ),
    (
        lambda: AnyPool(POOL_ID, client_ids={"a"}, scopes=["a/b"]),
        "takes no scopes=; write them at routes, @guard.",
    ),
    (lambda: AnyPool(POOL_ID, clients_ids={"a"}), "takes no clients_ids=; did you mean client_ids=?"),
    (
        lambda: AnyPool(user_pool_id=POOL_ID, client_ids={"a"}),
        "takes no user_pool_id=; the pool id comes first, without",
    ),
    (lambda: AnyPool(POOL_ID, client_ids={"a"}, xyzzy=1), "UserPool takes no xyzzy="),
    (
        lambda: AnyGuard(POOL_ID, client_id="a"),
        "CognitoGuard takes no client_id=; it belongs to the pool: CognitoGuard(U",
    ),
    (lambda: AnyGuard(POOL_ID, region="eu-central-1"), "takes no region=; it belongs to the pool"),
    (lambda: AnyGuard(POOL_ID, scopes=["a/b"]), "takes no scopes=; scopes stand at the routes: @guard.require("),
    (lambda: AnyGuard(POOL_ID, leway=5), "takes no leway=; did you mean leeway=?"),
    (
        lambda: make_guard().require("orders/a,orders/b"),
        "has a comma; write one scope for each argument: require('orders/a',",
    ),
    (lambda: make_guard().require("a,b"), "has a comma; write one scope for each argument: require('a', 'b')"),
    (
        lambda: make_guard().require(handler),
        "@guard.require needs the scopes that are asked for: write @guard.require('",
    ),
    (lambda: make_guard().require_any(handler), "@guard.require_any needs the scopes that are asked for"),
    (lambda: make_guard().require_groups(handler), "require_groups() takes the names of groups, such as 'admins'"),
    (make_guard().authenticated, "leave out the parentheses: write @guard.authenticated, or Depends("),
    (make_guard().require("a"), "the requirement orders/a was called without a handler"),
    (lambda: make_guard().install(Starlette(), public_docs=True), "leave public_docs out, or set openapi_url"),
    (
        lambda: make_guard().install(FastAPI(openapi_url=None), public_docs=True),
        "leave public_docs out, or set openapi",
    ),
]


@pytest.mark.parametrize(("hold_it_wrong", "sentence"), MISTAKES, ids=range(len(MISTAKES)))
def test_each_mistake_is_answered_with_what_to_write(hold_it_wrong: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        hold_it_wrong()

    assert sentence in str(caught.value)


def test_a_keyword_that_does_not_exist_is_a_type_error_too() -> None:
    with pytest.raises(TypeError):
        AnyPool(POOL_ID, client_id="a")


def test_a_subclass_has_keywords_of_its_own() -> None:
    class StagePool(UserPool):
        def __init__(self, *, client_id: str) -> None:
            super().__init__(POOL_ID, client_ids={client_id})

    assert StagePool(client_id="a").client_ids == frozenset({"a"})


def test_a_scope_may_have_the_comma_of_its_resource_server() -> None:
    guard = CognitoGuard(UserPool(POOL_ID, client_ids={"a"}, resource_servers={"a,b"}))

    assert str(guard.require("a,b/read")) == "a,b/read"


def mounted(path: str) -> list[BaseRoute]:
    return [Mount(path, app=raw_app)]


@pytest.mark.parametrize(
    ("routes", "public_paths", "sentence"),
    [
        (mounted("/metrics"), {("GET", "/metrics")}, "the app mounted there is at /metrics/; add ('GET', '/metrics/')"),
        (mounted("/metrics"), {("GET", "/metrics"), ("GET", "/metrics/")}, None),
        (mounted("/metrics"), {("GET", "/metrics/")}, None),
        ([Route("/a", handler)], {("GET", "/a/")}, "no route has this path, so it opens nothing; write ('GET', '/a')"),
        ([Route("/a", handler)], {("GET", "/b")}, "public path GET /b: no route has this path, so it opens nothing"),
        ([Route("/a", handler)], {("GET", "/a")}, None),
        ([Route("/a/{b}", handler)], {("GET", "/a/b")}, None),
        ([Host("a.example", Route("/a", handler))], {("GET", "/a")}, None),
    ],
)
def test_a_public_path_that_opens_nothing_is_found(
    routes: list[BaseRoute], public_paths: set[tuple[str, str]], sentence: str | None
) -> None:
    app = Starlette(routes=routes)
    make_guard().install(app, public_paths=public_paths)

    found = [str(finding) for finding in audit.findings(app) if "public path" in str(finding)]

    assert len(found) == (sentence is not None)
    assert all(str(sentence) in finding for finding in found)


def test_a_requirement_of_another_guard_and_a_new_app_without_its_guard_are_found() -> None:
    app, new_app = Starlette(), Starlette()
    for each in (app, new_app):
        each.router.routes.append(Route("/", make_guard().require("a")(handler)))
    make_guard().install(app)

    for each in (app, new_app):
        [finding] = audit.findings(each)
        assert (
            "call guard.install(app) on this very app, or write the requirement with the guard that is installed"
            in (finding.problem)
        )
