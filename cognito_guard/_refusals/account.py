"""Where a request was refused, and why, for its log line and its event; and why a token was refused outside HTTP."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

from starlette.types import Scope

from cognito_guard._fastapi import chosen_route
from cognito_guard._principal import Principal
from cognito_guard._refusals.evidence import Evidence, evidence_of
from cognito_guard._refusals.shown import Shown
from cognito_guard._report.reporter import Account
from cognito_guard._tokens.verifier import Verifier
from cognito_guard.errors import InsufficientScopeError, InvalidTokenError, KeysUnavailableError, RefusalError

# The HTTP authentication schemes (IANA) that clients send in practice.
_SCHEMES: Final = {scheme.lower(): scheme for scheme in ("Basic", "Digest", "DPoP", "Negotiate", "AWS4-HMAC-SHA256")}
# Values that the user pool has signed cannot contain the token's own signature.
_VERIFIED: Final = Shown(())
_START: Final = len("bearer ")


def account_of(
    error: RefusalError, principal: Principal | None, scope: Scope, credentials: list[bytes], verifier: Verifier
) -> Account:
    """Return where the request with *scope* was refused, and why. *credentials* are its Authorization headers."""
    shown = Shown(credentials)
    method, route = shown.method(scope.get("method", "WEBSOCKET")), _route(scope, shown)
    try:
        evidence = _evidence(error, principal, credentials, verifier, shown)
    except Exception:  # noqa: BLE001 - a refusal stays what it is if its reasons cannot be told
        evidence = Evidence(error.description.rstrip("."))
    text = _sentence(evidence, "accepted" if principal is None else "needed")
    if principal is None and evidence.client_id is None:
        # Without a token, only the address says who called.
        text += shown.sender(scope.get("client"))
    account = Account(method, route, evidence.found, evidence.accepted, evidence.hint, evidence.client_id, text)
    # Our own settings may contain any characters.
    return account if _is_plain("".join(filter(None, account))) else Account(*map(_escaped, account))


def explanation_of(error: RefusalError, token: str, verifier: Verifier) -> str:
    """Return why *token* was refused with *error*, outside HTTP: one line that begins with the `reason`."""
    evidence = Evidence(error.description.rstrip("."))
    if isinstance(error, InvalidTokenError | KeysUnavailableError):
        # Only if the error is about this token, and it is one.
        with suppress(Exception):
            credentials = token.encode("latin-1", "replace")
            evidence = evidence_of(error.reason, credentials, verifier, Shown([credentials]))
    text = f"{error.reason}: {_sentence(evidence, 'accepted')}"
    return text if _is_plain(text) else text.encode("unicode_escape").decode("ascii")


def _route(scope: Scope, shown: Shown) -> str:
    """Return the template of the route that was chosen, or the path as it was sent."""
    template = None
    if "route" in scope and "endpoint" in scope:
        template = getattr(chosen_route(scope, scope["route"]), "path_format", None)
    if template is not None:
        # A mount has moved the first part of the path there.
        prefix = scope.get("root_path", "")
        return f"{shown.path(prefix.encode())}{template}" if prefix else str(template)
    # Some servers leave the query in the path.
    return shown.path((scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0])


def _evidence(
    error: RefusalError, principal: Principal | None, credentials: list[bytes], verifier: Verifier, shown: Shown
) -> Evidence:
    if principal is not None and isinstance(error, InsufficientScopeError):
        return _of_permission(error, principal)
    if error.reason == "repeated_header":
        found = f"{len(credentials)} Authorization headers"
        return Evidence(f"{found} were sent", found, "one Authorization header", "look at proxies that add one")
    if error.reason == "missing_token":
        return _of_absence(credentials)
    token = credentials[0][_START:].lstrip(b" ")
    if error.reason == "malformed_header":
        found = f"credentials of {len(token.strip())} characters that are no token"
        hint = "write the token after Bearer, with one space in between and without quotes"
        return Evidence(f"the Authorization header has {found}", found, "Bearer <token>", hint)
    return evidence_of(error.reason, token, verifier, shown)


def _of_absence(credentials: list[bytes]) -> Evidence:
    if not credentials:
        hint = "send Authorization: Bearer <token>, or mark the route with guard.public"
        return Evidence("there is no Authorization header", hint=hint)
    scheme = _SCHEMES.get(credentials[0].partition(b" ")[0].decode("latin-1").lower(), "not known")
    return Evidence(f"the scheme of the Authorization header is {scheme}", scheme, "Bearer", "send Bearer <token>")


def _of_permission(error: InsufficientScopeError, principal: Principal) -> Evidence:
    client_id = _VERIFIED.client_id(principal.client_id)
    needed = error.needed or " ".join(error.required)
    if error.reason == "scope":
        found, elsewhere = _granted(principal.scopes, error.required)
        text = f"the token of client {client_id} grants {found}"
        hint = elsewhere or f"assign the scope to the client {client_id}, if it may call"
    elif error.reason == "group":
        found = f"{len(principal.groups)} groups"
        text = f"the user at client {client_id} is in other groups, or in none"
        hint = "add the user to the group"
    else:
        found = "a machine" if principal.is_machine else "a user"
        text, hint = f"{found} calls through client {client_id}", ""
    return Evidence(text, found, needed, hint or None)


@lru_cache(maxsize=256)
def _granted(scopes: frozenset[str], required: tuple[str, ...]) -> tuple[str, str]:
    """Return *scopes* as text, and a hint if one of them differs from *required* only in the resource server."""
    names = {scope.rpartition("/")[2] for scope in required}
    ordered = sorted(scopes)
    elsewhere = [each for each in ordered if each.rpartition("/")[2] in names and each not in required]
    hint = f"the token has {_VERIFIED.scopes(elsewhere)}, which is of another resource server" if elsewhere else ""
    return _VERIFIED.scopes(ordered), hint


def _sentence(evidence: Evidence, word: str) -> str:
    text = evidence.text
    if evidence.accepted is not None:
        verb = "are" if evidence.accepted.endswith(" more") else "is"
        text += f", {word} {verb} {evidence.accepted}"
    if evidence.client_id not in {None, evidence.found}:
        text += f"; its client is {evidence.client_id} (not verified)"
    return text if evidence.hint is None else f"{text}; {evidence.hint}"


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _escaped(text: str | None) -> Any:
    return text and text.encode("unicode_escape").decode("ascii")
