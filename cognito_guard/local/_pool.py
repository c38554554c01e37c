"""A user pool in memory: its clients, its scopes, its keys, and any token it could have issued."""

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
    # Looked up at each call: libraries that freeze time replace time.time.
    return time.time()


class LocalPool:
    """
    A user pool that holds nothing but what you put in, and signs what you ask for.

    What is set up is held to Cognito's limits. What is minted is not: a token for a negative test is a good one with
    one thing changed.

    Args:
        pool_id: Such as `eu-central-1_AbCdEf123`.
        issuer: `iss` of the tokens; by default what Cognito would write for this id (the ORIGINAL form). `"self"` is
            the URL under which a `LocalCognito` serves the pool, `<where it is called>/<pool id>`, so that OpenID
            Connect libraries can discover it: they want an issuer that is the URL they asked.
        keys: The key pairs to sign with; new ones by default.
        published: The key pairs whose public halves are published; by default those to sign with.
        clock: Returns the time in seconds since the epoch.
        pre_token_generation: The handler of your pre-token-generation trigger, version 3, called as Lambda calls it:
            `handler(event, context)`. The event of `TokenGeneration_ClientCredentials` tells client, scopes and
            metadata of the request. It is called for each machine token of a client of the pool, minted ones included,
            on the thread that asks for the token. It is not called for users.

    Attributes:
        pool_id: As given.
        clock: As given.
        created_at: When it was made, in seconds since the epoch.
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
            ConfigurationError: It is to be the pool's own URL, and the pool has not been served yet.

        """
        return self._issuer.known()

    def issuer_at(self, base_url: str) -> str:
        """Return the value of `iss` in tokens that are asked for at *base_url*, such as `http://127.0.0.1:9229`."""
        return self._issuer.at(base_url)

    @property
    def has_own_issuer(self) -> bool:
        """Whether the issuer is another than those that follow from the id."""
        return self._issuer.is_own

    @property
    def issuer_is_updated(self) -> bool:
        """Whether the issuer is of the UPDATED form (`IssuerConfiguration`)."""
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
        """Tell the pool where it is served, which is its issuer if that is `"self"`. `LocalCognito` calls this."""
        self._issuer.served_at(base_url)

    # What is registered

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
        """Every scope that a resource server of the pool defines, as it stands in tokens."""
        return self._registry.scopes

    def scopes_of(self, client: LocalClient) -> tuple[str, ...]:
        """Return what *client* may ask for: its scopes, without those whose resource server has been deleted."""
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
        Return a new resource server; see `ResourceServer` for what Cognito accepts.

        Args:
            identifier: The API. Often a URL.
            scopes: The names of its scopes, with a description of each.
            name: What people call it; by default the identifier.

        Raises:
            ConfigurationError: The pool has one with that identifier, or Cognito would not accept the values.

        """
        return self._registry.add_resource_server(ResourceServer(identifier, scopes, name))

    def delete_resource_server(self, identifier: str) -> None:
        """
        Forget a resource server. Clients keep the names of its scopes, but get them no more, as with Cognito.

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
            name: For people; 1 to 128 characters. Id and secret follow from pool and name, so that they are the same
                after a restart; a client without a name gets random ones.
            scopes: What the client may ask for: at most 50 scopes that resource servers of the pool define. Without
                the flow `client_credentials` also Cognito's own, such as `openid`.
            client_id: 1 to 128 letters, digits, `_` or `+`.
            secrets: Its one or two secrets of 24 to 64 letters, digits, `_` or `+`, or `()` for a public client. By
                default one that follows from pool and client id.
            access_token_validity: For how many seconds its tokens are good: 5 minutes to 1 day.
            allowed_flows: `client_credentials`, or of `code` and `implicit`. No login page is here to use the latter
                two with; they are for clients whose users' tokens are minted.
            allow_client_token_auth: Whether the client may call `GetClientToken`.
            claims: Claims that a pre-token-generation trigger adds to its machine tokens, such as
                `{"tenant": "acme"}`. `pre_token_generation` may override them.

        Raises:
            ConfigurationError: A client of this id exists, Cognito would not accept the values, or a claim is one that
                Cognito alone sets.

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
            ConfigurationError: A client of this id exists, or a scope does not.

        """
        return self._registry.add_client(settings)

    def delete_client(self, client_id: str) -> None:
        """
        Forget an app client. Its tokens stay good until they expire, as with Cognito.

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
        Return an access token such as a machine gets (client-credentials grant).

        Args:
            *scopes: What it grants, defined in the pool or not; by default all that the client may ask for.
            client_id: Whose token it is, known to the pool or not; by default its first client's.
            lifetime: After how many seconds from now it expires, negative for the past; by default the
                `access_token_validity` of the client.
            headers: Members to replace in or add to the header of the JWT. One that is None is left out.
            **claims: Claims to replace or add. One that is None is left out.

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
            scopes: What is granted; all that the client may ask for if it is empty.
            base_url: Where the endpoint was called.
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
        Return an ID token of a user, which no API may take for an access token. It is signed with the other key.

        Takes what `mint_user` takes, except scopes, and raises what it raises.
        """
        occasion = self._mint.occasion(self.issuer, client_id, lifetime)
        return self._mint.identity(occasion, username, groups, claims=claims, headers=headers)

    def sign(
        self, claims: Mapping[str, Any], *, headers: Mapping[str, Any] | None = None, key: SigningKey | None = None
    ) -> str:
        """
        Return a JWT of *claims* as they are, for tokens that `mint` cannot express.

        Args:
            claims: All there is in the payload; here None is written as `null`.
            headers: As for `mint`.
            key: The key to sign with, whose name goes in the header; by default the one for access tokens.

        """
        return self._mint.sign(claims, headers=headers, key=key)

    # Keys

    @property
    def keys(self) -> PoolKeys:
        """The two keys that sign at present."""
        return self._ring.keys

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the key set that the pool publishes."""
        return self._ring.jwks()

    @property
    def published(self) -> tuple[SigningKey, ...]:
        """The keys that are published, the latest last."""
        return self._ring.published

    def prepare(self) -> None:
        """Make the keys now, which takes a moment, and not when the first token or key set is asked for."""
        self._ring.prepare()

    def rotate(self, keys: PoolKeys | None = None) -> PoolKeys:
        """
        Return two keys that sign from now on, published beside the old ones: tokens in use stay good.

        Args:
            keys: The two; new ones by default.

        """
        return self._ring.rotate(keys)

    def withdraw(self, kid: str) -> None:
        """
        Stop publishing a key. If it is one that signs, it goes on signing.

        Raises:
            ConfigurationError: No key of this name is published.

        """
        self._ring.withdraw(kid)

    def replace(self, kid: str) -> SigningKey:
        """
        Return a new key of the same name in place of a published one, signing what the old one signed.

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
        Return this pool as configuration of a guard that accepts the clients it has now.

        Args:
            base_url: Where a `LocalCognito` serves the pool, such as `http://127.0.0.1:9229`; the guard fetches keys
                from there. Without it, the guard starts with the present keys.
            **options: Options of `UserPool` to set or to replace.

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
