"""The request of the console page: a JSON object. Its members are read by type."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_LONGEST_LIFETIME: Final = 10 * 365 * 24 * 60 * 60  # seconds


class ConsoleRequestError(ValueError):
    """The page asked for something that is not possible; the message says what to send."""


class ConsoleRequest:
    """The members of a request to the console. Each is checked when it is read."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members: Final = members

    @classmethod
    def parse(cls, body: bytes) -> ConsoleRequest:
        """
        Return the request whose body is *body*.

        Raises:
            ConsoleRequestError: *body* is not a JSON object, or contains text that cannot be encoded.

        """
        try:
            members = json.loads(body)
            # JSON can contain half a surrogate pair. No answer could contain it.
            json.dumps(members, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise ConsoleRequestError("The body must be JSON.") from error
        if not isinstance(members, dict):
            raise ConsoleRequestError("The body must be a JSON object.")
        return cls(members)

    def text(self, name: str) -> str:
        """
        Return a string; "" if it is missing.

        Raises:
            ConsoleRequestError: The member is something else.

        """
        value = self._members.get(name, "")
        if not isinstance(value, str):
            raise ConsoleRequestError(f"{name} must be a string.")
        return value

    def texts(self, name: str) -> tuple[str, ...] | None:
        """
        Return the strings of a list without duplicates; None if the list is missing.

        Raises:
            ConsoleRequestError: The member is something else.

        """
        values = self._members.get(name)
        if values is None:
            return None
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise ConsoleRequestError(f"{name} must be a list of strings.")
        return tuple(dict.fromkeys(values))

    def lifetime(self, name: str) -> int | None:
        """
        Return a number of seconds, 1 to 315,360,000 (ten years); None if it is missing.

        Raises:
            ConsoleRequestError: The member is something else.

        """
        value = self._members.get(name)
        if value is None:
            return None
        if type(value) is not int or not 1 <= value <= _LONGEST_LIFETIME:
            raise ConsoleRequestError(f"{name} must be a whole number of seconds, 1 to {_LONGEST_LIFETIME}.")
        return value
