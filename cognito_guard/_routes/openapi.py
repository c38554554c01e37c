"""Writes what the routes of a FastAPI app require into its OpenAPI document."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any, Final

from cognito_guard._routes.census import RouteEntry, census
from cognito_guard._rules.conditions import ANY_TOKEN, Granted
from cognito_guard._rules.requirement import Requirement
from cognito_guard.errors import (
    InsufficientScopeError,
    InvalidTokenError,
    KeysUnavailableError,
    RefusalError,
)

_OAUTH2: Final = "cognito"
_BEARER: Final = "bearer"
_SCHEMA: Final = "CognitoGuardRefusal"
_DESCRIBES: Final = "__cognito_guard_describes__"

_DESCRIPTIONS: Final[Mapping[type[RefusalError], str]] = {
    InvalidTokenError: "The access token is missing or invalid.",
    InsufficientScopeError: "The access token does not grant this.",
    KeysUnavailableError: "Access tokens cannot be verified at the moment.",
}


def describe(app: Any, token_url: str | None, descriptions: Mapping[str, str]) -> Callable[[], dict[str, Any]]:
    """
    Return a function that makes the OpenAPI document of the FastAPI *app*, with what each operation requires.

    Guarded operations get their scopes and the responses that refuse a caller. Public ones get nothing. Parameters,
    bodies and what the app itself says stay as they are.

    Args:
        app: The app; its routes are read when the document is made.
        token_url: Where clients get tokens. Without it, Swagger UI can only take a pasted token.
        descriptions: A description by scope. Other scopes are described by what the first route that needs them does.

    """
    make_document: Callable[[], dict[str, Any]] = app.openapi
    if getattr(make_document, _DESCRIBES, False):
        return make_document
    described: dict[str, Any] | None = None

    def openapi() -> dict[str, Any]:
        nonlocal described
        document = make_document()
        # FastAPI makes its document once and keeps it. An app's own function may make a new one each time.
        if document is not described:
            _add_to(document, list(census(app)), token_url, descriptions)
            described = document
        return document

    setattr(openapi, _DESCRIBES, True)
    return openapi


def scope_descriptions(routes: Iterable[RouteEntry], descriptions: Mapping[str, str]) -> dict[str, str]:
    """Return a description of each scope in *routes*: from *descriptions*, or what the first route with it does."""
    found: dict[str, str] = dict(descriptions)
    for route in routes:
        for scope in route.scopes:
            if not found.get(scope):
                found[scope] = route.summary
    return dict(sorted(found.items()))


def _add_to(
    document: dict[str, Any], routes: list[RouteEntry], token_url: str | None, descriptions: Mapping[str, str]
) -> None:
    components = document.setdefault("components", {})
    schemes = components.setdefault("securitySchemes", {})
    schemes[_BEARER] = {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "An access token of the user pool, pasted.",
    }
    if token_url is not None:
        flow = {"tokenUrl": token_url, "scopes": scope_descriptions(routes, descriptions)}
        schemes[_OAUTH2] = {
            "type": "oauth2",
            "description": "The client id and secret of an app client of the user pool.",
            "flows": {"clientCredentials": flow},
        }
    components.setdefault("schemas", {}).setdefault(_SCHEMA, _REFUSAL)
    for route in routes:
        operation = document.get("paths", {}).get(route.path, {}).get(route.method.lower())
        # The document of an app does not contain the operations of mounted apps.
        if operation is not None and route.guarded and not route.public:
            ours = _security(route.requirements, oauth2=token_url is not None)
            # The app's own security schemes are required in addition to these.
            operation["security"] = [theirs | each for theirs in operation.get("security", [{}]) for each in ours]
            for status, response in _responses(route.requirements).items():
                operation["responses"].setdefault(status, response)


def _security(requirements: tuple[Requirement, ...], *, oauth2: bool) -> list[dict[str, list[str]]]:
    # All members of one object are required; any one of the objects is enough (OpenAPI, Security Requirement).
    choices = product(
        *(
            sorted(map(sorted, each.condition.alternatives))
            for each in requirements
            if isinstance(each.condition, Granted)
        )
    )
    scopes = [sorted(set().union(*choice)) for choice in choices]
    # Since OpenAPI 3.1, a bearer scheme can name scopes too.
    schemes = (_OAUTH2, _BEARER) if oauth2 else (_BEARER,)
    return [{scheme: each} for scheme in schemes for each in scopes]


def _responses(requirements: tuple[Requirement, ...]) -> dict[str, dict[str, Any]]:
    can_lack = any(each.condition != ANY_TOKEN for each in requirements)
    return {
        str(error.status): {
            "description": description,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{_SCHEMA}"}}},
        }
        for error, description in _DESCRIPTIONS.items()
        if can_lack or error is not InsufficientScopeError
    }


_REFUSAL: Final = {
    "title": "Refusal",
    "type": "object",
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
    "required": ["error", "error_description"],
}
