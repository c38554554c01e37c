"""Environment variables as configuration. A variable that is empty counts as not set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cognito_guard.errors import ConfigurationError


class Environment:
    """Reads settings from *environ*."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ: Final = environ

    def text(self, name: str) -> str | None:
        """Return the value of a variable without blanks around it; None if it is not set."""
        return self._environ.get(name, "").strip() or None

    def required(self, name: str) -> str:
        """
        Return the value of a variable.

        Raises:
            ConfigurationError: It is not set.

        """
        value = self.text(name)
        if value is None:
            raise ConfigurationError(f"the environment variable {name} is not set")
        return value

    def several(self, name: str) -> list[str] | None:
        """Return the values of a variable, which commas separate; None if it is not set."""
        value = self.text(name)
        return None if value is None else split(value)

    def switch(self, name: str) -> bool:
        """
        Return whether a variable is 1.

        Raises:
            ConfigurationError: It is set to something other than 1 or 0.

        """
        value = self.text(name) or "0"
        if value not in {"0", "1"}:
            raise ConfigurationError(f"{name} must be 1, 0 or not set, got {value!r}")
        return value == "1"


def split(value: str) -> list[str]:
    """Return the parts of *value* between commas, without blanks around them and without empty ones."""
    return [part.strip() for part in value.split(",") if part.strip()]
