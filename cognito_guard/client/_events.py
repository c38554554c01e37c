"""
What a client passes to `on_event`: one frozen object for each occasion.

`on_event` is called on the thread that got the token. It must not block, because callers wait for that thread. Its
exceptions are logged and have no other effect. No event contains a token or a secret.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenBought:
    """
    The token endpoint gave a token, which Cognito bills.

    Attributes:
        client_id: The app client.
        scopes: The scopes that were asked for, sorted.
        lifetime: Seconds that the token is valid.
        bought: How many tokens this client has bought so far, this one included.
        reused: How many calls were answered so far without a purchase.
        spent: The cost of the purchases so far, in the currency of `price`.

    """

    client_id: str
    scopes: tuple[str, ...]
    lifetime: float
    bought: int
    reused: int
    spent: float


@dataclass(frozen=True, slots=True)
class TokenShared:
    """
    A token that another process bought was taken from the store.

    Attributes:
        client_id: The app client.
        scopes: The scopes that were asked for, sorted.
        lifetime: Seconds until the token expires.

    """

    client_id: str
    scopes: tuple[str, ...]
    lifetime: float


@dataclass(frozen=True, slots=True)
class TokenRequestFailed:
    """
    One token request failed. Calls may go on with an older token.

    Attributes:
        client_id: The app client.
        error: The code, as in `TokenRequestError.error`.
        status: The HTTP status, or None.
        retry_after: Seconds until the next request.

    """

    client_id: str
    error: str
    status: int | None
    retry_after: float


TokenEvent = TokenBought | TokenShared | TokenRequestFailed
"""Any event that `on_event` may get."""
