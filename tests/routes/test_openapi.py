"""What the OpenAPI document says of requirements, and what it does not."""

import json
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.security import APIKeyHeader
from openapi_spec_validator import validate
from pydantic import BaseModel

from cognito_guard import CognitoGuard, Principal, UserPool
from cognito_guard.local import LocalPool

READ, WRITE = "orders/order.read", "orders/order.write"
TOKEN_URL = "https://orders.auth.eu-central-1.amazoncognito.com/oauth2/token"

MakeGuard = Callable[..., CognitoGuard]


class Order(BaseModel):
    item: str


@pytest.fixture
def with_token_url(make_guard: MakeGuard, pool: LocalPool) -> CognitoGuard:
    return make_guard(
        UserPool("us-east-1_First", client_ids={"x"}), UserPool(pool.pool_id, client_ids={"x"}, token_url=TOKEN_URL)
    )


def document_of(guard: CognitoGuard) -> dict[str, Any]:
    app = FastAPI()
    guard.install(app)
    guard.describe_scopes({"extra/scope": "Nobody needs it"})

    @app.get("/public")
    @guard.public
    async def public() -> str:
        raise AssertionError

    @app.get("/default")
    async def default() -> str:
        raise AssertionError

    @app.get("/me")
    async def me(caller: Annotated[Principal, Depends(guard.authenticated)]) -> str:
        raise AssertionError

    @app.get("/read", responses={401: {"description": "our own"}})
    @guard.require(READ)
    async def read() -> str:
        """List orders."""
        raise AssertionError

    @app.post("/write")
    @guard.require(WRITE)
    async def write(order: Order) -> str:
        raise AssertionError

    @app.get("/any")
    @guard.require("a/all")
    @guard.require_any("b/one", "b/two")
    async def any_of() -> str:
        raise AssertionError

    @app.get("/group")
    @guard.require_groups("admins")
    async def group() -> str:
        raise AssertionError

    @app.get("/key")
    @guard.require(READ)
    async def with_key(key: Annotated[str, Depends(APIKeyHeader(name="x-key"))]) -> str:
        raise AssertionError

    router = APIRouter(prefix="/router", dependencies=[Depends(guard.require("a/router"))])

    @router.get("/{item:path}")
    @guard.require(READ)
    async def in_router(item: str) -> str:
        raise AssertionError

    @router.get("/hidden", include_in_schema=False)
    async def hidden() -> str:
        raise AssertionError

    app.include_router(router)
    document: dict[str, Any] = app.openapi()
    assert app.openapi() is document
    return document


def test_each_operation_says_exactly_what_it_requires(with_token_url: CognitoGuard) -> None:
    document = document_of(with_token_url)
    security = {
        path: operation.get("security") for path, item in document["paths"].items() for operation in item.values()
    }

    def either(*alternatives: list[str]) -> list[dict[str, list[str]]]:
        return [{scheme: scopes} for scheme in ("cognito", "bearer") for scopes in alternatives]

    assert security == {
        "/public": None,
        "/default": either([]),
        "/me": either([]),
        "/read": either([READ]),
        "/write": either([WRITE]),
        "/any": either(["a/all", "b/one"], ["a/all", "b/two"]),
        "/group": either([]),
        "/key": [{"APIKeyHeader": []} | each for each in either([READ])],
        "/router/{item}": either(["a/router", READ]),
    }


def test_the_scheme_lists_every_scope_with_its_description(with_token_url: CognitoGuard) -> None:
    schemes = document_of(with_token_url)["components"]["securitySchemes"]

    assert schemes["cognito"]["type"] == "oauth2"
    assert schemes["cognito"]["flows"] == {
        "clientCredentials": {
            "tokenUrl": TOKEN_URL,
            "scopes": {
                "a/all": "",
                "a/router": "",
                "b/one": "",
                "b/two": "",
                "extra/scope": "Nobody needs it",
                READ: "List orders.",
                WRITE: "",
            },
        }
    }
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")


def test_without_a_token_endpoint_tokens_are_pasted(guard: CognitoGuard) -> None:
    document = document_of(guard)

    assert "cognito" not in document["components"]["securitySchemes"]
    security = document["paths"]["/any"]["get"]["security"]
    assert security == [{"bearer": ["a/all", "b/one"]}, {"bearer": ["a/all", "b/two"]}]


def test_refusals_are_listed_where_they_happen(with_token_url: CognitoGuard) -> None:
    paths = document_of(with_token_url)["paths"]

    assert list(paths["/public"]["get"]["responses"]) == ["200"]
    assert list(paths["/default"]["get"]["responses"]) == ["200", "401", "503"]
    assert list(paths["/me"]["get"]["responses"]) == ["200", "401", "503"]
    assert sorted(paths["/read"]["get"]["responses"]) == ["200", "401", "403", "503"]
    assert paths["/read"]["get"]["responses"]["401"]["description"] == "our own"
    assert sorted(paths["/write"]["post"]["responses"]) == ["200", "401", "403", "422", "503"]
    assert sorted(paths["/group"]["get"]["responses"]) == ["200", "401", "403", "503"]
    reference = paths["/group"]["get"]["responses"]["403"]["content"]["application/json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/CognitoGuardRefusal"


def test_parameters_and_bodies_are_untouched(with_token_url: CognitoGuard) -> None:
    paths = document_of(with_token_url)["paths"]

    assert [parameter["name"] for parameter in paths["/router/{item}"]["get"]["parameters"]] == ["item"]
    for path in ("/read", "/any", "/group", "/me"):
        assert "parameters" not in paths[path]["get"]
        assert "422" not in paths[path]["get"]["responses"]
    body = paths["/write"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Order"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the validator's own dependencies
def test_the_document_is_valid(with_token_url: CognitoGuard) -> None:
    validate(json.loads(json.dumps(document_of(with_token_url))))


def test_an_app_without_routes_has_a_document(with_token_url: CognitoGuard) -> None:
    app = FastAPI()
    with_token_url.install(app)

    assert app.openapi()["paths"] == {}


@pytest.mark.anyio
async def test_the_served_document_is_the_same(
    with_token_url: CognitoGuard, call: Callable[..., Awaitable[httpx.Response]]
) -> None:
    app = FastAPI()
    with_token_url.install(app, public_docs=True)

    @app.get("/read")
    @with_token_url.require(READ)
    async def read() -> str:
        raise AssertionError

    served = (await call(app, "GET", "/openapi.json")).json()

    assert served == json.loads(json.dumps(app.openapi()))
    assert served["paths"]["/read"]["get"]["security"][0] == {"cognito": [READ]}
    assert (await call(app, "GET", "/docs")).status_code == 200
