"""The caller, as a verified access token describes it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from cognito_guard._regions import original_issuer

T = TypeVar("T")


class _Signed:
    """Keeps a payload as bytes: nobody can change it, and it takes a third of the memory of parsed claims."""

    __slots__ = ("_payload",)
    # Not in the dataclass below: a field would be in its JSON.
    _payload: bytes

    @property
    def claims(self) -> Mapping[str, Any]:
        """The whole payload, parsed anew for everyone who asks: a change to it changes nothing else."""
        claims: Mapping[str, Any] = json.loads(self._payload.decode())
        return claims


@dataclass(frozen=True, kw_only=True, init=False)
class Principal(_Signed):
    """
    The caller, as a verified access token describes it.

    An immutable value: it can be compared, hashed, copied and pickled, and a FastAPI handler may return it; its JSON
    leaves `claims` out, and so do `repr` and comparison. It fits where Starlette wants a user (`request.user`).

    What is here was signed by the user pool. Whether the token has been revoked since, or the user disabled, is not
    known.

    Attributes:
        client_id: The app client that obtained the token.
        scopes: What the token grants.
        subject: `sub`: the user, or the app client again where no user is involved.
        username: The user's name, or None for a machine.
        groups: The user's groups (`cognito:groups`).
        issuer: `iss`: the user pool.
        token_id: `jti`, where the pool gives its tokens one.
        issued_at: `iat`, in seconds since the epoch.
        expires_at: `exp`, in seconds since the epoch.
        claims: The whole payload, parsed anew on each access; keep it in a variable to look at several claims. It may
            hold anything that a trigger put there.

    """

    __slots__ = (
        "client_id",
        "expires_at",
        "groups",
        "issued_at",
        "issuer",
        "scopes",
        "subject",
        "token_id",
        "username",
    )

    client_id: str
    scopes: frozenset[str]
    subject: str | None
    username: str | None
    groups: frozenset[str]
    issuer: str
    token_id: str | None
    issued_at: float | None
    expires_at: float

    def __init__(
        self,
        *,
        client_id: str,
        scopes: Collection[str],
        subject: str | None,
        username: str | None,
        groups: Collection[str],
        issuer: str,
        token_id: str | None,
        issued_at: float | None,
        expires_at: float,
        claims: Mapping[str, Any] | bytes = b"{}",
    ) -> None:
        """Take the attributes; *claims* as a mapping, which is copied, or as the JSON that was signed."""
        payload = claims if isinstance(claims, bytes) else json.dumps(dict(claims)).encode()
        values = (
            *(client_id, frozenset(scopes), subject, username, frozenset(groups)),
            *(issuer, token_id, issued_at, expires_at, payload),
        )
        for fill, value in zip(_FILL, values, strict=True):
            fill(self, value)

    @property
    def is_authenticated(self) -> bool:
        """Always True (Starlette's `BaseUser`)."""
        return True

    @property
    def is_machine(self) -> bool:
        """
        Whether no user is behind the token: it comes from the client-credentials grant.

        Cognito then writes the client id as `sub`, and no `username`; a trigger can change neither.
        """
        return self.username is None and self.subject == self.client_id

    @property
    def display_name(self) -> str:
        """The user's name, or the client id for a machine (Starlette's `BaseUser`)."""
        return self.username or self.client_id

    @property
    def identity(self) -> str:
        """
        `<issuer>#<subject>`, unique across user pools (Starlette's `BaseUser`, OWASP ASVS 5.0 10.3.3).

        Cognito gives one pool several issuers; here it is always the ORIGINAL one, so that users stay who they are when
        a pool is switched to another, or their token comes from a replica. The client id stands in for a missing `sub`.
        """
        return f"{original_issuer(self.issuer)}#{self.subject or self.client_id}"

    def __copy__(self) -> Principal:
        return self

    def __deepcopy__(self, memo: object) -> Principal:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        values = {name: getattr(self, name) for name in _FIELDS}
        return _restored, (values | {"claims": self._payload},)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # Written, but never read: a handler that forgets Depends() must not take a caller from the body of a request.
        from pydantic_core import core_schema  # noqa: PLC0415 - asked for by pydantic alone

        return core_schema.no_info_before_validator_function(_only_a_principal, handler(source))


def _only_a_principal(value: T) -> T:
    if not isinstance(value, Principal):
        raise ValueError("a Principal comes from a verified access token")  # noqa: TRY004 - what pydantic expects
    return value


def _restored(values: Mapping[str, Any]) -> Principal:
    return Principal(**values)


def signed_principal(  # noqa: PLR0917 - keywords are half of what the constructor takes
    client_id: str,
    scopes: frozenset[str],
    subject: str | None,
    username: str | None,
    groups: frozenset[str],
    issuer: str,
    token_id: str | None,
    issued_at: float | None,
    expires_at: float,
    payload: bytes,
    /,
) -> Principal:
    """Return what the constructor would, in a third of the time: for each token that was never seen before."""
    principal = _new(Principal)
    _set_client_id(principal, client_id)
    _set_scopes(principal, scopes)
    _set_subject(principal, subject)
    _set_username(principal, username)
    _set_groups(principal, groups)
    _set_issuer(principal, issuer)
    _set_token_id(principal, token_id)
    _set_issued_at(principal, issued_at)
    _set_expires_at(principal, expires_at)
    _set_payload(principal, payload)
    return principal


_new: Final = object.__new__
_FIELDS: Final = tuple(field.name for field in fields(Principal))
# The descriptors of the slots get past __setattr__, and take two thirds of the time of object.__setattr__.
_FILL: Final = tuple(getattr(Principal, name).__set__ for name in (*_FIELDS, "_payload"))
(
    _set_client_id,
    _set_scopes,
    _set_subject,
    _set_username,
    _set_groups,
    _set_issuer,
    _set_token_id,
    _set_issued_at,
    _set_expires_at,
    _set_payload,
) = _FILL
