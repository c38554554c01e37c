"""The caller, as a verified access token describes it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

from cognito_guard._regions import original_issuer

T = TypeVar("T")


class _Signed:
    """Keeps a payload as bytes: these cannot be changed, and take a third of the memory of parsed claims."""

    __slots__ = ("_payload",)
    # Not a field of the dataclass below: FastAPI would put it into the JSON.
    _payload: bytes

    @property
    def claims(self) -> Mapping[str, Any]:
        """The whole payload. Each access parses it again, so a change to the result changes nothing else."""
        claims: Mapping[str, Any] = json.loads(self._payload.decode())
        return claims


@dataclass(frozen=True, kw_only=True, init=False)
class Principal(_Signed):
    """
    The caller, as a verified access token describes it.

    An immutable value: it can be compared, hashed, copied and pickled, and a FastAPI handler may return it. JSON,
    `repr` and comparison leave `claims` out. It can be Starlette's user (`request.user`).

    The user pool has signed everything here. The token may have been revoked since, or the user disabled: that is not
    checked.

    Attributes:
        client_id: The app client that obtained the token.
        scopes: What the token grants.
        subject: `sub`: the user, or the app client if there is no user.
        username: The user's name, or None for a machine.
        groups: The user's groups (`cognito:groups`).
        issuer: `iss`: the user pool.
        token_id: `jti`, or None if the token has none.
        issued_at: `iat`, in seconds since the epoch.
        expires_at: `exp`, in seconds since the epoch.
        claims: The whole payload, parsed again on each access; keep it in a variable to read several claims. It may
            contain anything that a trigger has added.

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
        Whether the token was issued to a client without a user (client-credentials grant).

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

        Cognito gives one pool several issuers. This is always the ORIGINAL one, so the identity of a user stays the
        same if the pool is switched to another form, or if a replica issued the token. If `sub` is missing, the client
        id is used.
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
        # JSON can be written, but not read: a handler that forgets Depends() must not read a caller from the body of a
        # request.
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
    """Return what the constructor would return, in a third of the time. Used for tokens not seen before."""
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
# The descriptors of the slots bypass __setattr__, in two thirds of the time of object.__setattr__.
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
