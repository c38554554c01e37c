"""A token, judged as a guard judges it, but not only up to the first thing that is wrong with it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from cognito_guard.errors import ConfigurationError, RefusalError
from cognito_guard.local._pool import LocalPool

_CHECKS: Final = {
    "shape": ("malformed", "oversized"),
    "header": ("algorithm", "critical_header"),
    "issuer": ("claim_iss",),
    "token use": ("claim_token_use",),
    "client": ("claim_client_id",),
    "expiry": ("expired", "claim_exp"),
    "other claims": (),  # the reasons that no other check has
    "key": ("unknown_key", "keys_unavailable"),
    "signature": ("signature",),
}
_NAMES: Final = tuple(_CHECKS)


@dataclass(frozen=True, slots=True)
class Check:
    """
    One of the things that are looked at, in the order in which a guard does.

    Attributes:
        name: What is looked at.
        outcome: Whether it is in order; `open` if a guard could not get as far as that.
        reason: Of the refusal, where it failed.
        description: What the caller of an API is told then.

    """

    name: str
    outcome: Literal["passed", "failed", "open"]
    reason: str | None = None
    description: str | None = None


async def judge(pool: LocalPool, token: str) -> list[Check]:
    """
    Return what a guard of *pool*, and of all its present clients, finds when it looks at *token*.

    A guard stops at the first thing that is wrong. Where the next one would accept this one thing (another client,
    another issuer, other clocks), it is asked next.
    """
    claims = _claims(token)
    failed: dict[str, RefusalError] = {}
    client_ids: set[str] | None = {client.client_id for client in pool.clients}
    issuer, leeway, name, now = None, 0.0, _NAMES[0], pool.clock()
    while True:
        try:
            refusal = await _refusal(pool, token, client_ids=client_ids, issuer=issuer, leeway=leeway, now=now)
        except ConfigurationError:
            # What the token has for an issuer is none that a guard could be set up for.
            return _checks(failed, name)
        if refusal is None:
            return _checks(failed, _NAMES[-1])
        name = _name(refusal)
        if name in failed:
            return _checks(failed, name)
        failed[name] = refusal
        match refusal.reason:
            case "claim_client_id" if isinstance(claims.get("client_id"), str):
                client_ids = None
            case "claim_iss" if isinstance(claims.get("iss"), str):
                issuer = claims["iss"]
            case "expired":
                leeway = now - claims["exp"] + 1
            case "claim_nbf" if isinstance(claims["nbf"], int | float):
                leeway = max(leeway, claims["nbf"] - now + 1)
            case _:
                return _checks(failed, name)


async def _refusal(
    pool: LocalPool,
    token: str,
    *,
    client_ids: set[str] | None,
    issuer: str | None,
    leeway: float,
    now: float,
) -> RefusalError | None:
    # The front door of this package, opened when it is needed: to mint tokens takes none of it.
    from cognito_guard import ANY_CLIENT, CognitoGuard  # noqa: PLC0415

    options: dict[str, Any] = {"client_ids": ANY_CLIENT if client_ids is None else client_ids or {"_"}}
    if issuer is not None:
        options["issuers"] = [issuer]

    def published(url: str, timeout: float) -> bytes:  # noqa: ARG001 - called by these names
        return json.dumps(pool.jwks()).encode()

    guard = CognitoGuard(
        # The URL is not used. Without one a key set would be taken along, and could not be empty.
        pool.user_pool("http://localhost", **options),
        leeway=leeway,
        clock=lambda: now,
        fetch=published,
    )
    try:
        await guard.verify(token)
    except RefusalError as error:
        return error
    return None


def _name(refusal: RefusalError) -> str:
    return next((name for name, reasons in _CHECKS.items() if refusal.reason in reasons), "other claims")


def _checks(failed: dict[str, RefusalError], last: str) -> list[Check]:
    """Return all checks. Those after *last* are open."""
    return [
        Check(name, "failed", failed[name].reason, failed[name].description)
        if name in failed
        else Check(name, "passed" if number <= _NAMES.index(last) else "open")
        for number, name in enumerate(_NAMES)
    ]


def _claims(token: str) -> dict[str, Any]:
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    except (ValueError, IndexError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}
