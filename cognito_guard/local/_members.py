"""Reads the members of an API request, with the types and limits of the service model of `cognito-idp`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from cognito_guard._grammar import Form

USER_POOL_ID: Final = Form("a user pool id", re.compile(r"[\w-]+_[0-9a-zA-Z]+", re.ASCII), 55)

_NOTHING: Final[Mapping[str, Any]] = {}


class OperationError(Exception):
    """
    An operation of the API is refused.

    Attributes:
        kind: The name of Cognito's exception.
        message: The message for the caller.
        reason: The reason, for people at this machine; by default the message.

    """

    def __init__(self, kind: str, message: str, reason: str | None = None) -> None:
        self.kind = kind
        self.message = message
        self.reason = message if reason is None else reason
        super().__init__(f"{kind}: {message}")


class Members:
    """The members of a JSON object. A member that is null counts as missing. Messages never contain a value."""

    def __init__(self, values: Mapping[str, Any] = _NOTHING) -> None:
        self._values: Final = {name: value for name, value in values.items() if value is not None}

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def text(self, name: str, form: Form) -> str:
        """
        Return a string of that form.

        Raises:
            OperationError: It is missing, not a string, or not of the form.

        """
        if name not in self._values:
            raise _invalid(name, "Member must not be null")
        return self._text(name, self._values[name], form)

    def optional_text(self, name: str, form: Form) -> str | None:
        """Return a string of that form; None if it is missing. Raises the same as `text`."""
        return self.text(name, form) if name in self._values else None

    def texts(self, name: str, form: Form, most: int) -> tuple[str, ...]:
        """Return a list of at most that many strings; an empty one if it is missing. Raises the same as `text`."""
        return tuple(self._text(name, value, form) for value in self._list(name, most))

    def choices(self, name: str, known: tuple[str, ...]) -> tuple[str, ...]:
        """
        Return a list of strings from *known*; an empty one if it is missing.

        Raises:
            OperationError: It is not a list of such strings.

        """
        values = self._list(name, len(known))
        for value in values:
            if value not in known:
                raise _invalid(name, f"Member must satisfy enum value set: [{', '.join(known)}]")
        return tuple(dict.fromkeys(values))

    def choice(self, name: str, known: tuple[str, ...], default: str) -> str:
        """
        Return one of *known*; the default if it is missing.

        Raises:
            OperationError: It is not one of these.

        """
        value: str = self._values.get(name, default)
        if value not in known:
            raise _invalid(name, f"Member must satisfy enum value set: [{', '.join(known)}]")
        return value

    def flag(self, name: str) -> bool:
        """
        Return a boolean; False if it is missing.

        Raises:
            OperationError: It is something else.

        """
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise _wrong_type(name, "Boolean")
        return value

    def number(self, name: str, lowest: int, highest: int, default: int) -> int:
        """
        Return a whole number between these bounds, both included; the default if it is missing.

        Raises:
            OperationError: It is not a whole number, or not between the bounds.

        """
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise _wrong_type(name, "Integer")
        if not lowest <= value <= highest:
            raise _invalid(name, f"Member must have value between {lowest} and {highest}")
        return value

    def structure(self, name: str) -> Members:
        """
        Return an object; an empty one if it is missing.

        Raises:
            OperationError: It is something else.

        """
        return Members(_object(name, self._values.get(name, {})))

    def structures(self, name: str, most: int) -> tuple[Members, ...]:
        """Return a list of at most that many objects. Raises the same as `structure` and `texts`."""
        return tuple(Members(_object(name, value)) for value in self._list(name, most))

    def strings(self, name: str) -> dict[str, str]:
        """
        Return an object of strings; an empty one if it is missing.

        Raises:
            OperationError: It is something else.

        """
        values = _object(name, self._values.get(name, {}))
        if not all(isinstance(value, str) for value in values.values()):
            raise _wrong_type(name, "String")
        return dict(values)

    def chosen(self, names: frozenset[str]) -> dict[str, Any]:
        """Return the members with one of *names*, unchanged."""
        return {name: value for name, value in self._values.items() if name in names}

    def _list(self, name: str, most: int) -> list[Any]:
        values = self._values.get(name, [])
        if not isinstance(values, list):
            raise _wrong_type(name, "List")
        if len(values) > most:
            raise _invalid(name, f"Member must have length less than or equal to {most}")
        return values

    @staticmethod
    def _text(name: str, value: Any, form: Form) -> str:
        if not isinstance(value, str):
            raise _wrong_type(name, "String")
        if len(value) < form.shortest:
            raise _invalid(name, f"Member must have length greater than or equal to {form.shortest}")
        if len(value) > form.longest:
            raise _invalid(name, f"Member must have length less than or equal to {form.longest}")
        if not form.pattern.fullmatch(value):
            raise _invalid(name, f"Member must satisfy regular expression pattern: {form.pattern.pattern}")
        return value


def _object(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong_type(name, "Map")
    return value


def _invalid(name: str, constraint: str) -> OperationError:
    where = name[0].lower() + name[1:]
    return OperationError(
        "InvalidParameterException",
        f"1 validation error detected: Value at '{where}' failed to satisfy constraint: {constraint}",
    )


def _wrong_type(name: str, expected: str) -> OperationError:
    return OperationError("SerializationException", f"{name} cannot be converted to {expected}.")
