"""The AWS API over HTTP: JSON 1.1, the operation in the header `X-Amz-Target`, errors by name."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from cognito_guard.local._body import NotJsonError, json_object
from cognito_guard.local._call import Call
from cognito_guard.local._disputed import DisputedAnswers
from cognito_guard.local._members import Members, OperationError
from cognito_guard.local._operations import CHANGING, READING, Operation
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._record import note_reason, shown
from cognito_guard.local._refused import SettingRefusedError

_SERVICE: Final = "AWSCognitoIdentityProviderService"
_OPERATIONS: Final = READING | CHANGING


def api_response(
    request: Request,
    body: bytes,
    pools: Sequence[LocalPool],
    disputed: DisputedAnswers,
    on_change: Callable[[], object] | None = None,
) -> Response:
    """
    Return the answer to *request*. AWS signatures are not checked.

    Args:
        request: The request that calls an operation.
        body: Its body.
        pools: The user pools here.
        disputed: How to answer where Cognito's answer is not known for certain.
        on_change: Called after an operation has changed a pool.

    """
    try:
        name, operation = _operation(request)
        answer = operation(Call(request, _members(body), pools, disputed))
    except SettingRefusedError as error:
        return _refused(request, OperationError(error.kind, error.message))
    except OperationError as error:
        return _refused(request, error)
    if name in CHANGING and on_change is not None:
        on_change()
    return _answer(200, answer)


def is_for_token(request: Request) -> bool:
    """Return whether *request* calls `GetClientToken`."""
    return request.headers.get("x-amz-target") == f"{_SERVICE}.GetClientToken"


def _operation(request: Request) -> tuple[str, Operation]:
    target = request.headers.get("x-amz-target", "")
    service, _, name = target.partition(".")
    operation = _OPERATIONS.get(name)
    if service != _SERVICE or operation is None:
        raise OperationError(
            "UnknownOperationException",
            "This operation is not served by the local Cognito.",
            f"X-Amz-Target is {shown(target) or 'missing'}; {_SERVICE} serves {', '.join(_OPERATIONS)}.",
        )
    return name, operation


def _members(body: bytes) -> Members:
    try:
        return Members(json_object(body))
    except NotJsonError as error:
        raise OperationError("SerializationException", str(error)) from error


def _refused(request: Request, error: OperationError) -> Response:
    note_reason(request, f"{error.kind}. {error.reason}")
    return _answer(400, {"__type": error.kind, "message": error.message}, {"x-amzn-ErrorType": error.kind})


def _answer(status: int, content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    always = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-RequestId": str(uuid.uuid4())}
    return JSONResponse(content, status, always | (headers or {}))
