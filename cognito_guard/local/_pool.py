"""A user pool in memory: its clients, its scopes, its keys, and any token it could have issued."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from cognito_guard._grammar import check_strings
from cognito_guard._pool import ANY_CLIENT, UserPool
from cognito_guard.errors import ConfigurationError
from cognito_guard.local._clients import CLIENT_CREDENTIALS, SYSTEM_SCOPES, LocalClient
from cognito_guard.local._keys import PoolKeys, SigningKey
from cognito_guard.local._scopes import ResourceServer, scope_claim
from cognito_guard.local._tokens import Occasion, changed, encode, identity_claims, machine_claims, user_claims

_DEFAULT_LIFETIME: Final = 60 * 60  # Cognito's default validity


def _now() -> float:
    # Looked up per call: what freezegun replaces is time.time, not what a default argument holds.
    return time.time()


class LocalPool:
    """
    A user pool that holds nothing but what you put in, and signs what you ask for.

    What is set up is held to Cognito's limits. What is minted is not: a token for a negative test is a good one with
    one thing changed.

    Args:
        pool_id: Such as `eu-central-1_AbCdEf123`.
        issuer: `iss` of the tokens; by default what Cognito would write for this id (the ORIGINAL form).
        keys: The key pairs to sign with; new ones by default.
        published: The key pairs whose public halves are published; by default those to sign with.
        clock: Returns the time in seconds since the epoch.

    Raises:
        ConfigurationError: The id is not one of a user pool, or the issuer not a URL.

    """

    def __init__(
        self,
        pool_id: str = "eu-central-1_LocalPool0",
        *,
        issuer: str | None = None,
        keys: PoolKeys | None = None,
        published: Iterable[SigningKey] | None = None,
        clock: Callable[[], float] = _now,
    ) -> None:
        derived = UserPool(pool_id, client_ids=ANY_CLIENT)
        self.pool_id: Final = pool_id
        self.issuer: Final = (
            derived.issuer
            if issuer is None
            # Nothing is ever fetched from it, so it need not be where keys may be fetched from.
            else UserPool(pool_id, client_ids=ANY_CLIENT, issuers=[issuer], jwks_url=derived.jwks_urls[0]).issuer
        )
        self._issuers: Final = None if self.issuer in derived.issuers else [self.issuer]
        self.clock: Final = clock
        self._clients: Final[dict[str, LocalClient]] = {}
        self._resource_servers: Final[dict[str, ResourceServer]] = {}
        self._keys = PoolKeys() if keys is None else keys
        self._published = _by_kid(self._keys) if published is None else {key.kid: key for key in published}

    @property
    def has_own_issuer(self) -> bool:
        """Whether the issuer is another than those that follow from the id."""
        return self._issuers is not None

    @property
    def clients(self) -> tuple[LocalClient, ...]:
        """The app clients, in the order they were added."""
        return tuple(self._clients.values())

    @property
    def resource_servers(self) -> tuple[ResourceServer, ...]:
        """The resource servers, in the order they were added."""
        return tuple(self._resource_servers.values())

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that a resource server of the pool defines, as it stands in tokens."""
        return tuple(scope for server in self.resource_servers for scope in server.full_names)

    def scopes_of(self, client: LocalClient) -> tuple[str, ...]:
        """Return what *client* may ask for: its scopes, without those whose resource server has been deleted."""
        return tuple(scope for scope in client.scopes if scope in SYSTEM_SCOPES or scope in self.scopes)

    def find_client(self, client_id: str) -> LocalClient | None:
        """Return the app client with that id, or None."""
        return self._clients.get(client_id)

    def add_resource_server(self, identifier: str, scopes: Mapping[str, str]) -> ResourceServer:
        """
        Return a new resource server; see `ResourceServer` for what Cognito takes.

        Raises:
            ConfigurationError: The pool has one with that identifier, or Cognito would not take the values.

        """
        server = ResourceServer(identifier, scopes)
        if identifier in self._resource_servers:
            raise ConfigurationError(f"{identifier} already exists in user pool {self.pool_id}.")
        self._resource_servers[identifier] = server
        return server

    def delete_resource_server(self, identifier: str) -> None:
        """
        Forget a resource server. Clients keep the names of its scopes, but get them no more, as with Cognito.

        Raises:
            ConfigurationError: The pool has none with that identifier.

        """
        if self._resource_servers.pop(identifier, None) is None:
            raise ConfigurationError(f"the user pool {self.pool_id} has no resource server {identifier!r}")

    def add_client(
        self,
        *,
        name: str = "client",
        scopes: Collection[str],
        client_id: str | None = None,
        secrets: Collection[str] | None = None,
        access_token_validity: int = 60 * 60,
        allowed_flows: Collection[str] = (CLIENT_CREDENTIALS,),
        allow_client_token_auth: bool = True,
    ) -> LocalClient:
        """
        Return a new app client.

        Args:
            name: For people; 1 to 128 characters.
            scopes: What the client may ask for: at most 50 scopes that resource servers of the pool define. Without
                the flow `client_credentials` also Cognito's own, such as `openid`.
            client_id: 1 to 128 letters, digits, `_` or `+`; 26 random ones by default.
            secrets: Its one or two secrets of 24 to 64 letters, digits, `_` or `+`; a random one by default, and `()`
                for a public client.
            access_token_validity: For how many seconds its tokens are good: 5 minutes to 1 day.
            allowed_flows: `client_credentials`, or of `code` and `implicit`. No login page is here to use the latter
                two with; they are for clients whose users' tokens are minted.
            allow_client_token_auth: Whether the client may call `GetClientToken`.

        Raises:
            ConfigurationError: A client of this id exists, or Cognito would not take the values.

        """
        client = LocalClient(
            client_id=client_id,
            name=name,
            scopes=scopes,
            secrets=secrets,
            access_token_validity=access_token_validity,
            allowed_flows=allowed_flows,
            allow_client_token_auth=allow_client_token_auth,
            clock=self.clock,
        )
        known = self.scopes_of(client)
        for scope in client.scopes:
            if scope not in known:
                raise ConfigurationError(f"Invalid scope requested: {scope}")
        if client.client_id in self._clients:
            raise ConfigurationError(f"the user pool {self.pool_id} has a client {client.client_id!r} already")
        self._clients[client.client_id] = client
        return client

    def delete_client(self, client_id: str) -> None:
        """
        Forget an app client. Its tokens stay good until they expire, as with Cognito.

        Raises:
            ConfigurationError: The pool has none with that id.

        """
        if self._clients.pop(client_id, None) is None:
            raise ConfigurationError(f"the user pool {self.pool_id} has no client {client_id!r}")

    def mint(
        self,
        *scopes: str,
        client_id: str | None = None,
        lifetime: int | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """
        Return an access token such as a machine gets (client-credentials grant).

        Args:
            *scopes: What it grants, defined in the pool or not; by default all that the client may ask for.
            client_id: Whose token it is, known to the pool or not; by default its first client's.
            lifetime: After how many seconds from now it expires, negative for the past; by default the
                `access_token_validity` of the client.
            headers: Members to replace in or add to the header of the JWT. One that is None is left out.
            **claims: Claims to replace or add. One that is None is left out.

        Raises:
            ConfigurationError: No client id is given, and the pool has no client.

        """
        occasion = self._occasion(client_id, lifetime)
        if not scopes and (client := self.find_client(occasion.client_id)):
            scopes = self.scopes_of(client)
        return self.sign(changed(machine_claims(occasion, scope_claim(scopes)), claims), headers=headers)

    def mint_user(
        self,
        username: str,
        /,
        *scopes: str,
        groups: Collection[str] = (),
        client_id: str | None = None,
        lifetime: int | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """
        Return an access token of a user.

        Args:
            username: Who it is; the `sub` that follows is the same each time.
            *scopes: What was granted at managed login; by default the token is of a sign-in by API, which grants
                `aws.cognito.signin.user.admin`.
            groups: The user's groups.
            client_id: As for `mint`.
            lifetime: As for `mint`.
            headers: As for `mint`.
            **claims: As for `mint`.

        Raises:
            ConfigurationError: No client id is given, and the pool has no client; or the groups are a single string.

        """
        occasion = self._occasion(client_id, lifetime)
        members = user_claims(occasion, username, check_strings("groups", groups), scope_claim(scopes))
        return self.sign(changed(members, claims), headers=headers)

    def mint_id(
        self,
        username: str,
        /,
        *,
        groups: Collection[str] = (),
        client_id: str | None = None,
        lifetime: int | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """
        Return an ID token of a user, which no API may take for an access token. It is signed with the other key.

        Takes what `mint_user` takes, save scopes, and raises what it raises.
        """
        occasion = self._occasion(client_id, lifetime)
        members = identity_claims(occasion, username, check_strings("groups", groups))
        return self.sign(changed(members, claims), headers=headers, key=self.keys.identity)

    def sign(
        self, claims: Mapping[str, Any], *, headers: Mapping[str, Any] | None = None, key: SigningKey | None = None
    ) -> str:
        """
        Return a JWT of *claims* such as they are, for tokens that `mint` can not express.

        Args:
            claims: All there is in the payload; here None is written as `null`.
            headers: As for `mint`.
            key: The key to sign with, whose name goes in the header; by default the one for access tokens.

        """
        key = self.keys.access if key is None else key
        return encode(changed({"kid": key.kid, "alg": "RS256"}, headers or {}), claims, key)

    def _occasion(self, client_id: str | None, lifetime: int | None) -> Occasion:
        if client_id is None:
            client_id = next(iter(self._clients), None)
        if client_id is None:
            raise ConfigurationError(f"the user pool {self.pool_id} has no client yet: add one, or give a client_id")
        if lifetime is None:
            client = self.find_client(client_id)
            lifetime = client.access_token_validity if client else _DEFAULT_LIFETIME
        now = int(self.clock())
        return Occasion(issuer=self.issuer, client_id=client_id, issued_at=now, expires_at=now + lifetime)

    @property
    def keys(self) -> PoolKeys:
        """The two keys that sign at present."""
        return self._keys

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the key set that the pool publishes."""
        return {"keys": [key.jwk() for key in self._published.values()]}

    @property
    def published(self) -> tuple[SigningKey, ...]:
        """The keys that are published, the latest last."""
        return tuple(self._published.values())

    def prepare(self) -> None:
        """Make the keys now, which takes a moment, and not when the first token or key set is asked for."""
        for key in (self._keys.access, self._keys.identity, *self.published):
            key.prepare()

    def rotate(self, keys: PoolKeys | None = None) -> PoolKeys:
        """
        Return two keys that sign from now on, published beside the old ones: tokens in use stay good.

        Args:
            keys: The two; new ones by default.

        """
        self._keys = PoolKeys() if keys is None else keys
        self._published = self._published | _by_kid(self._keys)
        return self._keys

    def withdraw(self, kid: str) -> None:
        """
        Publish a key no more. If it is one that signs, it goes on signing.

        Raises:
            ConfigurationError: No key of this name is published.

        """
        withdrawn = self._find_key(kid)
        self._published = {name: key for name, key in self._published.items() if key is not withdrawn}

    def replace(self, kid: str) -> SigningKey:
        """
        Return a new key of the same name in place of a published one, signing what the old one signed.

        Raises:
            ConfigurationError: No key of this name is published.

        """
        old, new = self._find_key(kid), SigningKey(kid=kid)
        self._published = self._published | {kid: new}
        self._keys = PoolKeys(*(new if key is old else key for key in (self._keys.access, self._keys.identity)))
        return new

    def _find_key(self, kid: str) -> SigningKey:
        if kid not in self._published:
            raise ConfigurationError(f"the user pool {self.pool_id} publishes no key {kid!r}")
        return self._published[kid]

    def user_pool(self, base_url: str | None = None, **options: Any) -> UserPool:
        """
        Return this pool as configuration of a guard that accepts the clients it has now.

        Args:
            base_url: Where a `LocalCognito` serves the pool, such as `http://127.0.0.1:9229`; the guard fetches keys
                from there. Without it, the guard starts with the present keys.
            **options: Options of `UserPool` to set or to replace.

        Raises:
            ConfigurationError: The pool has no client yet, or an option can not be meant.

        """
        follows: dict[str, Any] = {"client_ids": list(self._clients), "issuers": self._issuers}
        if base_url is None:
            follows["jwks"] = self.jwks()
        else:
            root = base_url.rstrip("/")
            follows |= {
                "jwks_url": f"{root}/{self.pool_id}/.well-known/jwks.json",
                "token_url": f"{root}/oauth2/token",
            }
        return UserPool(self.pool_id, **follows | options)

    def __repr__(self) -> str:
        return f"LocalPool({self.pool_id!r})"


def _by_kid(keys: PoolKeys) -> dict[str, SigningKey]:
    return {key.kid: key for key in (keys.identity, keys.access)}
