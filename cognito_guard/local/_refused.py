"""The error for settings that Cognito would not accept."""

from __future__ import annotations

from cognito_guard.errors import ConfigurationError


class SettingRefusedError(ConfigurationError):
    """
    Cognito would refuse this setting of a pool.

    In Python this is a mistake in the set-up, so it is a `ConfigurationError`. Over HTTP, the answer has Cognito's name
    for it.

    Attributes:
        kind: The name of the exception that Cognito's API answers with.
        message: What is wrong.

    """

    def __init__(self, message: str, kind: str = "InvalidParameterException") -> None:
        self.kind = kind
        self.message = message
        super().__init__(message)
