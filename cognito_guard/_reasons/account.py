"""Where a request was refused, and why: what its log line and its event say."""

from __future__ import annotations

from typing import Final

from starlette.types import Scope

from cognito_guard._fastapi import chosen_route
from cognito_guard._principal import Principal
from cognito_guard._reasons.evidence import Evidence, evidence_of
from cognito_guard._reasons.shown import Shown
from cognito_guard._report.reporter import Account
from cognito_guard._tokens.verifier import Verifier
from cognito_guard.errors import InsufficientScopeError, RefusalError

# Of the registry of HTTP authentication schemes (IANA), what clients send in practice.
_SCHEMES: Final = {scheme.lower(): scheme for scheme in ("Basic", "Digest", "DPoP", "Negotiate", "AWS4-HMAC-SHA256")}
_START: Final = len("bearer ")


def account_of(
    error: RefusalError, principal: Principal | None, scope: Scope, credentials: list[bytes], verifier: Verifier
) -> Account:
    """Return where the request with *scope* was refused, and why; *credentials* are its Authorization headers."""
    shown = Shown(credentials)
    method = shown.method(scope.get("method", "WEBSOCKET"))
    route = _route(scope, shown)
    try:
        evidence = _evidence(error, principal, credentials, verifier, shown)
    except Exception:  # noqa: BLE001 - a refusal stays what it is if its reasons cannot be told
        evidence = Evidence(error.description.rstrip("."))
    word = "accepted" if principal is None else "needed"
    found, accepted, hint, client_id = (None if value is None else _plain(value) for value in evidence[1:])
    text = _sentence(evidence, word)
    if principal is None and client_id is None:
        # Nothing else tells who called.
        text += shown.sender(scope.get("client"))
    return Account(method, _plain(route), found, accepted, hint, client_id, _plain(text))


def _route(scope: Scope, shown: Shown) -> str:
    """Return the template of the route that was chosen, or the path as it was sent."""
    template = None
    if "route" in scope and "endpoint" in scope:
        template = getattr(chosen_route(scope, scope["route"]), "path_format", None)
    if template is not None:
        # A mount has put what was sent for its own path there.
        prefix = scope.get("root_path", "")
        return f"{shown.path(prefix.encode())}{template}" if prefix else str(template)
    # Of servers that hand on the path of a request target as it is, with the query.
    return shown.path((scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0])


def _evidence(
    error: RefusalError, principal: Principal | None, credentials: list[bytes], verifier: Verifier, shown: Shown
) -> Evidence:
    if isinstance(error, InsufficientScopeError) and principal is not None:
        return _of_permission(error, principal, shown)
    if error.reason == "repeated_header":
        found = f"{len(credentials)} Authorization headers"
        return Evidence(f"{found} were sent", found, "one Authorization header", "look at proxies that add one")
    if error.reason == "missing_token":
        return _of_absence(credentials)
    value = credentials[0].decode("latin-1")
    if error.reason == "malformed_header":
        found = f"credentials of {len(value[_START:].strip())} characters that are no token"
        hint = "write the token after Bearer, with one space in between and without quotes"
        return Evidence(f"the Authorization header has {found}", found, "Bearer <token>", hint)
    return evidence_of(error.reason, value[_START:].lstrip(" "), verifier, shown)


def _of_absence(credentials: list[bytes]) -> Evidence:
    if not credentials:
        hint = "send Authorization: Bearer <token>, or mark the route with guard.public"
        return Evidence("there is no Authorization header", hint=hint)
    scheme = _SCHEMES.get(credentials[0].partition(b" ")[0].decode("latin-1").lower(), "not known")
    return Evidence(f"the scheme of the Authorization header is {scheme}", scheme, "Bearer", "send Bearer <token>")


def _of_permission(error: InsufficientScopeError, principal: Principal, shown: Shown) -> Evidence:
    client_id = shown.client_id(principal.client_id)
    needed = error.needed or " ".join(error.required)
    found, hint = shown.scopes(sorted(principal.scopes)), f"assign the scope to the client {client_id}, if it may call"
    if error.reason == "scope":
        elsewhere = [
            name
            for name in sorted(principal.scopes - set(error.required))
            if name.rpartition("/")[2] in {scope.rpartition("/")[2] for scope in error.required}
        ]
        if elsewhere:
            hint = f"the token has {shown.scopes(elsewhere)}, which is of another resource server"
        text = f"the token of client {client_id} grants {found}"
    elif error.reason == "group":
        found = f"{len(principal.groups)} groups"
        text = f"the user at client {client_id} is in other groups, or in none"
        hint = "add the user to the group"
    else:
        found = "a machine" if principal.is_machine else "a user"
        text, hint = f"{found} calls through client {client_id}", ""
    return Evidence(text, found, needed, hint or None)


def _sentence(evidence: Evidence, word: str) -> str:
    text = evidence.text
    if evidence.accepted is not None:
        verb = "are" if evidence.accepted.endswith(" more") else "is"
        text += f", {word} {verb} {evidence.accepted}"
    if evidence.client_id not in {None, evidence.found}:
        text += f"; its client is {evidence.client_id} (not verified)"
    return text if evidence.hint is None else f"{text}; {evidence.hint}"


def _plain(text: str) -> str:
    """Return *text*, in which our own settings may hold anything, as printable ASCII."""
    is_plain = text.isascii() and text.isprintable()
    return text if is_plain else text.encode("unicode_escape").decode("ascii")
