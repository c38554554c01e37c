"""
What a refused token says, and what would have been accepted. For logs only, never for the caller.

Errors contain nothing of a token. To write a log line, the token is read again, so a refusal without a line costs
nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cognito_guard._keys.policy import KeyStatus
from cognito_guard._pool import ANY_CLIENT, FIXTURE_POOL_ID, UserPool
from cognito_guard._refusals.shown import Shown, first, kind_of
from cognito_guard._tokens.jws import claims_of
from cognito_guard._tokens.verifier import Verifier

_CLOCKS: Final = 300
"""Seconds by which clocks may differ."""

_ENCRYPTED: Final = 5
_SIGNED: Final = 3

# For each reason about the header: what the header must say, and what to look at.
_OF_HEADER: Final = {
    "algorithm": ("RS256", "Cognito signs with RS256 only: the token is from elsewhere"),
    "critical_header": ("a header without crit and b64", "Cognito sends none: the token is from elsewhere"),
    "token_type": ("typ JWT, at+jwt or none", "send the access token, not another token of the session"),
}

_MUST_BE: Final = {
    "exp": "a number",
    "iat": "a number",
    "nbf": "a number",
    "scope": "a string",
    "sub": "a string",
    "username": "a string",
    "jti": "a string",
    "cognito:groups": "a list of strings",
}


@dataclass(slots=True)
class Evidence:
    """
    Why a token was refused.

    Attributes:
        text: What is wrong, as a sentence without a period.
        found: What the token says, in a form that is safe to show.
        accepted: What would have been accepted.
        hint: What to look at.
        client_id: The app client that the token names, not verified.

    """

    text: str
    found: str | None = None
    accepted: str | None = None
    hint: str | None = None
    client_id: str | None = None


def evidence_of(reason: str, token: bytes, judge: Verifier, shown: Shown) -> Evidence:
    """Return why *token* was refused by *judge* with *reason*, one of `cognito_guard.errors`."""
    if reason == "oversized":
        return Evidence(
            f"the token has more than {judge.max_token_length} characters",
            accepted=f"{judge.max_token_length} characters",
            hint="raise max_token_length if tokens of users in many groups are that long",
        )
    if reason == "malformed":
        return _of_form(token.decode("latin-1"))
    if reason in _OF_HEADER:
        accepted, hint = _OF_HEADER[reason]
        return Evidence("the header of the token is not one of Cognito's", accepted=accepted, hint=hint)
    return _of_claims(reason, claims_of(token), judge, shown)


def _of_form(token: str) -> Evidence:
    segments = token.split(".")
    found = f"{kind_of(token)} and {len(segments)} segments" if len(segments) > 1 else kind_of(token)
    hint = None
    if len(segments) == _ENCRYPTED:
        hint = "five segments are an encrypted token, such as a refresh token; send the access token"
    elif len(segments) != _SIGNED:
        hint = "send the access_token of the token endpoint's answer, whole and without quotes"
    return Evidence(f"the token is {found}", found, "three segments of base64url, separated by dots", hint)


def _of_claims(reason: str, claims: Mapping[str, Any], judge: Verifier, shown: Shown) -> Evidence:
    issuer = claims.get("iss")
    # A loop is faster than a generator, and this runs for every line that is written.
    for pool in judge.pools:
        if issuer in pool.issuers:
            of_claim = _OF_CLAIM.get(reason)
            evidence = (
                _of_type(reason.removeprefix("claim_"), claims)
                if of_claim is None
                else of_claim(claims, pool, judge, shown)
            )
            break
    else:
        evidence = _of_issuer(issuer, judge, shown)
    if reason == "claim_client_id":
        evidence.client_id = evidence.found
    # In an ID token, `aud` is the client.
    elif (client_id := claims.get("client_id", claims.get("aud"))) is not None:
        evidence.client_id = shown.client_id(client_id)
    return evidence


def _of_issuer(issuer: object, judge: Verifier, shown: Shown) -> Evidence:
    found, ours = shown.pool_id(issuer), tuple([pool.pool_id for pool in judge.pools])
    hint = "the token is of another user pool, or of another stage: compare COGNITO_USER_POOL_ID at both ends"
    if found == FIXTURE_POOL_ID:
        hint = "the test did not override the fixture `guard`: let it return the guard of this app"
    elif isinstance(issuer, str) and issuer.rstrip("/").rpartition("/")[2] in ours:
        hint = "the user pool is right, its URL is not one of `issuers`: is it a replica (replica_regions), or a proxy?"
    return Evidence(_says(found, "user pool "), found, first(ours), hint)


def _of_token_use(claims: Mapping[str, Any], _pool: UserPool, _judge: Verifier, shown: Shown) -> Evidence:
    found = shown.token_use(claims["token_use"]) if "token_use" in claims else "nothing"
    hint = "an ID token was sent; send the access token" if found == "id" else None
    return Evidence(_says(found, "token_use "), found, "access", hint)


def _of_client(claims: Mapping[str, Any], pool: UserPool, judge: Verifier, shown: Shown) -> Evidence:
    client_id = claims.get("client_id")
    found = shown.client_id(client_id) if "client_id" in claims else "nothing"
    accepted = "any client" if pool.client_ids is ANY_CLIENT else first(pool.client_ids)
    hint = f"add it to client_ids of {pool.pool_id} if this caller may call"
    other = next((each for each in judge.pools if isinstance(client_id, str) and _names(each, client_id)), None)
    if other is not None:
        hint = f"it is a client of {other.pool_id}, and the token is of {pool.pool_id}"
    return Evidence(_says(found), found, accepted, hint)


def _names(pool: UserPool, client_id: str) -> bool:
    return pool.client_ids is not ANY_CLIENT and client_id in pool.client_ids


def _of_expiry(claims: Mapping[str, Any], _pool: UserPool, judge: Verifier, _shown: Shown) -> Evidence:
    late = max(0.0, judge.now() - claims["exp"])
    hint = "the caller must get a new token before this one expires"
    if late <= _CLOCKS:
        hint += "; if it did, compare the clock of this machine, or set leeway"
    found = f"expired {seconds(late)} ago"
    return Evidence(f"the token {found}", found, hint=hint)


def _of_start(claims: Mapping[str, Any], _pool: UserPool, judge: Verifier, _shown: Shown) -> Evidence:
    early = claims["nbf"] - judge.now() if type(claims["nbf"]) in {int, float} else 0
    if not 0 < early < float("inf"):
        return _of_type("nbf", claims)
    hint = "the clock of this machine is behind, or that of the issuer is ahead: synchronise it, or set leeway"
    text = f"the token becomes valid in {seconds(early)}"
    return Evidence(text, f"valid in {seconds(early)}", hint=hint)


def _of_audience(claims: Mapping[str, Any], pool: UserPool, _judge: Verifier, shown: Shown) -> Evidence:
    ours = first(pool.resource_servers | pool.audience)
    if "aud" in claims and claims["aud"] not in (claims["client_id"], [claims["client_id"]]):
        found = f"aud is {kind_of(claims['aud'])}"
        return Evidence(
            f"the token is for another API: {found}", found, ours, "ask for a token with resource= of this API"
        )
    found = shown.scopes(claims.get("scope", "").split())
    hint = f"ask for a scope of this API, such as {ours.split()[0]}/..."
    if not pool.resource_servers:
        hint = "tokens of the client-credentials grant have no aud: use resource_servers= instead of audience="
    return Evidence(f"the token is for another API: it grants {found}", found, ours, hint)


def _of_key(_claims: Mapping[str, Any], pool: UserPool, judge: Verifier, _shown: Shown) -> Evidence:
    held = keys_of(judge.issuers.status()[pool.pool_id])
    hint = (
        "after a rotation the next refresh finds the key; otherwise the token is of a local Cognito, "
        "or of a pool that was made again with the same id: get a new token"
    )
    text = f"the token is signed with a key that {pool.pool_id} does not publish; held are {held}"
    return Evidence(text, hint=hint)


def _of_signature(_claims: Mapping[str, Any], pool: UserPool, _judge: Verifier, _shown: Shown) -> Evidence:
    hint = "the token was changed on its way, or someone tries to forge one"
    return Evidence(f"the signature is not of the key of {pool.pool_id} that the token names", hint=hint)


def _of_outage(_claims: Mapping[str, Any], pool: UserPool, judge: Verifier, _shown: Shown) -> Evidence:
    last_error = judge.issuers.status()[pool.pool_id]["last_error"]
    because = "" if last_error is None else f": {last_error}"
    hint = "the token may be good; keys are fetched again with the next request that is due"
    return Evidence(f"there are no keys of {pool.pool_id}{because}", last_error, hint=hint)


def _of_type(claim: str, claims: Mapping[str, Any]) -> Evidence:
    found = kind_of(claims[claim]) if claim in claims else "nothing"
    return Evidence(_says(found, f"{claim} is "), found, _MUST_BE[claim], "Cognito does not issue such tokens")


_OF_CLAIM: Final[Mapping[str, Callable[[Mapping[str, Any], UserPool, Verifier, Shown], Evidence]]] = {
    "claim_token_use": _of_token_use,
    "claim_client_id": _of_client,
    "claim_nbf": _of_start,
    "expired": _of_expiry,
    "audience": _of_audience,
    "unknown_key": _of_key,
    "signature": _of_signature,
    "keys_unavailable": _of_outage,
}


def keys_of(keys: KeyStatus) -> str:
    """Return how many keys are held, and how old they are."""
    age = "" if keys["age"] is None else f", fetched {seconds(keys['age'])} ago"
    return f"{keys['keys']} keys{age}"


def seconds(number: float) -> str:
    """Return a time as text; below ten seconds, with tenths."""
    return f"{number:.0f} s" if number >= 10 else f"{round(number, 1):g} s"  # noqa: PLR2004 - a tenth says little then


def _says(found: str, of_what: str = "") -> str:
    return f"the token says {of_what}{found} (not verified)"
