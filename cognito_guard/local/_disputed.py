"""The answers of Cognito that are not known for certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputedAnswers:
    """
    How the token endpoint answers where the documentation contradicts itself or what was observed.

    The defaults are the likeliest. Code that calls the endpoint should live with all of them.

    Attributes:
        invalid_client_status: The status of `invalid_client`.
        flow_not_enabled: The error if the client may not use the client-credentials flow.
        unassigned_scope: The error if a scope exists, but is not one of the client's; or `drop` to go on without it.
        unknown_scope: What happens to a scope that does not exist beside one that does. Alone it is `invalid_scope`.
        wrong_media_type: The status if `Content-Type` is not that of a form, or `Accept` does not allow JSON. With 405
            the body is empty, as captured in reports; with 400 it is `invalid_request`.

    """

    invalid_client_status: Literal[400, 401] = 400
    flow_not_enabled: Literal["invalid_grant", "unauthorized_client"] = "invalid_grant"
    unassigned_scope: Literal["invalid_grant", "invalid_scope", "drop"] = "invalid_grant"
    unknown_scope: Literal["drop", "invalid_scope"] = "drop"
    wrong_media_type: Literal[405, 400] = 405
