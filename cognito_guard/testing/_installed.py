"""The guard that is installed on an app."""

from __future__ import annotations

from starlette.applications import Starlette

from cognito_guard import CognitoGuard
from cognito_guard.errors import ConfigurationError


def guard_of(app: Starlette) -> CognitoGuard:
    """
    Return the guard that is installed on *app*. For apps that a function makes together with their guard.

    Raises:
        ConfigurationError: The app has no guard, or more than one.

    """
    guards = [
        value
        for entry in app.user_middleware
        for value in (*entry.args, *entry.kwargs.values())
        if isinstance(value, CognitoGuard)
    ]
    if len(guards) != 1:
        raise ConfigurationError(f"guard_of() takes an app with one guard installed on it; this one has {len(guards)}")
    return guards[0]
