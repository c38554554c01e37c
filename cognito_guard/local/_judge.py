"""Checks a token as a guard does, but continues after the first failed check."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, Literal

from cognito_guard.errors import ConfigurationError, RefusalError
from cognito_guard.local._evidence import evidence
from cognito_guard.local._pool import LocalPool
from cognito_guard.local._unverified import claims_of

_CHECKS: Final = {
    "shape": ("malformed", "oversized"),
    "header": ("algorithm", "critical_header"),
    "issuer": ("claim_iss",),
    "token use": ("claim_token_use",),
    "client": ("claim_client_id",),
    "expiry": ("expired", "claim_exp"),
    "other claims": (),  # reasons that belong to no other check
    "key": ("unknown_key", "keys_unavailable"),
    "signature": ("signature",),
}
_NAMES: Final = tuple(_CHECKS)
_FAR_FUTURE: Final = 1e15  # seconds since the epoch, beyond any clock


@dataclass(frozen=True, slots=True)
class Check:
    """
    One of the checks of a guard.

    Attributes:
        name: What is checked.
        outcome: The result. `open` means that the check was not reached.
        reason: The `reason` of the refusal, if the check failed.
        description: The description that an API would send to its caller.
        found: What the token says, not verified; None if there is nothing more to say.
        expected: What a guard accepts instead; None like *found*.

    """

    name: str
    outcome: Literal["passed", "failed", "open"]
    reason: str | None = None
    description: str | None = None
    found: str | None = None
    expected: str | None = None


async def judge(pool: LocalPool, token: str) -> list[Check]:
    """
    Return the result of each check of *token* by a guard of *pool* with all its present clients.

    A guard stops at the first failed check. Here the checks go on if a guard with other settings (client, issuer,
    clock) could pass the failed one.
    """
    claims = claims_of(token) or {}
    failed: dict[str, Check] = {}
    client_ids: set[str] | None = {client.client_id for client in pool.clients}
    issuer, leeway, name, now = None, 0.0, _NAMES[0], pool.clock()
    while True:
        try:
            refusal = await _refusal(pool, token, client_ids=client_ids, issuer=issuer, leeway=leeway, now=now)
        except ConfigurationError:
            # The token's issuer is not valid for any guard.
            return _checks(failed, name)
        if refusal is None:
            return _checks(failed, _NAMES[-1])
        name = _name(refusal)
        if name in failed:
            return _checks(failed, name)
        failed[name] = _failed(name, refusal, token, pool, now)
        match refusal.reason:
            case "claim_client_id" if isinstance(claims.get("client_id"), str):
                client_ids = None
            case "claim_iss" if isinstance(claims.get("iss"), str):
                issuer = claims["iss"]
            case "expired":
                leeway = now - claims["exp"] + 1
            case "claim_nbf" if _is_time(claims["nbf"]):
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
    # Imported here, because minting tokens does not need a guard.
    from cognito_guard import ANY_CLIENT, CognitoGuard  # noqa: PLC0415

    options: dict[str, Any] = {"client_ids": ANY_CLIENT if client_ids is None else client_ids or {"_"}}
    if issuer is not None or pool.has_own_issuer:
        options["issuers"] = [issuer or pool.issuer]

    def published(url: str, timeout: float) -> bytes:  # noqa: ARG001 - called by these names
        return json.dumps(pool.jwks()).encode()

    guard = CognitoGuard(
        # Pass a dummy URL: without one, user_pool() embeds the key set, which may be empty.
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


def _failed(name: str, refusal: RefusalError, token: str, pool: LocalPool, now: float) -> Check:
    shown = evidence(refusal.reason, token, pool, now)
    found, expected = (None, None) if shown is None else (shown.found, shown.expected)
    return Check(name, "failed", refusal.reason, refusal.description, found, expected)


def _is_time(value: object) -> bool:
    # JSON allows integers of any size, but not all of them can be subtracted from a float.
    return type(value) in {int, float} and abs(value) < _FAR_FUTURE  # type: ignore[arg-type]


def _checks(failed: dict[str, Check], last: str) -> list[Check]:
    """Return all checks. The outcome of those after *last* is `open`."""
    return [
        failed.get(name) or Check(name, "passed" if number <= _NAMES.index(last) else "open")
        for number, name in enumerate(_NAMES)
    ]
