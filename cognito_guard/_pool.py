"""A user pool as configuration: its id, and everything that follows from the id."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from cognito_guard._environment import Environment, split
from cognito_guard._grammar import RESOURCE_SERVER_IDENTIFIER, check_client_ids, check_names
from cognito_guard._keywords import new_of
from cognito_guard._regions import dns_suffix, doubt_about
from cognito_guard._urls import check_fetchable, check_url, is_insecure
from cognito_guard.errors import ConfigurationError

FIXTURE_POOL_ID: Final = "eu-central-1_Testing00"
"""The pool of the default fixture `guard`. It does not exist: tests override the fixture."""

_POOL_ID: Final = re.compile(r"(?P<region>[a-z0-9-]+)_[0-9a-zA-Z]+")
_POOL_ID_LENGTH: Final = 55  # CreateUserPool, API reference

_log: Final = logging.getLogger("cognito_guard")


class AnyClient(Enum):
    """The type of `ANY_CLIENT`."""

    ANY_CLIENT = "any client of the pool"


ANY_CLIENT: Final = AnyClient.ANY_CLIENT
"""Write `client_ids=ANY_CLIENT` to accept tokens of every app client of the pool, present and future."""


class UserPool:
    """
    A user pool whose access tokens are accepted, the app clients they may come from, and the API they must be for.

    Region, partition, issuers and JWKS URL follow from the id. Both forms of issuer that Cognito gives a pool
    (`IssuerConfiguration` ORIGINAL and UPDATED) are accepted and share one key set. No URL is ever taken from a token.
    A region that AWS does not list is accepted with a warning in the log.

    A token is meant for this API by these rules:

    * With `resource_servers`, one of the token's scopes must belong to one of them: the text before the scope's last
      slash must equal the identifier. Tokens of the client-credentials grant have no `aud`, so this is their audience.
    * With `resource_servers`, a token whose `aud` holds anything but the token's own `client_id` (resource binding,
      RFC 8707) must name one of `resource_servers` or `audience` in `aud`, whatever its scopes are. A scope of this API
      is then not needed.
    * With `audience` alone, `aud` must name one of its values. Tokens of the client-credentials grant never have an
      `aud`, so all of these are refused.
    * With neither, any token of the pool for one of `client_ids` is accepted, even one that was issued for another API.

    Users who signed in through the SDK (`InitiateAuth`) have only the scope `aws.cognito.signin.user.admin`, so
    `resource_servers` refuses them. Let them sign in at managed login with a scope of this API, or add one in a
    pre-token-generation trigger (V2_0).

    Args:
        pool_id: The id of the pool, such as `eu-central-1_AbCdEf123`.
        client_ids: The app clients whose tokens are accepted, or `ANY_CLIENT`.
        resource_servers: Identifiers of this API's resource servers, names or URLs: `{"orders"}`.
        issuers: Exact values of `iss` to accept, instead of those that follow from the id.
        jwks_url: The URL of the key set, instead of `<issuer>/.well-known/jwks.json`.
        token_url: The pool's token endpoint (`https://<domain>/oauth2/token`), for the OpenAPI document; it cannot be
            derived, because the domain is chosen freely.
        replica_regions: Regions to which the pool is replicated; their issuers are accepted too.
        audience: Values of `aud` that name this API beside `resource_servers`, or alone; see the rules above.
        jwks: A saved key set to start from, as a mapping or the path of a JSON file. Trusted until
            `KeyPolicy.stale_for` after start, and replaced as soon as the real one can be fetched.
        allow_insecure_http: Accept plain `http://` URLs of any host, for containers in development. Anyone between the
            two hosts can then replace the keys and forge tokens; a warning in the log says so.

    Attributes:
        has_own_issuers: Whether `issuers` was given: the tokens may come from something other than Cognito.

    Raises:
        ConfigurationError: An argument is invalid; the message says what to look for.

    """

    __slots__ = (
        "audience",
        "client_ids",
        "has_own_issuers",
        "issuers",
        "jwks",
        "jwks_urls",
        "pool_id",
        "region",
        "resource_servers",
        "token_url",
    )

    def __init__(
        self,
        pool_id: str,
        *,
        client_ids: Collection[str] | AnyClient,
        resource_servers: Collection[str] | None = None,
        issuers: Collection[str] | None = None,
        jwks_url: str | None = None,
        token_url: str | None = None,
        replica_regions: Collection[str] = (),
        audience: str | Collection[str] | None = None,
        jwks: Mapping[str, Any] | str | os.PathLike[str] | None = None,
        allow_insecure_http: bool = False,
    ) -> None:
        if not isinstance(allow_insecure_http, bool):
            raise ConfigurationError(f"allow_insecure_http must be True or False, got {allow_insecure_http!r}")

        def fetchable(option: str, url: str) -> str:
            return check_fetchable(option, url, allow_insecure_http=allow_insecure_http)

        self.pool_id: Final = pool_id
        self.region: Final = _region(pool_id)
        self.client_ids: Final = (
            client_ids
            if isinstance(client_ids, AnyClient)
            else check_client_ids(client_ids, any_form=issuers is not None)
        )
        self.resource_servers: Final = frozenset[str]() if resource_servers is None else _identifiers(resource_servers)
        self.has_own_issuers: Final = issuers is not None
        self.issuers: Final = (
            _derived_issuers(pool_id, self.region, replica_regions)
            if issuers is None
            else tuple(check_url("issuers", issuer) for issuer in check_names("issuers", issuers, "issuer URLs"))
        )
        self.jwks_urls: Final = (
            tuple(fetchable("issuers", f"{issuer}/.well-known/jwks.json") for issuer in self.issuers)
            if jwks_url is None
            else (fetchable("jwks_url", jwks_url),)
        )
        self.token_url: Final = None if token_url is None else fetchable("token_url", token_url)
        self.audience: Final = (
            frozenset[str]()
            if audience is None
            else frozenset(check_names("audience", [audience] if isinstance(audience, str) else audience, "audiences"))
        )
        self.jwks: Final = jwks if jwks is None or isinstance(jwks, Mapping) else _read(jwks)
        _warn_of_regions(pool_id, [self.region, *replica_regions])
        if allow_insecure_http:
            _warn_of_http(pool_id, {*self.jwks_urls, self.token_url or ""})

    if not TYPE_CHECKING:
        __new__ = new_of(
            __init__,
            {
                "client_id": "write client_ids={...}, a set of app client ids",
                "issuer": "the issuer follows from the pool id; for another one write issuers=[...]",
                "region": "the region is the first part of the pool id, before the underscore",
                "scopes": "write them at routes, @guard.require('orders/order.read'), or resource_servers={'orders'}",
                "user_pool_id": "the pool id comes first, without a keyword: UserPool('eu-central-1_AbCdEf123', ...)",
            },
        )

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> UserPool:
        """
        Return the pool that environment variables describe. A variable that is empty counts as not set.

        `COGNITO_USER_POOL_ID` and `COGNITO_CLIENT_IDS` are required. `COGNITO_RESOURCE_SERVERS`,
        `COGNITO_REPLICA_REGIONS`, `COGNITO_AUDIENCE`, `COGNITO_ISSUER`, `COGNITO_JWKS_URL` and `COGNITO_TOKEN_URL` are
        the arguments of these names, and `COGNITO_ALLOW_INSECURE_HTTP=1` is `allow_insecure_http=True`. Separate
        several values of one variable with commas. An identifier that contains a comma can only be given as an
        argument.

        Raises:
            ConfigurationError: A required variable is missing or empty, or a value is invalid.

        """
        env = Environment(environ)
        issuer = env.text("COGNITO_ISSUER")
        return cls(
            env.required("COGNITO_USER_POOL_ID"),
            client_ids=split(env.required("COGNITO_CLIENT_IDS")),
            resource_servers=env.several("COGNITO_RESOURCE_SERVERS"),
            issuers=[issuer] if issuer else None,
            jwks_url=env.text("COGNITO_JWKS_URL"),
            token_url=env.text("COGNITO_TOKEN_URL"),
            replica_regions=env.several("COGNITO_REPLICA_REGIONS") or (),
            audience=env.several("COGNITO_AUDIENCE"),
            allow_insecure_http=env.switch("COGNITO_ALLOW_INSECURE_HTTP"),
        )

    @property
    def issuer(self) -> str:
        """The first of `issuers`: the ORIGINAL form, unless `issuers` was given."""
        return self.issuers[0]

    def __repr__(self) -> str:
        servers = f", resource_servers={self.resource_servers!r}" if self.resource_servers else ""
        return f"UserPool({self.pool_id!r}, client_ids={self.client_ids!r}{servers})"


def common_resource_server(pools: Iterable[UserPool]) -> str | None:
    """Return the identifier if each of *pools* has this one resource server and no other; else None."""
    servers = {pool.resource_servers for pool in pools}
    only = servers.pop() if len(servers) == 1 else frozenset[str]()
    return next(iter(only)) if len(only) == 1 else None


def token_url_of(pools: Iterable[UserPool]) -> str | None:
    """Return the token endpoint of the first of *pools* that has one."""
    return next((pool.token_url for pool in pools if pool.token_url), None)


def _region(pool_id: str) -> str:
    match = _POOL_ID.fullmatch(pool_id) if isinstance(pool_id, str) and len(pool_id) <= _POOL_ID_LENGTH else None
    if match is None:
        raise ConfigurationError(
            f"{pool_id!r} is not a user pool id; expected <region>_<id>, such as 'eu-central-1_AbCdEf123'. "
            "The AWS console shows it as 'User pool ID'; it is neither the pool's name, nor its ARN, nor a client id."
        )
    dns_suffix(match["region"])
    return match["region"]


def _derived_issuers(pool_id: str, region: str, replica_regions: Collection[str]) -> tuple[str, ...]:
    replicas = check_names("replica_regions", replica_regions, "region codes") if replica_regions else ()
    # A replica mints under its own host, with the pool id of the primary region.
    hosts = [f"cognito-idp.{region}", f"issuer-cognito-idp.{region}", *(f"cognito-idp.{name}" for name in replicas)]
    return tuple(f"https://{host}.{dns_suffix(host.partition('.')[2])}/{pool_id}" for host in hosts)


def _identifiers(values: Collection[str]) -> frozenset[str]:
    names = check_names("resource_servers", values, "identifiers of resource servers")
    return frozenset(RESOURCE_SERVER_IDENTIFIER.check(name) for name in names)


def _warn_of_regions(pool_id: str, regions: Iterable[str]) -> None:
    for region in regions:
        if doubt := doubt_about(region):
            _log.warning("user pool %s: %s", pool_id, doubt)


def _warn_of_http(pool_id: str, urls: Iterable[str]) -> None:
    insecure = sorted(filter(is_insecure, urls))
    if insecure:
        _log.warning(
            "user pool %s: allow_insecure_http=True. Anyone between here and %s can replace the keys and forge tokens. "
            "Use it in development only.",
            pool_id,
            " and ".join(insecure),
        )
    else:
        _log.warning("user pool %s: allow_insecure_http=True is not needed: no URL needs it. Remove it.", pool_id)


def _read(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - a path-like is all that is asked for
            content = json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"jwks: the key set {path!r} cannot be read: {type(error).__name__}") from error
    if not isinstance(content, Mapping):
        raise ConfigurationError(f'jwks: {path!r} does not hold a JSON object such as {{"keys": [...]}}')
    return content
