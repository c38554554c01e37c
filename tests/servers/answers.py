"""The guard's answers, as clients receive them."""

from __future__ import annotations

import json

import pytest

from tests.servers.wire import Answer

READ, WRITE = "orders/order.read", "orders/order.write"


LACKS_SCOPE = "The access token lacks a scope that this resource requires."
MISSING = {"error": "missing_token", "error_description": "A bearer access token is required."}
FORBIDDEN = {"error": "insufficient_scope", "error_description": LACKS_SCOPE}
FORBIDDEN_CHALLENGE = f'Bearer error="insufficient_scope", error_description="{LACKS_SCOPE}", scope="{WRITE}"'
BOTH = pytest.mark.parametrize("host", ["fast", "starlette"])


def is_refused(answer: Answer) -> bool:
    """Return whether *answer* is our refusal of a stranger, or the server's own answer to an invalid request."""
    if answer.challenge is None:
        return answer.status == 400
    return (answer.status, answer.challenge, json.loads(answer.body)) == (401, "Bearer", MISSING)
