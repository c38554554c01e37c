"""Reads a client's options from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cognito_guard._environment import Environment


def options_from(environ: Mapping[str, str]) -> dict[str, Any]:
    """
    Return the arguments of `ClientCredentials` that *environ* describes.

    Raises:
        ConfigurationError: A required variable is missing or empty, or `COGNITO_ALLOW_INSECURE_HTTP` is neither 1 nor
            0.

    """
    env = Environment(environ)
    second = env.text("COGNITO_CLIENT_SECRET_2")
    return {
        "token_url": env.required("COGNITO_TOKEN_URL"),
        "client_id": env.required("COGNITO_CLIENT_ID"),
        "client_secret": [env.required("COGNITO_CLIENT_SECRET"), *([second] if second else [])],
        "scopes": (env.text("COGNITO_SCOPES") or "").replace(",", " ").split(),
        "resource": env.text("COGNITO_RESOURCE") or (),
        "allow_insecure_http": env.switch("COGNITO_ALLOW_INSECURE_HTTP"),
    }
