"""Reads a token without any check. Only to show it to people, never for a decision."""

from __future__ import annotations

import base64
import json
from typing import Any


def header_of(token: str) -> dict[str, Any] | None:
    """Return the header of *token*; None if its first part is not a JSON object in base64url."""
    return _object(token, 0)


def claims_of(token: str) -> dict[str, Any] | None:
    """Return the claims of *token*; None if its second part is not a JSON object in base64url."""
    return _object(token, 1)


def _object(token: str, number: int) -> dict[str, Any] | None:
    try:
        members = json.loads(base64.urlsafe_b64decode(token.split(".")[number] + "=="))
    except (ValueError, IndexError, RecursionError):
        return None
    return members if isinstance(members, dict) else None
