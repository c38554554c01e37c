"""The text that is printed at the start: the URLs, and requests to paste."""

from __future__ import annotations

from cognito_guard import UserPool
from example_app.pool import READER_ID, READER_SECRET, WRITER_ID, WRITER_SECRET

# For any shell and any curl: no comments between commands, because zsh would run them, and no recent options.
_REQUESTS = """\
1. Get a token, as a client that may only read orders:

TOKEN=$({ask_as_reader})

2. Call with it: 200

curl -i -H "Authorization: Bearer $TOKEN" {api}/orders

3. Call without it: 401

curl -i {api}/orders

4. Place an order with it: 403, because that needs the scope orders/order.write

curl -i -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{{"item": "tea"}}' {api}/orders

5. Get a token as a client that may also write, and place the order: 201

TOKEN=$({ask_as_writer})
curl -i -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{{"item": "tea"}}' {api}/orders
"""

_WORKER = """
6. Let the worker at {worker} place an order, with its own token: 201

curl -i -X POST {worker}/reorder

7. See what its tokens cost so far: one is bought, however many orders follow

curl {worker}/tokens
"""


def welcome(framework: str, api: str, pool: UserPool, cognito: str | None, worker: str | None) -> str:
    """
    Return the text to print.

    Args:
        framework: The framework of the API.
        api: URL of the API.
        pool: The user pool that guards it.
        cognito: URL of the local Cognito, or None if the pool is a real one.
        worker: URL of the worker, or None if there is none.

    """
    reader, writer = f"{READER_ID}:{READER_SECRET}", f"{WRITER_ID}:{WRITER_SECRET}"
    issued_by, paste = f"the local Cognito at {cognito}", "Paste these requests into another terminal."
    if cognito is None:
        reader, writer = "READER_ID:READER_SECRET", "WRITER_ID:WRITER_SECRET"
        issued_by = "Cognito itself (COGNITO_USER_POOL_ID is set, so no local Cognito is started)"
        paste = "Paste these requests into another terminal. Replace the words in capitals."
    token_url = pool.token_url or "https://YOUR_DOMAIN/oauth2/token"
    requests = _REQUESTS.format(api=api, ask_as_reader=_ask(token_url, reader), ask_as_writer=_ask(token_url, writer))
    if worker is not None:
        requests += _WORKER.format(worker=worker)
    return (
        f"The orders API ({framework}) is at {api}.\n"
        f"It takes access tokens of the user pool {pool.pool_id}, issued by {issued_by}.\n\n"
        f"{paste}\n\n{requests}\n"
        "Press Ctrl-C to stop.\n"
    )


def _ask(token_url: str, credentials: str) -> str:
    ask = f"curl -sS -u {credentials} -d grant_type=client_credentials {token_url}"
    return ask + r""" | sed 's/.*"access_token": *"\([^"]*\)".*/\1/'"""
