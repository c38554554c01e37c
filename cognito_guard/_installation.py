"""Puts a guard into an app, and checks the app before it serves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from cognito_guard._fastapi import check_version, documentation_paths
from cognito_guard._pool import ANY_CLIENT, UserPool, token_url_of
from cognito_guard._refusals.evidence import keys_of
from cognito_guard._report import log
from cognito_guard._requests.internals import Internals
from cognito_guard._requests.middleware import CognitoGuardMiddleware
from cognito_guard._routes.openapi import describe
from cognito_guard._rules.installed import check_public_paths, installed_on, is_guard_middleware
from cognito_guard._rules.marks import marks_of
from cognito_guard._rules.requirement import Guard
from cognito_guard._tokens.verifier import Verifier
from cognito_guard.audit import findings, routes
from cognito_guard.errors import ConfigurationError

_SHOWN: Final = 3
"""How many findings the summary in the log shows."""


def install(
    guard: Guard,
    internals: Internals,
    app: Starlette,
    *,
    public_paths: Collection[tuple[str, str]],
    public_docs: bool,
    strict: bool,
    opaque: Collection[str],
    outermost: bool,
) -> None:
    """
    Put *guard* among the middleware of *app*; see `CognitoGuard.install`.

    Raises:
        ConfigurationError: *app* cannot be guarded, or has served a request already.

    """
    _check_app(guard, app)
    paths = set(check_public_paths(public_paths))
    if public_docs:
        documentation = documentation_paths(app)
        if not documentation:
            raise ConfigurationError(
                "public_docs is for FastAPI apps that serve their documentation, and this app does not; "
                "leave public_docs out, or set openapi_url"
            )
        paths |= {(method, path) for method in ("GET", "HEAD") for path in documentation}

    def check() -> None:
        # A second time: the app may have set its own `openapi` after install().
        _describe(app, internals)
        check_app(app, strict=strict, opaque=opaque)

    app.user_middleware.append(
        Middleware(
            CognitoGuardMiddleware,
            guard=guard,
            public_paths=paths,
            check=check,
            announce=lambda: announce(internals, app, opaque=opaque),
        )
    )
    _describe(app, internals)
    if outermost:
        _keep_outermost(app)


def check_app(app: object, *, strict: bool = False, opaque: Collection[str] = ()) -> None:
    """
    Return if *app* may serve; log the findings that do not stop it.

    Raises:
        ConfigurationError: A route is weaker than it is written; with *strict*, anything was found.

    """
    found = findings(app, opaque=opaque)
    stopping = [finding for finding in found if finding.stops or strict]
    if stopping:
        count = f"{len(stopping)} routes are" if len(stopping) > 1 else "1 route is"
        raise ConfigurationError("\n".join([f"refusing to start: {count} not guarded as written", *map(str, stopping)]))
    if found:
        shown = [*map(str, found[:_SHOWN]), *(["..."] if len(found) > _SHOWN else [])]
        log.logger.warning(
            "found in the routes: %d; `cognito-guard routes --strict` lists all, install(strict=True) refuses them: %s",
            len(found),
            "; ".join(shown),
        )


def announce(internals: Internals, app: object, *, opaque: Collection[str] = ()) -> None:
    """Log which pools and routes are guarded, and warn if tokens for other APIs are accepted."""
    listed = routes(app)
    public = sum(route.public for route in listed)
    default = [route for route in listed if not route.public and not route.requirements]
    asking = len(listed) - public - len(default)
    if log.shows(logging.INFO):
        found = len(findings(app, opaque=opaque))
        log.write(
            logging.INFO,
            "guarding with %s; routes: %d with a requirement, %d public, %d by default for any valid token; found: %s",
            summary(internals.verifier),
            asking,
            public,
            len(default),
            found or "nothing",
        )
    undirected = [pool.pool_id for pool in internals.verifier.pools if not (pool.resource_servers or pool.audience)]
    for_anyone = [route for route in listed if not route.public and not route.scopes]
    if undirected and for_anyone:
        log.logger.warning(
            "any valid token is accepted for %s, also one that was issued for another API of %s: name this API in "
            "UserPool(..., resource_servers={'orders'})",
            _several([f"{route.method} {route.path}" for route in for_anyone]),
            _several(undirected),
        )


def summary(verifier: Verifier) -> str:
    """Return the pools of *verifier*, with the number of their clients and keys."""
    status = verifier.issuers.status()
    return ", ".join(_described(pool, keys_of(status[pool.pool_id])) for pool in verifier.pools)


def _described(pool: UserPool, keys: str) -> str:
    clients = "any client"
    if pool.client_ids is not ANY_CLIENT:
        clients = "1 client" if len(pool.client_ids) == 1 else f"{len(pool.client_ids)} clients"
    return f"{pool.pool_id} ({clients}, {keys})"


def _several(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _check_app(guard: Guard, app: object) -> None:
    if not isinstance(app, Starlette):
        raise ConfigurationError(
            f"install() takes a Starlette or FastAPI app, got {app!r}; "
            "wrap any other ASGI app: CognitoGuardMiddleware(app, guard=guard)"
        )
    check_version()
    if app.middleware_stack is not None:
        raise ConfigurationError("the app has served requests already; call guard.install(app) right after making it")
    if any(installed.guard is guard for installed in installed_on(app)):
        raise ConfigurationError("this guard is installed on the app already; call guard.install(app) once")
    if guard in marks_of(app).public:
        raise ConfigurationError("the app is marked public; remove guard.public(app), or install another guard on it")


def _describe(app: Any, internals: Internals) -> None:
    if hasattr(app, "openapi"):
        app.openapi = describe(app, token_url_of(internals.verifier.pools), internals.scope_descriptions)


def _keep_outermost(app: Starlette) -> None:
    """Keep the guard outside of all middleware except CORS, also of middleware that is added later."""
    build: Callable[[], Any] = app.build_middleware_stack

    def build_with_guard_outermost() -> Any:
        app.user_middleware.sort(key=_distance)
        return build()

    app.build_middleware_stack = build_with_guard_outermost  # type: ignore[method-assign]


def _distance(entry: Middleware) -> int:
    # CORS stays outside: browsers hide an answer without CORS headers from scripts, and preflights have no token.
    if isinstance(entry.cls, type) and issubclass(entry.cls, CORSMiddleware):
        return 0
    return 1 if is_guard_middleware(entry.cls) else 2
