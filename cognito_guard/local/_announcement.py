"""What `cognito-guard local` prints when it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from cognito_guard.local._client_settings import CLIENT_CREDENTIALS
from cognito_guard.local._pool import LocalPool

NOT_FOR_PRODUCTION: Final = "NOT FOR PRODUCTION: everyone who can reach it gets valid tokens from it."


def announcement(
    url: str,
    pools: Sequence[LocalPool],
    variables: Sequence[Mapping[str, str]],
    *,
    console: str | None,
    command: Sequence[str],
) -> str:
    """
    Return the text.

    Args:
        url: The URL at which it is served.
        pools: The pools that are served.
        variables: For each pool, the environment variables of an API.
        console: The URL of the console page, if there is one.
        command: The command that runs beside it, if any. It has the variables already.

    """
    lines = [f"*** {NOT_FOR_PRODUCTION} ***", "", f"Local Cognito at {url}"]
    if console is not None:
        lines.append(f"Console page: {console}")
    for pool, exports in zip(pools, variables, strict=True):
        lines += ["", f"User pool {pool.pool_id}. For your API:", ""]
        lines += [f"export {name}={value}" for name, value in exports.items()]
        for client in pool.clients:
            if CLIENT_CREDENTIALS in client.allowed_flows:
                lines += ["", f"A token for the client {client.name} ({' '.join(client.scopes)}):", ""]
                lines.append(
                    f"curl -sS -u '{client.client_id}:{client.secret}' -d grant_type=client_credentials "
                    f"{url}/oauth2/token"
                )
    ending = f"Running beside it: {' '.join(command)}" if command else "Press Ctrl-C to stop."
    return "\n".join([*lines, "", ending, ""])
