"""The environment variables that make an API accept a local pool."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cognito_guard._urls import is_loopback
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._pool import LocalPool

_NAMES: Final = (
    "COGNITO_USER_POOL_ID",
    "COGNITO_CLIENT_IDS",
    "COGNITO_ISSUER",
    "COGNITO_JWKS_URL",
    "COGNITO_TOKEN_URL",
    "COGNITO_RESOURCE_SERVERS",
    "COGNITO_ALLOW_INSECURE_HTTP",
)


def variables_of(pool: LocalPool, url: str) -> dict[str, str]:
    """
    Return the variables that make `UserPool.from_env` accept the tokens of *pool* and its present clients.

    Args:
        pool: A pool with at least one client.
        url: The URL at which it is served, without a final slash.

    """
    variables = {
        "COGNITO_USER_POOL_ID": pool.pool_id,
        "COGNITO_CLIENT_IDS": ",".join(client.client_id for client in pool.clients),
        "COGNITO_JWKS_URL": f"{url}/{pool.pool_id}/.well-known/jwks.json",
        "COGNITO_TOKEN_URL": f"{url}/oauth2/token",
    }
    if len(pool.resource_servers) == 1:
        # If there are several, only the API knows which one is its own.
        variables["COGNITO_RESOURCE_SERVERS"] = pool.resource_servers[0].identifier
    if pool.has_own_issuer:
        variables["COGNITO_ISSUER"] = pool.issuer_at(url)
    if not is_loopback(urlsplit(url).hostname or ""):
        variables["COGNITO_ALLOW_INSECURE_HTTP"] = "1"
    return variables


def environment_with(variables: Mapping[str, str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return *environ* with *variables*, and without the issuer or URLs of another pool."""
    return {name: value for name, value in environ.items() if name not in _NAMES} | dict(variables)


def write_env_file(path: Path, variables: Mapping[str, str]) -> None:
    """
    Write *variables* to an env file that docker, uvicorn and dotenv can read. Only its owner may read a new file.

    Comments and lines about other variables stay as they are. Lines of an earlier run are replaced.

    Raises:
        ConfigurationError: The file cannot be read or written.

    """
    try:
        before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in before if line.removeprefix("export ").partition("=")[0].strip() not in _NAMES]
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
        lines = [*kept, *(f"{name}={value}" for name, value in variables.items())]
        _replace(path.resolve(), "\n".join(lines) + "\n", mode)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the env file {path} cannot be written: {error}") from error


def _replace(path: Path, content: str, mode: int) -> None:
    # Replace the file as a whole: a half-written one could lose other settings.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            file.write(content)
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise
