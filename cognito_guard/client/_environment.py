"""Reads a client's options from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cognito_guard.errors import ConfigurationError

_REQUIRED: Final = ("COGNITO_TOKEN_URL", "COGNITO_CLIENT_ID", "COGNITO_CLIENT_SECRET")
_YES: Final = frozenset({"1", "true", "yes", "on"})
_NO: Final = frozenset({"", "0", "false", "no", "off"})


def options_from(environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the arguments of `ClientCredentials` that *environ* describes.

    Raises:
        ConfigurationError: A required variable is missing or empty, or `COGNITO_ALLOW_INSECURE_HTTP` is neither 1 nor
            0.

    """
    values = {name: environ.get(name, "").strip() for name in _REQUIRED}
    for name, value in values.items():
        if not value:
            raise ConfigurationError(f"the environment variable {name} is not set")
    second = environ.get("COGNITO_CLIENT_SECRET_2", "").strip()
    resource = environ.get("COGNITO_RESOURCE", "").strip()
    insecure = environ.get("COGNITO_ALLOW_INSECURE_HTTP", "").strip().lower()
    if insecure not in _YES | _NO:
        raise ConfigurationError(f"COGNITO_ALLOW_INSECURE_HTTP must be 1 or 0, got {insecure!r}")
    return {
        "token_url": values["COGNITO_TOKEN_URL"],
        "client_id": values["COGNITO_CLIENT_ID"],
        "client_secret": [values["COGNITO_CLIENT_SECRET"], *([second] if second else [])],
        "scopes": environ.get("COGNITO_SCOPES", "").replace(",", " ").split(),
        "resource": resource or (),
        "allow_insecure_http": insecure in _YES,
    }
