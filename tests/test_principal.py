"""The caller as a value: it can go anywhere, and nothing changes it."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.encoders import jsonable_encoder
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.testclient import TestClient

from cognito_guard import CognitoGuard, Principal
from cognito_guard.local import LocalClient, LocalPool

ISSUER = "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123"

VALUES: dict[str, Any] = {
    "client_id": "7lhlkkfbfb4q5kpp90urffao",
    "scopes": frozenset({"orders/order.read"}),
    "subject": "ada-sub",
    "username": "ada",
    "groups": frozenset({"admins"}),
    "issuer": ISSUER,
    "token_id": "a-jti",
    "issued_at": 1_800_000_000,
    "expires_at": 1_800_003_600,
}
CLAIMS: dict[str, Any] = {"cognito:groups": ["admins"], "tenant": {"id": 7, "name": "M\u00fcller"}}


def make(**changes: Any) -> Principal:
    return Principal(**{**VALUES, "claims": CLAIMS, **changes})


@pytest.mark.parametrize("name", [*VALUES, "claims", "_payload", "anything"])
def test_no_attribute_can_be_set_or_deleted(name: str) -> None:
    principal = make()

    with pytest.raises(AttributeError):
        setattr(principal, name, "other")
    with pytest.raises(AttributeError):
        delattr(principal, name)
    assert principal == make()


def test_a_change_of_claims_changes_nothing_else() -> None:
    principal = make()
    mine: Any = principal.claims

    mine["cognito:groups"].append("root")
    mine["tenant"]["id"] = 8
    mine["scope"] = "all"

    assert principal.claims == CLAIMS
    assert principal.claims["cognito:groups"] == ["admins"]


def test_a_change_of_the_original_claims_changes_nothing() -> None:
    claims, scopes, groups = {"roles": ["reader"]}, {"a/b"}, ["admins"]
    principal = make(claims=claims, scopes=scopes, groups=groups)

    claims["roles"].append("admin")
    scopes.add("c/d")
    groups.append("root")

    assert principal.claims == {"roles": ["reader"]}
    assert principal.scopes == {"a/b"}
    assert principal.groups == {"admins"}


def test_claims_need_not_be_given() -> None:
    assert Principal(**VALUES).claims == {}


def test_it_is_equal_and_hashes_by_its_attributes_without_claims() -> None:
    assert make() == make(claims={})
    assert len({make(), make(claims={}), make(username="bob")}) == 2
    for name in VALUES:
        assert make() != make(**{name: frozenset({"other"}) if name in {"scopes", "groups"} else None})


def test_its_repr_leaves_claims_out() -> None:
    shown = repr(make(claims={"secret": "of a trigger"}))

    assert "of a trigger" not in shown
    assert all(f"{name}={value!r}" in shown for name, value in VALUES.items())


@pytest.mark.parametrize(
    "twin",
    [
        pytest.param(copy.copy, id="copy"),
        pytest.param(copy.deepcopy, id="deepcopy"),
        *(
            pytest.param(lambda it, p=protocol: pickle.loads(pickle.dumps(it, p)), id=f"pickle-{protocol}")  # noqa: S301
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
    ],
)
def test_it_is_copied_and_pickled_whole(twin: Callable[[Principal], Principal]) -> None:
    copied = twin(make())

    assert copied == make()
    assert copied.claims == CLAIMS
    assert copied.is_authenticated


def test_a_changed_copy_can_be_made() -> None:
    assert dataclasses.replace(make(), username="bob") == make(username="bob")


def test_as_a_dataclass_it_has_everything_but_claims() -> None:
    assert dataclasses.asdict(make()) == VALUES


@pytest.mark.parametrize(
    ("changes", "machine"),
    [
        ({"subject": VALUES["client_id"], "username": None}, True),
        ({}, False),
        ({"subject": VALUES["client_id"]}, False),
        ({"username": None}, False),
        ({"username": None, "subject": None}, False),
    ],
)
def test_a_machine_has_its_client_id_as_subject_and_no_username(changes: dict[str, Any], machine: bool) -> None:
    assert make(**changes).is_machine is machine


@pytest.mark.anyio
async def test_the_grant_decides_whether_a_caller_is_a_machine(
    guard: CognitoGuard, pool: LocalPool, reader: LocalClient
) -> None:
    assert (await guard.verify(pool.mint())).is_machine
    assert not (await guard.verify(pool.mint_user("ada"))).is_machine


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER,
        "https://issuer-cognito-idp.eu-central-1.amazonaws.com/eu-central-1_AbCdEf123",
        "https://cognito-idp.us-east-1.amazonaws.com/eu-central-1_AbCdEf123",
    ],
)
def test_all_issuers_of_a_pool_make_one_identity(issuer: str) -> None:
    assert make(issuer=issuer).identity == f"{ISSUER}#ada-sub"
    assert make(issuer=issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_Other",
        "https://cognito-idp.cn-north-1.amazonaws.com.cn/cn-north-1_AbCdEf123",
        "https://issuer-cognito-idp.eu-central-1.amazonaws.com.evil.example/eu-central-1_AbCdEf123",
        "https://issuer-cognito-idp.eu-central-1.evil.example/eu-central-1_AbCdEf123",
        "https://login.example/eu-central-1_AbCdEf123",
        "http://127.0.0.1:9229/eu-central-1_AbCdEf123",
    ],
)
def test_another_pool_makes_another_identity(issuer: str) -> None:
    assert make(issuer=issuer).identity == f"{issuer}#ada-sub"
    assert make(issuer=issuer).identity != make().identity


def test_the_client_id_replaces_a_missing_subject() -> None:
    assert make(subject=None).identity == f"{ISSUER}#{VALUES['client_id']}"


def test_a_user_is_shown_by_name_and_a_machine_by_its_client() -> None:
    assert make().display_name == "ada"
    assert make(username=None).display_name == VALUES["client_id"]


@pytest.fixture
def http(guard: CognitoGuard) -> TestClient:
    """Handlers that return their caller in each way that FastAPI has."""
    app = FastAPI()
    guard.install(app)

    class Answer(BaseModel):
        caller: Principal
        all_callers: list[Principal]

    class Selected(BaseModel):
        client_id: str
        scopes: set[str]

    # Not an Annotated alias: annotations are strings here, and names of a function are not found.
    caller = Depends(guard.authenticated)

    @app.get("/inferred")
    async def inferred(caller: Principal = caller) -> Principal:
        return caller

    @app.get("/untyped", response_model=None)
    async def untyped(caller: Principal = caller) -> Any:
        return {"caller": caller}

    @app.get("/bare", response_model=None)
    def bare(caller: Principal = caller) -> Any:
        return caller

    @app.get("/model", response_model=Answer)
    async def model(caller: Principal = caller) -> Any:
        return {"caller": caller, "all_callers": [caller]}

    @app.get("/optional", response_model=Principal | None, response_model_exclude_none=True)
    async def optional(caller: Principal = caller) -> Any:
        return caller

    @app.get("/selected", response_model=Selected)
    async def selected(caller: Principal = caller) -> Any:
        return caller

    @app.post("/forgotten")
    async def forgotten(caller: Principal) -> str:
        raise AssertionError

    return TestClient(app)


def expected(pool: LocalPool, reader: LocalClient, token_id: str) -> dict[str, Any]:
    return {
        "client_id": reader.client_id,
        "scopes": ["orders/order.read"],
        "subject": reader.client_id,
        "username": None,
        "groups": [],
        "issuer": pool.issuer,
        "token_id": token_id,
        "issued_at": 1_800_000_000,
        "expires_at": 1_800_003_600,
    }


@pytest.mark.parametrize("path", ["/inferred", "/bare", "/untyped", "/model", "/optional", "/selected"])
def test_a_handler_may_return_it_and_its_json_has_no_claims(
    http: TestClient, pool: LocalPool, reader: LocalClient, path: str
) -> None:
    whole = expected(pool, reader, "a-jti")

    answer = http.get(path, headers={"Authorization": f"Bearer {pool.mint(jti='a-jti', secret='of a trigger')}"})

    assert answer.status_code == 200, answer.text
    assert (
        answer.json()
        == {
            "/inferred": whole,
            "/bare": whole,
            "/untyped": {"caller": whole},
            "/model": {"caller": whole, "all_callers": [whole]},
            "/optional": {name: value for name, value in whole.items() if value is not None},
            "/selected": {"client_id": reader.client_id, "scopes": ["orders/order.read"]},
        }[path]
    )


def test_a_handler_that_forgets_depends_reads_no_caller_from_a_body(http: TestClient, pool: LocalPool) -> None:
    body = jsonable_encoder(make())

    answer = http.post("/forgotten", headers={"Authorization": f"Bearer {pool.mint()}"}, json=body)

    assert answer.status_code == 422
    assert "a Principal comes from a verified access token" in answer.text


def test_the_openapi_document_describes_it(http: TestClient, pool: LocalPool) -> None:
    headers = {"Authorization": f"Bearer {pool.mint()}"}
    schema = http.get("/openapi.json", headers=headers).json()["components"]["schemas"]["Principal"]

    assert set(schema["properties"]) == set(VALUES)


def test_pydantic_cannot_read_one_from_json() -> None:
    adapter = TypeAdapter(Principal)

    assert adapter.validate_python(make()) == make()
    assert json.loads(adapter.dump_json(make())) == jsonable_encoder(make())
    for data in (VALUES, "ada", None):
        with pytest.raises(ValidationError):
            adapter.validate_python(data)
    with pytest.raises(ValidationError):
        adapter.validate_json(json.dumps(jsonable_encoder(make())))
