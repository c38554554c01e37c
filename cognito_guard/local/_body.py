"""The body of a request, read up to a limit."""

from __future__ import annotations

from contextlib import aclosing

from starlette.requests import ClientDisconnect, Request


class BodyTooLargeError(Exception):
    """The body is larger than the limit. The rest of it is left unread."""


async def read_body(request: Request, limit: int) -> bytes | None:
    """
    Return the body of *request*; None if the client left before all of it had arrived.

    Args:
        request: Whose body has not been read yet.
        limit: Bytes that the body may have.

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
