"""CognitoGuard: what users hold in their hands."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection

from cognito_guard._grammar import check_scope
from cognito_guard._keys.fetch import Fetch, fetch
from cognito_guard._keys.key_set import KeyPolicy, KeyStatus
from cognito_guard._pool import UserPool
from cognito_guard._principal import Principal
from cognito_guard._report import OnEvent, Reporter
from cognito_guard._requests.internals import HasInternals, Internals
from cognito_guard._requests.middleware import CognitoGuardMiddleware, check_public_paths
from cognito_guard._requests.refusals import OnError, Refusals
from cognito_guard._requests.requirement import Requirement, mark_public
from cognito_guard._requests.state import visit_of
from cognito_guard._routes.openapi import describe
from cognito_guard._tokens.verifier import Verifier
from cognito_guard.audit import findings
from cognito_guard.errors import ConfigurationError

Handler = TypeVar("Handler", bound=Callable[..., Any])

MAX_DESCRIPTION: Final = 256
"""Characters that Cognito takes for the description of a scope."""

_DOCS: Final = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")


def _now() -> float:
    # Looked up per call: what freezegun replaces is time.time, not what a default argument holds.
    return time.time()


class CognitoGuard(HasInternals):
    """
    Guards an app with the access tokens of one or more Cognito user pools.

    Checks the RS256 signature, `iss`, `exp`, `nbf`, `token_use`, `client_id` and, if the pool asks for it, `aud`.
    Routes add what they require. Revocation is not checked: Cognito lets no one see it in a token, so a token is good
    until it expires.

    Args:
        pools: The user pools whose tokens are accepted.
        leeway: Seconds by which clocks may differ, for `exp` and `nbf`.
        key_policy: How keys are fetched and kept.
        token_cache: How many verified tokens are remembered, by digest, so that their signature is not checked again;
            one of 2 KiB or more counts once for each KiB. Expiry, key and scopes are judged each time. 0: none.
        realm: Named in challenges (RFC 9110 section 11.5), if given.
        on_event: Called with each `cognito_guard.events` object. Must not block.
        on_error: `on_error(conn, error)` returns the response to a refused request, or an awaitable of it. Without it
            a handler that the app registered for `HTTPException` is used, or else a JSON object.
        clock: Seconds since the epoch; times in tokens are compared with it. Default: `time.time`, looked up per call.
        timer: Monotonic seconds; the age of keys is measured with it.
        fetch: Gets a key set, in place of the built-in GET.

    Raises:
        ConfigurationError: No pool, the same pool twice, or an option that can not be meant.

    """

    def __init__(
        self,
        *pools: UserPool,
        leeway: float = 0.0,
        key_policy: KeyPolicy = KeyPolicy(),  # noqa: B008 - frozen
        token_cache: int = 10_000,
        realm: str | None = None,
        on_event: OnEvent | None = None,
        on_error: OnError | None = None,
        clock: Callable[[], float] = _now,
        timer: Callable[[], float] = time.monotonic,
        fetch: Fetch = fetch,
    ) -> None:
        for name, hook in (("on_event", on_event), ("on_error", on_error), ("fetch", fetch)):
            if hook is not None and not callable(hook):
                raise ConfigurationError(f"{name} must be a function, got {hook!r}")
        if not isinstance(key_policy, KeyPolicy):
            raise ConfigurationError(f"key_policy must be a KeyPolicy, got {key_policy!r}")
        reporter = Reporter(on_event)
        verifier = Verifier(
            pools,
            leeway=leeway,
            token_cache=token_cache,
            key_policy=key_policy,
            reporter=reporter,
            clock=clock,
            timer=timer,
            fetch=fetch,
        )
        refusals = Refusals(realm=realm, on_error=on_error, reporter=reporter)
        super().__init__(Internals(verifier, refusals))

    def install(
        self,
        app: Starlette,
        *,
        public_paths: Collection[tuple[str, str]] = (),
        public_docs: bool = False,
        strict: bool = False,
        opaque: Collection[str] = (),
    ) -> None:
        """
        Guard every route of *app*, http and websocket.

        The guard becomes the innermost middleware, whatever is added before or after: CORS headers get onto its
        answers as well. The OpenAPI document of a FastAPI app says from now on what each route requires.
        Middleware of a mounted app that rewrites paths or methods comes after public routes have been looked for: give
        such an app a guard of its own, behind that middleware.

        Args:
            app: A Starlette or FastAPI app that has not served a request yet.
            public_paths: Pairs of method and exact path that are open, for routes that can not be marked with `public`.
            public_docs: Open FastAPI's own documentation: the OpenAPI document and the pages that show it.
            strict: Refuse to start while `cognito_guard.audit` finds something wrong with a route.
            opaque: Paths of mounted apps that can not be looked into, and need not be for *strict*.

        Raises:
            ConfigurationError: *app* can not be guarded, or not any more.

        """
        if not isinstance(app, Starlette):
            raise ConfigurationError(
                f"install() takes a Starlette or FastAPI app, got {app!r}; "
                "wrap any other ASGI app: CognitoGuardMiddleware(app, guard=guard)"
            )
        if app.middleware_stack is not None:
            raise ConfigurationError(
                "the app has served requests already; call guard.install(app) right after making it"
            )
        if any(entry.kwargs.get("guard") is self for entry in app.user_middleware):
            raise ConfigurationError("this guard is installed on the app already")
        paths = set(check_public_paths(public_paths))
        if public_docs:
            urls = {url for name in _DOCS if (url := getattr(app, name, None))}
            if not urls:
                raise ConfigurationError(
                    "public_docs is for FastAPI apps that serve their documentation; this one does not"
                )
            paths |= {(method, url) for method in ("GET", "HEAD") for url in urls}
        check = partial(self._check, app, opaque) if strict else None
        app.user_middleware.append(Middleware(CognitoGuardMiddleware, guard=self, public_paths=paths, check=check))
        if hasattr(app, "openapi"):
            fastapi: Any = app
            fastapi.openapi = describe(fastapi, self._internals.verifier.token_url, self._internals.scope_descriptions)

    def describe_scopes(self, descriptions: Mapping[str, str]) -> None:
        """
        Say what scopes are about, for the OpenAPI document and for the resource server that defines them.

        Args:
            descriptions: By scope, 1 to 256 characters each (CreateResourceServer, API reference).

        Raises:
            ConfigurationError: A scope is not one, or its description not of that length.

        """
        for scope, description in descriptions.items():
            check_scope(scope)
            if not isinstance(description, str) or not 1 <= len(description) <= MAX_DESCRIPTION:
                raise ConfigurationError(
                    f"the description of {scope!r} must be of 1 to {MAX_DESCRIPTION} characters, got {description!r}"
                )
        self._internals.scope_descriptions.update(descriptions)

    def _check(self, app: Starlette, opaque: Collection[str]) -> None:
        found = findings(app, opaque=opaque)
        if found:
            raise ConfigurationError("\n".join(["the app must not start like this:", *map(str, found)]))

    def require(self, *scopes: str) -> Requirement:
        """
        Return the requirement that the token grants all of *scopes*.

        In tests, `app.dependency_overrides[guard.require(...)]` replaces it at FastAPI's routes. The guard that is
        installed still asks for a valid token.

        Raises:
            ConfigurationError: No scopes, or one that is not a single scope.

        """
        return Requirement(self, "all", _scopes(scopes, "require"))

    def require_any(self, *scopes: str) -> Requirement:
        """
        Return the requirement that the token grants at least one of *scopes*.

        Raises:
            ConfigurationError: No scopes, or one that is not a single scope.

        """
        return Requirement(self, "any", _scopes(scopes, "require_any"))

    def require_groups(self, *groups: str) -> Requirement:
        """
        Return the requirement that the caller is a user in at least one of *groups* (`cognito:groups`).

        Raises:
            ConfigurationError: No groups, or one that is not a name.

        """
        if not groups or not all(isinstance(group, str) and group.strip() for group in groups):
            raise ConfigurationError(f"require_groups() takes the names of groups, such as 'admins'; got {groups!r}")
        return Requirement(self, "groups", frozenset(groups))

    @property
    def authenticated(self) -> Requirement:
        """The requirement that there is a caller with a good token, whatever it grants."""
        return Requirement(self, "authenticated")

    def public(self, handler: Handler, /) -> Handler:
        """
        Return *handler*, marked as open to everybody. On such a route a missing or bad token is not looked at further.

        Raises:
            ConfigurationError: It can not be marked, or has a requirement as well.

        """
        return mark_public(handler, self)

    async def verify(self, token: str) -> Principal:
        """
        Return the caller that *token* speaks for: for everything that is not HTTP, such as the messages of a queue.

        Raises:
            InvalidTokenError: The token is not accepted; see its subclasses.
            KeysUnavailableError: No keys are held to verify it with, and none could be fetched.

        """
        return await self._internals.verifier.verify(token)

    async def prefetch(self) -> None:
        """
        Fetch the keys of all pools that have no fresh ones. The lifespan does so; without one, the first request does.

        Raises:
            KeysUnavailableError: A pool has no keys, and none could be fetched.

        """
        await self._internals.verifier.prefetch()

    def status(self) -> dict[str, KeyStatus]:
        """Return the state of each pool's keys, by pool id, ready for JSON: for a readiness check."""
        return self._internals.verifier.status()

    def principal(self, conn: HTTPConnection) -> Principal | None:
        """
        Return the caller behind a request or websocket; None for an anonymous one, on a public route.

        Raises:
            NotInstalledError: The request did not pass this guard.

        """
        return visit_of(conn, self).principal


def _scopes(scopes: tuple[str, ...], function: str) -> frozenset[str]:
    if not scopes:
        raise ConfigurationError(
            f"{function}() without scopes would let every token in; if that is meant, say guard.authenticated"
        )
    return frozenset(check_scope(scope) for scope in scopes)
