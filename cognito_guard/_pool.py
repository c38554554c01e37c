"""A user pool as configuration: its id, and all that follows from it."""

from __future__ import annotations

import ipaddress
import json
import os
import re
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any, Final
from urllib.parse import urlsplit

from cognito_guard.errors import ConfigurationError

# Longest prefixes first: every partition that AWS runs and the DNS suffix of its endpoints.
_PARTITIONS: Final = (
    (re.compile(r"us-isob-[a-z]+-\d{1,2}"), "sc2s.sgov.gov"),
    (re.compile(r"(us|eu)-isof-[a-z]+-\d{1,2}"), "csp.hci.ic.gov"),
    (re.compile(r"eu-isoe-[a-z]+-\d{1,2}"), "cloud.adc-e.uk"),
    (re.compile(r"us-iso-[a-z]+-\d{1,2}"), "c2s.ic.gov"),
    (re.compile(r"eusc-[a-z]{2}-[a-z]+-\d{1,2}"), "amazonaws.eu"),
    (re.compile(r"us-gov-[a-z]+-\d{1,2}"), "amazonaws.com"),
    (re.compile(r"cn-[a-z]+-\d{1,2}"), "amazonaws.com.cn"),
    (re.compile(r"[a-z]{2}-[a-z]+-\d{1,2}"), "amazonaws.com"),
)
_POOL_ID: Final = re.compile(r"(?P<region>[a-z0-9-]+)_[0-9a-zA-Z]+")
_POOL_ID_LENGTH: Final = 55  # CreateUserPool, API reference


class AnyClient(Enum):
    """The type of `ANY_CLIENT`."""

    ANY_CLIENT = "any client of the pool"


ANY_CLIENT: Final = AnyClient.ANY_CLIENT
"""Say `client_ids=ANY_CLIENT` to accept tokens of every app client of the pool, present and future."""


class UserPool:
    """
    A user pool whose access tokens are accepted, and the app clients they may come from.

    Region, partition, issuers and JWKS URL follow from the id. Both forms of issuer that Cognito gives a pool
    (`IssuerConfiguration` ORIGINAL and UPDATED) are accepted and share one key set. No URL is ever taken from a token.

    Args:
        pool_id: Such as `eu-central-1_AbCdEf123`.
        client_ids: The app clients whose tokens are accepted, or `ANY_CLIENT`.
        issuers: Exact values of `iss` to accept, in place of those that follow from the id.
        jwks_url: Where the key set is, in place of `<issuer>/.well-known/jwks.json`.
        token_url: The pool's token endpoint (`https://<domain>/oauth2/token`), for the OpenAPI document; it can not be
            derived, since the domain is chosen freely.
        replica_regions: Regions the pool is replicated to; the issuers of these are accepted too.
        audience: Values of which `aud` must name one. Then a token without `aud` is refused, and tokens of the
            client-credentials grant never have one: leave it out unless all callers use resource binding (RFC 8707).
        jwks: A saved key set to start from, as a mapping or the path of a JSON file. Trusted until
            `KeyPolicy.stale_for` after start, and replaced as soon as the real one can be fetched.

    Raises:
        ConfigurationError: An argument can not be meant; the message says what to look for.

    """

    __slots__ = ("audience", "client_ids", "issuers", "jwks", "jwks_urls", "pool_id", "region", "token_url")

    def __init__(
        self,
        pool_id: str,
        *,
        client_ids: Collection[str] | AnyClient,
        issuers: Collection[str] | None = None,
        jwks_url: str | None = None,
        token_url: str | None = None,
        replica_regions: Collection[str] = (),
        audience: str | Collection[str] | None = None,
        jwks: Mapping[str, Any] | str | os.PathLike[str] | None = None,
    ) -> None:
        self.pool_id: Final = pool_id
        self.region: Final = _region(pool_id)
        self.client_ids: Final = (
            client_ids if isinstance(client_ids, AnyClient) else _names("client_ids", client_ids, "app client ids")
        )
        self.issuers: Final = (
            _derived_issuers(pool_id, self.region, replica_regions)
            if issuers is None
            else tuple(_url("issuers", issuer) for issuer in _sequence("issuers", issuers, "issuer URLs"))
        )
        self.jwks_urls: Final = (
            tuple(_fetchable("issuers", f"{issuer}/.well-known/jwks.json") for issuer in self.issuers)
            if jwks_url is None
            else (_fetchable("jwks_url", jwks_url),)
        )
        self.token_url: Final = None if token_url is None else _fetchable("token_url", token_url)
        self.audience: Final = (
            frozenset[str]()
            if audience is None
            else _names("audience", [audience] if isinstance(audience, str) else audience, "audiences")
        )
        self.jwks: Final = jwks if jwks is None or isinstance(jwks, Mapping) else _read(jwks)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> UserPool:
        """
        Return the pool that environment variables describe.

        `COGNITO_USER_POOL_ID` and `COGNITO_CLIENT_IDS` (comma-separated) are required; `COGNITO_ISSUER`,
        `COGNITO_JWKS_URL` and `COGNITO_TOKEN_URL` override what follows from the id.

        Raises:
            ConfigurationError: A required variable is missing or empty, or a value is not usable.

        """
        for required in ("COGNITO_USER_POOL_ID", "COGNITO_CLIENT_IDS"):
            if not environ.get(required, "").strip():
                raise ConfigurationError(f"the environment variable {required} is not set")
        issuer = environ.get("COGNITO_ISSUER")
        return cls(
            environ["COGNITO_USER_POOL_ID"].strip(),
            client_ids=[part.strip() for part in environ["COGNITO_CLIENT_IDS"].split(",") if part.strip()],
            issuers=[issuer] if issuer else None,
            jwks_url=environ.get("COGNITO_JWKS_URL") or None,
            token_url=environ.get("COGNITO_TOKEN_URL") or None,
        )

    @property
    def issuer(self) -> str:
        """The first of `issuers`: the ORIGINAL form, unless they were given."""
        return self.issuers[0]

    def __repr__(self) -> str:
        return f"UserPool({self.pool_id!r}, client_ids={self.client_ids!r})"


def _region(pool_id: str) -> str:
    match = _POOL_ID.fullmatch(pool_id) if isinstance(pool_id, str) and len(pool_id) <= _POOL_ID_LENGTH else None
    if match is None:
        raise ConfigurationError(
            f"{pool_id!r} is not a user pool id; expected <region>_<id>, such as 'eu-central-1_AbCdEf123'. "
            "The AWS console shows it as 'User pool ID'; it is neither the pool's name, nor its ARN, nor a client id."
        )
    _suffix(match["region"])
    return match["region"]


def _suffix(region: str) -> str:
    for pattern, suffix in _PARTITIONS:
        if isinstance(region, str) and pattern.fullmatch(region):
            return suffix
    raise ConfigurationError(f"{region!r} is not an AWS region; expected a code such as 'eu-central-1'")


def _derived_issuers(pool_id: str, region: str, replica_regions: Collection[str]) -> tuple[str, ...]:
    replicas = _sequence("replica_regions", replica_regions, "region codes") if replica_regions else ()
    # A replica mints under its own host, with the pool id of the primary region.
    hosts = [f"cognito-idp.{region}", f"issuer-cognito-idp.{region}", *(f"cognito-idp.{name}" for name in replicas)]
    return tuple(f"https://{host}.{_suffix(host.partition('.')[2])}/{pool_id}" for host in hosts)


def _sequence(option: str, values: Collection[str], what: str) -> tuple[str, ...]:
    # A string is a collection too: client_ids="abc" would quietly accept the clients "a", "b" and "c".
    if isinstance(values, str | bytes) or not isinstance(values, Collection) or not values:
        raise ConfigurationError(f"{option} must be a non-empty collection of {what}, such as a set; got {values!r}")
    for value in values:
        if not isinstance(value, str) or not value or any(character.isspace() for character in value):
            raise ConfigurationError(f"{option} must hold {what}: non-empty strings without blanks; got {value!r}")
    return tuple(values)


def _names(option: str, values: Collection[str], what: str) -> frozenset[str]:
    return frozenset(_sequence(option, values, what))


def _url(option: str, url: str) -> str:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"https", "http"} and bool(parts.hostname) and not parts.fragment and "@" not in url
    except (AttributeError, TypeError, ValueError):
        usable = False
    if not usable or not url.isascii() or not url.isprintable() or " " in url or url.endswith("/"):
        raise ConfigurationError(f"{option} must be absolute URLs without fragment or final slash; got {url!r}")
    return url


def _fetchable(option: str, url: str) -> str:
    parts = urlsplit(_url(option, url))
    if parts.scheme != "https" and not is_loopback(parts.hostname or ""):
        raise ConfigurationError(
            f"{option} must be an https:// URL; plain http:// is for loopback hosts (127.0.0.1, localhost) only, "
            f"since whoever sits in between could hand out keys of their own; got {url!r}"
        )
    return url


def is_loopback(host: str) -> bool:
    """Return whether *host*, a name or an address, is this very machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _read(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a path-like is all that is asked for
            content = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"jwks: the key set {path!r} can not be read: {type(error).__name__}") from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(f'jwks: {path!r} does not hold a JSON object such as {{"keys": [...]}}')
    return content
