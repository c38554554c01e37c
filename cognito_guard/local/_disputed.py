"""The answers of Cognito that are not known for certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class DisputedAnswers:
    """
    How the token endpoint answers where the documentation contradicts itself or contradicts what was observed.

    The defaults are the likeliest answers. Code that calls the endpoint should work with all of them.

    Attributes:
        invalid_client_status: The status of `invalid_client`.
        flow_not_enabled: The error if the client may not use the client-credentials flow.
        unassigned_scope: The error if a scope exists, but is not one of the client's; or `drop` to leave it out.
        unknown_scope: What happens to a scope that does not exist, if another requested scope exists. If none exists,
            the error is `invalid_scope`.
        wrong_media_type: The status if `Content-Type` is not a form's, or `Accept` does not allow JSON. With 405
            the body is empty, as captured in reports; with 400 it is `invalid_request`.

    """

    invalid_client_status: Literal[400, 401] = 400
    flow_not_enabled: Literal["invalid_grant", "unauthorized_client"] = "invalid_grant"
    unassigned_scope: Literal["invalid_grant", "invalid_scope", "drop"] = "invalid_grant"
    unknown_scope: Literal["drop", "invalid_scope"] = "drop"
    wrong_media_type: Literal[405, 400] = 405
