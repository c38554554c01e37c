"""What a trace says about a caller, if the app uses OpenTelemetry. Never loads OpenTelemetry itself."""

from __future__ import annotations

import sys
from typing import Final

TRACING: Final = "opentelemetry.trace"
"""The module that is loaded in an app with tracing."""


def annotate(outcome: str, client_id: str | None) -> None:
    """
    Record on the current span how a token was judged.

    Sets `cognito_guard.outcome`, which is `verified` or the `reason` of a refusal, and `cognito_guard.client_id` once
    the token is verified. Does nothing unless OpenTelemetry is loaded and the span is recorded.
    """
    trace = sys.modules.get(TRACING)
    if trace is not None and (span := trace.get_current_span()).is_recording():
        span.set_attribute("cognito_guard.outcome", outcome)
        if client_id is not None:
            span.set_attribute("cognito_guard.client_id", client_id)
