"""What a trace says about a caller, if the app uses OpenTelemetry. Never loads OpenTelemetry itself."""

from __future__ import annotations

import sys
from typing import Final

OPENTELEMETRY: Final = "opentelemetry.context"
"""The module that knows the current span."""


def is_traced() -> bool:
    """Return whether there may be a current span. Takes a third of the time of asking for it."""
    # Another thread may be importing the module, and has not come to this function yet.
    get_current = getattr(sys.modules.get(OPENTELEMETRY), "get_current", None)
    return get_current is not None and bool(get_current())


def annotate(outcome: str, client_id: str | None) -> None:
    """
    Record on the current span how a token was judged.

    Sets `cognito_guard.outcome`, which is `verified` or the `reason` of a refusal, and `cognito_guard.client_id` once
    the token is verified. Does nothing unless OpenTelemetry is loaded and the span is recorded.
    """
    get_current_span = getattr(sys.modules.get("opentelemetry.trace"), "get_current_span", None)
    if get_current_span is not None and (span := get_current_span()).is_recording():
        span.set_attribute("cognito_guard.outcome", outcome)
        if client_id is not None:
            span.set_attribute("cognito_guard.client_id", client_id)
