"""`cognito-guard routes` and `cognito-guard scopes`."""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from cognito_guard import CognitoGuard
from cognito_guard._cli import routes as routes_command
from cognito_guard._cli import scopes as scopes_command
from cognito_guard._routes.census import census
from cognito_guard._routes.resource_servers import as_cloudformation, as_json, resource_servers
from cognito_guard.errors import ConfigurationError

Run = Callable[..., int]

MODULE = '''
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Mount, Route

from cognito_guard import ANY_CLIENT, CognitoGuard, UserPool

guard = CognitoGuard(UserPool("eu-central-1_AbCdEf123", client_ids=ANY_CLIENT))
guard.describe_scopes({"orders/order.write": "Place and cancel orders"})


@guard.require("orders/order.read")
async def list_orders(request):
    """List orders."""


@guard.require_any("orders/order.write", "https://api.example/v1/admin", "openid", "aws.cognito.signin.user.admin")
async def place_order(request):
    """Place an order."""


async def forgotten(request): ...


async def static(scope, receive, send): ...


routes = [Route("/orders", list_orders), Route("/orders", place_order, methods=["POST"])]
app = Starlette(routes=[*routes, Mount("/static", app=static)])
guard.install(app)
careless = Starlette(routes=[*routes, Route("/forgotten", forgotten)])
guard.install(careless)


class Namespace:
    app = app


def make():
    return app
'''


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a module in the current directory."""
    (tmp_path / "shop_for_audit.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield "shop_for_audit"
    sys.modules.pop("shop_for_audit", None)


@pytest.fixture
def run() -> Run:
    def run(*arguments: str) -> int:
        parser = argparse.ArgumentParser()
        subparsers = parser.add_subparsers()
        routes_command.add_parser(subparsers)
        scopes_command.add_parser(subparsers)
        options = parser.parse_args(arguments)
        code: int = options.run(options)
        return code

    return run


TABLE = [
    ["METHOD", "PATH", "REQUIRES", "HANDLER"],
    ["GET", "/orders", "orders/order.read", "shop_for_audit:list_orders"],
    [
        "POST",
        "/orders",
        "aws.cognito.signin.user.admin or https://api.example/v1/admin or openid or orders/order.write",
        "shop_for_audit:place_order",
    ],
    ["*", "/static", "any valid token (default)", "shop_for_audit:static"],
]


@pytest.mark.parametrize("name", ["app", "make", "Namespace.app"])
def test_routes_are_printed_as_a_table(shop: str, run: Run, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run("routes", f"{shop}:{name}") == 0

    printed = capsys.readouterr().out.splitlines()
    assert [re.split(r" {2,}", line) for line in printed] == TABLE
    assert len({line.index(row[3]) for line, row in zip(printed, TABLE, strict=True)}) == 1


def test_routes_are_printed_for_machines(shop: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("routes", f"{shop}:app", "--json") == 0

    first, _, last = json.loads(capsys.readouterr().out)
    assert first == {
        "method": "GET",
        "path": "/orders",
        "handler": f"{shop}:list_orders",
        "public": False,
        "guarded": True,
        "opaque": False,
        "requirements": [{"scopes": [["orders/order.read"]]}],
    }
    assert last["opaque"]


CONDITIONS = """
from starlette.applications import Starlette
from starlette.routing import Route

from cognito_guard import ANY_CLIENT, CognitoGuard, UserPool

guard = CognitoGuard(UserPool("eu-central-1_AbCdEf123", client_ids=ANY_CLIENT))


async def handler(request): ...


def own_tenant(caller, request): ...


asked = [
    guard.authenticated,
    guard.require("b/c", "a/b"),
    guard.require_any("b/c", "a/b"),
    guard.require_groups("support", "admins"),
    guard.machine_only,
    guard.user_only,
    guard.require_that(own_tenant, "own tenant"),
]
app = Starlette(routes=[Route(f"/{number}", each(handler)) for number, each in enumerate(asked)])
guard.install(app)
"""


def test_each_kind_of_condition_has_a_key_of_its_own(
    shop: str, run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / f"{shop}.py").write_text(CONDITIONS)

    assert run("routes", f"{shop}:app", "--json") == 0

    assert [route["requirements"] for route in json.loads(capsys.readouterr().out)] == [
        [{"scopes": [[]]}],
        [{"scopes": [["a/b", "b/c"]]}],
        [{"scopes": [["a/b"], ["b/c"]]}],
        [{"groups": ["admins", "support"]}],
        [{"caller": "machine"}],
        [{"caller": "user"}],
        [{"condition": "own tenant"}],
    ]


def test_strict_fails_and_names_the_route(shop: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("routes", f"{shop}:careless") == 0
    assert capsys.readouterr().err == ""

    assert run("routes", f"{shop}:careless", "--strict") == 1
    assert f"GET /forgotten ({shop}:forgotten): has no requirement of its own" in capsys.readouterr().err

    assert run("routes", f"{shop}:app", "--strict") == 1
    assert run("routes", f"{shop}:app", "--strict", "--opaque", "/static") == 0


def test_scopes_are_checked_against_a_list(
    shop: str, run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    known = ["orders/order.read", "https://api.example/v1/admin", "openid", "aws.cognito.signin.user.admin"]
    options = ["routes", f"{shop}:app", "--strict", "--opaque", "/static", "--scopes"]
    listing = tmp_path / "scopes.txt"
    listing.write_text("\n".join([*known, "orders/order.write"]))

    assert run(*options, ",".join(known)) == 1
    assert "requires 'orders/order.write', which does not exist; is it 'orders/order.read'?" in capsys.readouterr().err
    assert run(*options, str(listing)) == 0


SERVERS = [
    {
        "Identifier": "https://api.example/v1",
        "Name": "https---api.example-v1",
        "Scopes": [{"ScopeName": "admin", "ScopeDescription": "Place an order."}],
    },
    {
        "Identifier": "orders",
        "Name": "orders",
        "Scopes": [
            {"ScopeName": "order.read", "ScopeDescription": "List orders."},
            {"ScopeName": "order.write", "ScopeDescription": "Place and cancel orders"},
        ],
    },
]


def test_the_scopes_of_the_app_are_listed_for_the_pool(shop: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("scopes", f"{shop}:app") == 0

    assert json.loads(capsys.readouterr().out) == SERVERS


def test_scopes_are_a_template(shop: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("scopes", f"{shop}:app", "--format", "cloudformation") == 0

    template = json.loads(capsys.readouterr().out)
    assert list(template["Resources"]) == ["HttpsApiExampleV1ResourceServer1", "OrdersResourceServer2"]
    assert template["Resources"]["OrdersResourceServer2"] == {
        "Type": "AWS::Cognito::UserPoolResourceServer",
        "Properties": {"UserPoolId": {"Ref": "UserPoolId"}, **SERVERS[1]},
    }


@pytest.mark.parametrize("scope", ["/read", "orders/"])
def test_a_scope_that_no_pool_can_define_is_refused(guard: CognitoGuard, scope: str) -> None:
    async def handler(request: Any) -> None: ...

    app = Starlette(routes=[Route("/", guard.require(scope)(handler))])

    with pytest.raises(ConfigurationError, match="cannot be defined"):
        resource_servers(census(app), {})


def test_a_scope_without_a_description_describes_itself(guard: CognitoGuard) -> None:
    servers = resource_servers([], {"orders/order.read": "", "orders/long": "x" * 256})

    [server] = as_json(servers)
    assert server["Scopes"][1] == {"ScopeName": "order.read", "ScopeDescription": "orders/order.read"}
    assert as_cloudformation([])["Resources"] == {}
