"""Reads the body of a request up to a limit, and as a JSON object."""

from __future__ import annotations

import json
from contextlib import aclosing
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request


class BodyTooLargeError(Exception):
    """The body is larger than the limit. The rest was not read."""


class NotJsonError(Exception):
    """The body is not a JSON object. The message is a sentence for people."""


async def read_body(request: Request, limit: int) -> bytes | None:
    """
    Return the body of *request*; None if the client disconnected before all of it had arrived.

    Args:
        request: Its body has not been read yet.
        limit: The most bytes that the body may have.

    Raises:
        BodyTooLargeError: It has more.

    """
    body = bytearray()
    try:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                body += chunk
                if len(body) > limit:
                    raise BodyTooLargeError
    except ClientDisconnect:
        return None
    return bytes(body)


def json_object(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object in *body* (RFC 8259). Every string in it can be encoded as UTF-8.

    Raises:
        NotJsonError: The body is not JSON, is another JSON value, or has half a surrogate pair in it.

    """
    try:
        value = json.loads(body, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise NotJsonError("The body is not JSON.") from error
    if not isinstance(value, dict):
        raise NotJsonError("The body is not a JSON object.")
    return value


def _refuse(constant: str) -> NoReturn:
    # Python reads and writes these numbers. RFC 8259 section 6 does not allow them.
    raise ValueError(constant)
