"""The error tree, and the words that callers get."""

from __future__ import annotations

import re
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from cognito_guard import errors
from cognito_guard.errors import (
    BearerError,
    ClaimError,
    ConfigurationError,
    ExpiredTokenError,
    GuardError,
    InsufficientScopeError,
    InvalidRequestError,
    InvalidTokenError,
    KeysUnavailableError,
    MalformedTokenError,
    MissingTokenError,
    NotInstalledError,
    RefusalError,
    SignatureError,
    TokenRequestError,
)

CLASSES: list[type[Any]] = [getattr(errors, name) for name in errors.__all__]
REFUSALS = [cls for cls in CLASSES if issubclass(cls, RefusalError)]


@pytest.mark.parametrize("cls", CLASSES)
def test_the_drawing_shows_each_error_below_its_base(cls: type[Any]) -> None:
    drawing = (errors.__doc__ or "").splitlines()
    depth = {
        match[0]: match.start()
        for line in drawing
        if line.startswith("    ") and (match := re.search(r"[A-Z]\w+Error", line))
    }
    bases = [base.__name__ for base in cls.__bases__ if issubclass(base, GuardError)]

    assert cls.__name__ in depth
    assert all(depth[base] < depth[cls.__name__] for base in bases)


def test_there_is_one_base() -> None:
    assert all(issubclass(cls, GuardError) for cls in CLASSES)
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(TokenRequestError, GuardError)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (MissingTokenError(), 401, None),
        (InvalidRequestError("malformed_header"), 400, "invalid_request"),
        (MalformedTokenError("malformed"), 401, "invalid_token"),
        (ClaimError("iss"), 401, "invalid_token"),
        (ExpiredTokenError(), 401, "invalid_token"),
        (SignatureError("signature"), 401, "invalid_token"),
        (InsufficientScopeError("scope"), 403, "insufficient_scope"),
        (KeysUnavailableError(3), 503, "temporarily_unavailable"),
        (NotInstalledError(), 500, "server_error"),
    ],
)
def test_a_refusal_knows_its_answer(error: RefusalError, status: int, code: str | None) -> None:
    assert (error.status, error.code) == (status, code)
    assert isinstance(error, HTTPException)
    assert (error.status_code, error.detail, error.headers) == (status, error.description, None)
    assert str(error) == f"{error.description} ({error.reason})"


def test_the_callers_errors_are_bearer_errors() -> None:
    assert issubclass(InvalidTokenError, BearerError)
    assert not issubclass(KeysUnavailableError, BearerError)
    assert not issubclass(NotInstalledError, BearerError)


@pytest.mark.parametrize("cls", REFUSALS)
def test_descriptions_fit_into_a_quoted_string(cls: type[RefusalError]) -> None:
    """RFC 6750 section 3: error_description is of %x20-21 / %x23-5B / %x5D-7E."""
    for reason, description in cls._vocabulary.items():
        assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+", description)
        assert re.fullmatch(r"[a-z_:]+", reason)


@pytest.mark.parametrize("cls", [InvalidRequestError, MalformedTokenError, SignatureError, InsufficientScopeError])
def test_only_words_of_the_vocabulary_are_spoken(cls: Any) -> None:
    with pytest.raises(KeyError):
        cls("whatever a token says")
