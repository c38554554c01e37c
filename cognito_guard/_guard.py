"""CognitoGuard: the class that users make, install and decorate with."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from cognito_guard._grammar import SCOPE_DESCRIPTION, full_scope
from cognito_guard._installation import announce, check_app, install, summary
from cognito_guard._keys.fetch import Fetch
from cognito_guard._keys.policy import KeyPolicy, KeyStatus
from cognito_guard._keywords import new_of
from cognito_guard._pool import UserPool, common_resource_server
from cognito_guard._principal import Principal
from cognito_guard._refusals.account import explanation_of
from cognito_guard._refusals.response import OnError, Refusals
from cognito_guard._report.reporter import OnEvent, Reporter
from cognito_guard._requests.internals import Internals
from cognito_guard._requests.judgement import JUDGE
from cognito_guard._requests.state import latest_state
from cognito_guard._routes.misuse import WRITE_A_REQUIREMENT
from cognito_guard._rules.conditions import CallerIs, Granted, InGroup, Predicate, That
from cognito_guard._rules.marks import mark_public
from cognito_guard._rules.requirement import Guard, Requirement
from cognito_guard._tokens.jws import MAX_TOKEN_LENGTH
from cognito_guard._tokens.verifier import Verifier
from cognito_guard.errors import ConfigurationError, RefusalError

Handler = TypeVar("Handler", bound=Callable[..., Any])


class CognitoGuard(Guard):
    """
    Guards an app: callers need an access token of one of the Cognito user pools.

    Checks the RS256 signature, `iss`, `exp`, `nbf`, `token_use`, `client_id` and, if the pool is set up for it, `aud`
    or the resource server of the scopes. Routes can require more. Revocation is not checked: Cognito does not show it
    in a token, so a token is accepted until it expires.

    Args:
        pools: The user pools whose tokens are accepted.
        leeway: Seconds by which clocks may differ, when `exp` and `nbf` are checked.
        key_policy: How keys are fetched and kept.
        token_cache: How many verified tokens are remembered, by digest, so that their signature is not checked again. A
            token of 2 KiB or more counts once for each KiB. Expiry, key and scopes are checked each time. 0: none.
        max_token_length: The longest token that is accepted, in characters: 1 KiB to 1 MiB, by default 8 KiB. The token
            of a user in a hundred groups has up to 18 KiB; the server must accept such headers too.
        realm: Named in challenges (RFC 9110 section 11.5), if given.
        on_event: Called with each object of `cognito_guard.events`. Must not block.
        on_error: `on_error(conn, error)` returns the response to a refused request, or an awaitable of it. Without
            `on_error`, the handler that the app registered for `HTTPException` is used; without that, the response is a
            JSON object.
        close_on_expiry: Close a websocket, with code 3000, when the token that opened it expires. By default the token
            is only checked when the websocket is opened.
        clock: Returns seconds since the epoch; times in tokens are compared with it. Default: `time.time`, looked up at
            each call.
        timer: Returns monotonic seconds; the age of keys is measured with it.
        fetch: Gets a key set, instead of the built-in GET.

    Raises:
        ConfigurationError: There is no pool, the same pool is there twice, or an option is invalid.

    """

    _cognito_guard_judge = JUDGE
    _internals: Internals

    def __init__(
        self,
        *pools: UserPool,
        leeway: float = 0.0,
        key_policy: KeyPolicy = KeyPolicy(),  # noqa: B008 - frozen
        token_cache: int = 10_000,
        max_token_length: int = MAX_TOKEN_LENGTH,
        realm: str | None = None,
        on_event: OnEvent | None = None,
        on_error: OnError | None = None,
        close_on_expiry: bool = False,
        clock: Callable[[], float] | None = None,
        timer: Callable[[], float] = time.monotonic,
        fetch: Fetch | None = None,
    ) -> None:
        for name, hook in (("on_event", on_event), ("on_error", on_error), ("fetch", fetch)):
            if hook is not None and not callable(hook):
                raise ConfigurationError(f"{name} must be a function, got {hook!r}")
        if not isinstance(key_policy, KeyPolicy):
            raise ConfigurationError(f"key_policy must be a KeyPolicy, got {key_policy!r}")
        if not isinstance(close_on_expiry, bool):
            raise ConfigurationError(f"close_on_expiry must be True or False, got {close_on_expiry!r}")
        reporter = Reporter(on_event, timer)
        verifier = Verifier(
            pools,
            leeway=leeway,
            token_cache=token_cache,
            max_token_length=max_token_length,
            key_policy=key_policy,
            reporter=reporter,
            clock=clock,
            timer=timer,
            fetch=fetch,
        )
        refusals = Refusals(realm=realm, on_error=on_error, reporter=reporter)
        super().__init__(
            Internals(
                verifier=verifier,
                refusals=refusals,
                check=check_app,
                announce=lambda app: announce(self._internals, app),
                close_on_expiry=close_on_expiry,
            ),
        )
        self._identifier: Final = common_resource_server(pools)
        self._allow_short: Final = any(pool.has_own_issuers for pool in pools)

    if not TYPE_CHECKING:
        __new__ = new_of(
            __init__,
            {
                name: f"it belongs to the pool: CognitoGuard(UserPool('eu-central-1_AbCdEf123', {written}))"
                for name, written in (
                    ("client_id", "client_ids={...}"),
                    ("client_ids", "client_ids={...}"),
                    ("issuer", "client_ids={...}, issuers=[...]"),
                    ("issuers", "client_ids={...}, issuers=[...]"),
                    ("region", "client_ids={...}"),
                    ("audience", "client_ids={...}, audience={...}"),
                    ("resource_servers", "client_ids={...}, resource_servers={...}"),
                )
            }
            | {"scopes": "scopes stand at the routes: @guard.require('orders/order.read')"},
        )

    def install(
        self,
        app: Starlette,
        *,
        public_paths: Collection[tuple[str, str]] = (),
        public_docs: bool = False,
        strict: bool = False,
        opaque: Collection[str] = (),
        outermost: bool = False,
    ) -> None:
        """
        Guard every route of *app*, http and websocket.

        The guard becomes the innermost middleware, no matter when others are added, so its answers have CORS headers
        too. The OpenAPI document of a FastAPI app then says what each route requires. The app does not start while a
        route is weaker than it is written. Anything else that `cognito_guard.audit` finds is logged.

        Args:
            app: A Starlette or FastAPI app that has not served a request yet.
            public_paths: Pairs of method and exact path that are open, for routes that cannot be marked with `public`.
            public_docs: Open FastAPI's own documentation: the OpenAPI document and the pages that show it.
            strict: Refuse to start on anything that `cognito_guard.audit` finds.
            opaque: Paths of mounted apps whose routes cannot be inspected; *strict* does not refuse them.
            outermost: Put the guard in front of the app's own middleware. Otherwise that middleware may answer callers
                without a token. A `CORSMiddleware` stays in front of the guard. Middleware that rewrites paths or
                methods then does so after the guard has looked for public routes.

        Raises:
            ConfigurationError: *app* cannot be guarded, or has served a request already.

        """
        install(
            self,
            self._internals,
            app,
            public_paths=public_paths,
            public_docs=public_docs,
            strict=strict,
            opaque=opaque,
            outermost=outermost,
        )

    def describe_scopes(self, descriptions: Mapping[str, str]) -> None:
        """
        Describe scopes, for the OpenAPI document and for the resource server that defines them.

        Args:
            descriptions: A description for each scope, 1 to 256 characters (CreateResourceServer, API reference).

        Raises:
            ConfigurationError: A scope is invalid, or its description does not have that length.

        """
        for scope, description in descriptions.items():
            try:
                SCOPE_DESCRIPTION.check(description)
            except ConfigurationError as error:
                raise ConfigurationError(f"{scope!r}: {error}") from None
            self._internals.scope_descriptions[self._full(scope)] = description

    def require(self, *scopes: str) -> Requirement:
        """
        Return the requirement that the token grants all of *scopes*.

        With one resource server for all pools, `order.read` means `<resource server>/order.read`.

        In tests, `app.dependency_overrides[guard.require(...)]` replaces the requirement on FastAPI's routes. The
        installed guard still asks for a valid token.

        Raises:
            ConfigurationError: No scopes, or one that is not a single scope.

        """
        return Requirement(self, Granted(frozenset({self._scopes(scopes, "require")})))

    def require_any(self, *scopes: str) -> Requirement:
        """
        Return the requirement that the token grants at least one of *scopes*; see `require`.

        Raises:
            ConfigurationError: No scopes, or one that is not a single scope.

        """
        return Requirement(self, Granted(frozenset(frozenset({each}) for each in self._scopes(scopes, "require_any"))))

    def require_groups(self, *groups: str) -> Requirement:
        """
        Return the requirement that the caller is a user in at least one of *groups* (`cognito:groups`).

        Raises:
            ConfigurationError: No groups, or one that is not a name.

        """
        if not groups or not all(isinstance(group, str) and group.strip() for group in groups):
            raise ConfigurationError(f"require_groups() takes the names of groups, such as 'admins'; got {groups!r}")
        return Requirement(self, InGroup(frozenset(groups)))

    def require_that(self, predicate: Predicate, label: str) -> Requirement:
        """
        Return the requirement that `predicate(principal, conn)` returns True for the caller and the request.

        Any other result is refused with 403. An exception is refused too, and logged. The predicate may be called more
        than once for a request. It must not block.

        Args:
            predicate: A plain function. `conn` is a Starlette `HTTPConnection`, whose `path_params` are known.
            label: The name of the condition in the audit and in logs, such as "tenant of the path". Two requirements
                with the same predicate and label are equal.

        Raises:
            ConfigurationError: The predicate is a coroutine function or cannot be called, or the label is not a
                non-empty string.

        """
        called = getattr(predicate, "__call__", None)  # noqa: B004 - which function that is
        if not callable(predicate) or any(map(inspect.iscoroutinefunction, (predicate, called))):
            raise ConfigurationError(
                f"require_that() takes a plain function that returns True or False, not a coroutine; got {predicate!r}"
            )
        if not isinstance(label, str) or not label.strip() or not label.isprintable():
            raise ConfigurationError(
                f"require_that() takes a label that names the condition, such as 'tenant of the path'; got {label!r}"
            )
        return Requirement(self, That(predicate, label))

    @property
    def machine_only(self) -> Requirement:
        """The requirement that no user is behind the token (client-credentials grant)."""
        return Requirement(self, CallerIs(machine=True))

    @property
    def user_only(self) -> Requirement:
        """The requirement that a user is behind the token."""
        return Requirement(self, CallerIs(machine=False))

    @property
    def authenticated(self) -> Requirement:
        """The requirement that the caller has a valid token. Its scopes do not matter."""
        return Requirement(self)

    def public(self, handler: Handler, /) -> Handler:
        """
        Return *handler*, marked as open to everyone.

        A missing or invalid token is ignored on such a route. A function is copied and the copy is marked, so that
        another route with the same function stays guarded. An ASGI app is marked itself: where it is mounted, every
        route in it without a requirement is open.

        Raises:
            ConfigurationError: *handler* cannot be marked, or has a requirement too.

        """
        self._internals.has_public = True
        return mark_public(handler, self)

    async def verify(self, token: str) -> Principal:
        """
        Return the caller that *token* was issued to. For everything that is not HTTP, such as the messages of a queue.

        A refusal writes no line in the log, and the error holds nothing of the token: see `explain`.

        Raises:
            InvalidTokenError: The token is not accepted; see its subclasses.
            KeysUnavailableError: There are no keys to verify the token with, and none could be fetched.

        """
        return await self._internals.verifier.verify(token)

    def explain(self, token: str, error: RefusalError) -> str:
        """
        Return why `verify` refused *token* with *error*, for the log of a caller that is not HTTP.

        One line of printable ASCII: the error's `reason`, what the token says, what is accepted and what to look at.
        Values of the token are shown where they have the form that Cognito gives them, and nothing of its signature is.
        The token is read again: call this only for a line that is written, and never show the line to the sender. For
        an error that is not about *token*, the line has its `reason` and `description` alone.
        """
        return explanation_of(error, token, self._internals.verifier)

    async def prefetch(self) -> None:
        """
        Fetch the keys of all pools that have none.

        Keys that are due are refreshed in the background. The app's lifespan calls this; without a lifespan, the first
        request fetches the keys.

        Raises:
            KeysUnavailableError: A pool has no keys, and none could be fetched.

        """
        await self._internals.verifier.issuers.prefetch()

    def status(self) -> dict[str, KeyStatus]:
        """Return the state of each pool's keys, by pool id, ready for JSON. Made for a readiness check."""
        return self._internals.verifier.issuers.status()

    def principal(self, conn: HTTPConnection) -> Principal | None:
        """
        Return the caller behind a request or websocket; None without a valid token.

        This never refuses: it also returns None if this guard is not installed. A route that must have a caller needs a
        requirement. The caller is also returned if its request was refused with 403, so that an access log can name it.
        """
        state = latest_state(conn.scope, self)
        return None if state is None else state.principal

    def __repr__(self) -> str:
        return f"<CognitoGuard of {summary(self._internals.verifier)}>"

    def __call__(self, *_args: object, **_kwargs: object) -> NoReturn:
        """Refuse: `Depends(guard)` and `@guard` ask for nothing."""
        raise ConfigurationError(
            f"a guard is neither a decorator nor a dependency; write @guard.require('orders/order.read'), or "
            f"{WRITE_A_REQUIREMENT}"
        )

    def _scopes(self, scopes: tuple[str, ...], function: str) -> frozenset[str]:
        if not scopes:
            raise ConfigurationError(
                f"{function}() without scopes would let every token in; if you want that, write guard.authenticated"
            )
        if any(map(callable, scopes)):
            raise ConfigurationError(
                f"@guard.{function} needs the scopes that are asked for: write @guard.{function}('orders/order.read'), "
                "or @guard.authenticated if any valid token is enough"
            )
        return frozenset(self._full(scope) for scope in scopes)

    def _full(self, scope: str) -> str:
        return full_scope(scope, self._identifier, allow_short=self._allow_short)
