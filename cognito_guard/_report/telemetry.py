"""What a trace says of a caller, where the app is traced with OpenTelemetry. Never a reason to load it."""

from __future__ import annotations

import sys
from typing import Final

TRACING: Final = "opentelemetry.trace"
"""What has been imported in an app that is traced."""


def annotate(outcome: str, client_id: str | None) -> None:
    """
    Note on the current span how a token was judged.

    Sets `cognito_guard.outcome`, which is `verified` or the `reason` of a refusal, and `cognito_guard.client_id` once
    the token is verified. Does nothing unless OpenTelemetry is loaded and the span recorded.
    """
    trace = sys.modules.get(TRACING)
    if trace is not None and (span := trace.get_current_span()).is_recording():
        span.set_attribute("cognito_guard.outcome", outcome)
        if client_id is not None:
            span.set_attribute("cognito_guard.client_id", client_id)
