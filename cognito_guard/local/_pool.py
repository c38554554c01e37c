"""A user pool in memory: its clients, its scopes, its keys, and any token that it could issue."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from cognito_guard._pool import UserPool
from cognito_guard.local._client_settings import CLIENT_CREDENTIALS, ClientSettings
from cognito_guard.local._clients import LocalClient
from cognito_guard.local._issuer import Issuer
from cognito_guard.local._key_ring import KeyRing
from cognito_guard.local._keys import PoolKeys, SigningKey
from cognito_guard.local._mint import Mint
from cognito_guard.local._registry import Registry
from cognito_guard.local._scopes import ResourceServer
from cognito_guard.local._trigger import Handler

DEFAULT_POOL_ID: Final = "eu-central-1_LocalPool0"


def _now() -> float:
    # Look it up at each call: libraries that freeze time replace time.time.
    return time.time()


class LocalPool:
    """
    A user pool that starts empty, and signs any token that you ask for.

    Clients and resource servers must keep Cognito's limits. Minted tokens need not: a token for a negative test is a
    valid one with one thing changed.

    Args:
        pool_id: The id of the pool, such as `eu-central-1_AbCdEf123`.
        issuer: The `iss` of the tokens; by default the one that Cognito would write for this id (the ORIGINAL form).
            `"self"` means the URL at which a `LocalCognito` serves the pool, `<its URL>/<pool id>`. OpenID Connect
            libraries need this: for them, the issuer must be the URL that they asked.
        keys: The key pairs to sign with; new ones by default.
        published: The key pairs whose public halves are published; by default those to sign with.
        clock: Returns the time in seconds since the epoch.
        pre_token_generation: The handler of your pre-token-generation trigger, version 3, called as Lambda calls it:
            `handler(event, context)`. The event of `TokenGeneration_ClientCredentials` has client, scopes and metadata
            of the request. The handler is called for each machine token of a client of the pool, minted ones included,
            on the thread that asks for the token. It is not called for users' tokens.

    Attributes:
        pool_id: As given.
        clock: As given.
        created_at: When the pool was made, in seconds since the epoch.
        pre_token_generation: As given.

    Raises:
        ConfigurationError: The id is not one of a user pool, or the issuer not a URL.

    """

    def __init__(
        self,
        pool_id: str = DEFAULT_POOL_ID,
        *,
        issuer: str | None = None,
        keys: PoolKeys | None = None,
        published: Iterable[SigningKey] | None = None,
        clock: Callable[[], float] = _now,
        pre_token_generation: Handler | None = None,
    ) -> None:
        self._issuer: Final = Issuer(pool_id, issuer)
        self.pool_id: Final = pool_id
        self.clock: Final = clock
        self.pre_token_generation: Final = pre_token_generation
        self.created_at: Final = clock()
        self._registry: Final = Registry(pool_id, clock)
        self._ring: Final = KeyRing(pool_id, keys, published)
        self._mint: Final = Mint(pool_id, self._registry, self._ring, clock, pre_token_generation)

    # The issuer

    @property
    def issuer(self) -> str:
        """
        The value of `iss`.

        Raises:
            ConfigurationError: It is the pool's own URL, but the pool has not been served yet.

        """
        return self._issuer.known()

    def issuer_at(self, base_url: str) -> str:
        """Return the value of `iss` in tokens that are requested at *base_url*, such as `http://127.0.0.1:9229`."""
        return self._issuer.at(base_url)

    @property
    def has_own_issuer(self) -> bool:
        """Whether the issuer is not one of those that follow from the id."""
        return self._issuer.is_own

    @property
    def issuer_is_updated(self) -> bool:
        """Whether the issuer has the UPDATED form (`IssuerConfiguration`)."""
        return self._issuer.is_updated

    @property
    def issuer_is_here(self) -> bool:
        """Whether the issuer is the URL at which the pool is served."""
        return self._issuer.is_here

    @property
    def is_served(self) -> bool:
        """Whether it is known where the pool is served."""
        return self._issuer.is_served

    def served_at(self, base_url: str) -> None:
        """Tell the pool its URL. That is the issuer if `issuer="self"`. `LocalCognito` calls this."""
        self._issuer.served_at(base_url)

    # Clients and resource servers

    @property
    def clients(self) -> tuple[LocalClient, ...]:
        """The app clients, in the order they were added."""
        return self._registry.clients

    @property
    def resource_servers(self) -> tuple[ResourceServer, ...]:
        """The resource servers, in the order they were added."""
        return self._registry.resource_servers

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that a resource server of the pool defines, as written in tokens."""
        return self._registry.scopes

    def scopes_of(self, client: LocalClient) -> tuple[str, ...]:
        """Return the scopes that *client* may ask for: without those whose resource server has been deleted."""
        return self._registry.scopes_of(client)

    def find_client(self, client_id: str) -> LocalClient | None:
        """Return the app client with that id, or None."""
        return self._registry.find_client(client_id)

    def find_resource_server(self, identifier: str) -> ResourceServer | None:
        """Return the resource server with that identifier, or None."""
        return self._registry.find_resource_server(identifier)

    def add_resource_server(
        self, identifier: str, scopes: Mapping[str, str], *, name: str | None = None
    ) -> ResourceServer:
        """
        Return a new resource server. `ResourceServer` says which values Cognito accepts.

        Args:
            identifier: The identifier of the API, often a URL.
            scopes: The names of its scopes, with a description of each.
            name: A name for people; by default the identifier.

        Raises:
            ConfigurationError: The pool has one with that identifier, or Cognito would not accept the values.

        """
        return self._registry.add_resource_server(ResourceServer(identifier, scopes, name))

    def delete_resource_server(self, identifier: str) -> None:
        """
        Delete a resource server. As in Cognito, clients keep the names of its scopes, but do not get them any more.

        Raises:
            ConfigurationError: The pool has none with that identifier.

        """
        self._registry.delete_resource_server(identifier)

    def add_client(
        self,
        *,
        name: str | None = None,
        scopes: Collection[str],
        client_id: str | None = None,
        secrets: Collection[str] | None = None,
        access_token_validity: int = 60 * 60,
        allowed_flows: Collection[str] = (CLIENT_CREDENTIALS,),
        allow_client_token_auth: bool = True,
        claims: Mapping[str, Any] | None = None,
    ) -> LocalClient:
        """
        Return a new app client.

        Args:
            name: A name for people; 1 to 128 characters. Id and secret follow from pool and name, so they are the same
                after a restart. A client without a name gets random ones.
            scopes: The scopes that the client may ask for: at most 50, defined by resource servers of the pool. Without
                the flow `client_credentials`, Cognito's own scopes, such as `openid`, are allowed too.
            client_id: 1 to 128 letters, digits, `_` or `+`.
            secrets: Its one or two secrets of 24 to 64 letters, digits, `_` or `+`, or `()` for a public client. By
                default one that follows from pool and client id.
            access_token_validity: For how many seconds its tokens are valid: 5 minutes to 1 day.
            allowed_flows: `client_credentials`, or one or both of `code` and `implicit`. These two have no login page
                here; they are for clients whose users' tokens are minted.
            allow_client_token_auth: Whether the client may call `GetClientToken`.
            claims: Claims that a pre-token-generation trigger adds to its machine tokens, such as
                `{"tenant": "acme"}`. `pre_token_generation` may override them.

        Raises:
            ConfigurationError: A client with this id exists, Cognito would not accept the values, or a claim is one
                that only Cognito sets.

        """
        return self.add(
            ClientSettings(
                name=name,
                scopes=scopes,
                client_id=client_id,
                secrets=secrets,
                access_token_validity=access_token_validity,
                allowed_flows=allowed_flows,
                allow_client_token_auth=allow_client_token_auth,
                claims={} if claims is None else claims,
            )
        )

    def add(self, settings: ClientSettings) -> LocalClient:
        """
        Return a new app client with these settings, as `add_client` does.

        Raises:
            ConfigurationError: A client with this id exists, or a scope does not exist.

        """
        return self._registry.add_client(settings)

    def delete_client(self, client_id: str) -> None:
        """
        Delete an app client. As in Cognito, its tokens stay valid until they expire.

        Raises:
            ConfigurationError: The pool has none with that id.

        """
        self._registry.delete_client(client_id)

    # Tokens

    def mint(
        self,
        *scopes: str,
        client_id: str | None = None,
        lifetime: int | None = None,
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """
        Return an access token as a machine gets it (client-credentials grant).

        Args:
            *scopes: The scopes that it grants, defined in the pool or not; by default all that the client may ask for.
            client_id: The client of the token, known to the pool or not; by default the first one of the pool.
            lifetime: Seconds from now until it expires, negative for the past; by default the `access_token_validity`
                of the client.
            headers: Members of the JWT's header to replace or add. A member that is None is left out.
            **claims: Claims to replace or add. A claim that is None is left out.

        Raises:
            ConfigurationError: No client id is given, and the pool has no client; or `pre_token_generation` failed.

        """
        occasion = self._mint.occasion(self.issuer, client_id, lifetime)
        return self._mint.machine(occasion, scopes, metadata={}, claims=claims, headers=headers)

    def issue(self, client: LocalClient, scopes: Collection[str], *, base_url: str, metadata: Mapping[str, str]) -> str:
        """
        Return the access token that the token endpoint gives *client*.

        Args:
            client: A client of the pool.
            scopes: The scopes to grant; if empty, all that the client may ask for.
            base_url: The URL at which the endpoint was called.
            metadata: `aws_client_metadata`, for the trigger.

        Raises:
            TriggerFailedError: The handler of `pre_token_generation` failed.

        """
        occasion = self._mint.occasion(self.issuer_at(base_url), client.client_id, None)
        return self._mint.machine(occasion, scopes, metadata=metadata, claims={}, headers=None)

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
            username: The name of the user. The `sub` follows from it, so it is the same each time.
            *scopes: The scopes granted at managed login. By default, the token is that of a sign-in by API, which
                grants `aws.cognito.signin.user.admin`.
            groups: The user's groups.
            client_id: As for `mint`.
            lifetime: As for `mint`.
            headers: As for `mint`.
            **claims: As for `mint`.

        Raises:
            ConfigurationError: No client id is given, and the pool has no client; or the groups are a single string.

        """
        occasion = self._mint.occasion(self.issuer, client_id, lifetime)
        return self._mint.user(occasion, username, scopes, groups, claims=claims, headers=headers)

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
        Return an ID token of a user. An API must not accept it as an access token. It is signed with the other key.

        Takes the arguments of `mint_user`, except scopes, and raises the same.
        """
        occasion = self._mint.occasion(self.issuer, client_id, lifetime)
        return self._mint.identity(occasion, username, groups, claims=claims, headers=headers)

    def sign(
        self, claims: Mapping[str, Any], *, headers: Mapping[str, Any] | None = None, key: SigningKey | None = None
    ) -> str:
        """
        Return a JWT of *claims* as they are, for tokens that `mint` cannot express.

        Args:
            claims: The whole payload; here None is written as `null`.
            headers: As for `mint`.
            key: The key to sign with; its `kid` is in the header. By default the one for access tokens.

        """
        return self._mint.sign(claims, headers=headers, key=key)

    # Keys

    @property
    def keys(self) -> PoolKeys:
        """The two keys that sign at present."""
        return self._ring.keys

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the published key set."""
        return self._ring.jwks()

    @property
    def published(self) -> tuple[SigningKey, ...]:
        """The published keys, the latest last."""
        return self._ring.published

    def prepare(self) -> None:
        """Make the keys now, which takes a moment, instead of for the first token or key set."""
        self._ring.prepare()

    def rotate(self, keys: PoolKeys | None = None) -> PoolKeys:
        """
        Return two new keys. They sign from now on; the old ones stay published, so tokens in use stay valid.

        Args:
            keys: The two keys; new ones by default.

        """
        return self._ring.rotate(keys)

    def withdraw(self, kid: str) -> None:
        """
        Stop publishing a key. If it is one that signs, it continues to sign.

        Raises:
            ConfigurationError: No key of this name is published.

        """
        self._ring.withdraw(kid)

    def replace(self, kid: str) -> SigningKey:
        """
        Return a new key that replaces a published one of the same name. It signs what the old one signed.

        Raises:
            ConfigurationError: No key of this name is published.

        """
        return self._ring.replace(kid)

    def restore_keys(self, keys: PoolKeys, published: Iterable[SigningKey]) -> None:
        """
        Sign with *keys* and publish *published* from now on, for example to undo `withdraw` or `replace`.

        Args:
            keys: The two keys to sign with, as `keys` returned them before.
            published: The keys to publish, as `published` returned them before.

        """
        self._ring.restore(keys, published)

    # For the guard

    def user_pool(self, base_url: str | None = None, **options: Any) -> UserPool:
        """
        Return this pool as configuration for a guard that accepts its present clients.

        Args:
            base_url: The URL at which a `LocalCognito` serves the pool, such as `http://127.0.0.1:9229`. The guard
                fetches keys from there. Without it, the guard starts with the present keys.
            **options: Options of `UserPool` to set or replace.

        Raises:
            ConfigurationError: The pool has no client yet, or an option is invalid.

        """
        follows: dict[str, Any] = {"client_ids": [client.client_id for client in self.clients]}
        if self.has_own_issuer:
            follows["issuers"] = [self.issuer if base_url is None else self.issuer_at(base_url)]
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
