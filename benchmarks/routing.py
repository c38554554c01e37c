"""What an authenticated request costs in apps of many routes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.apart import MakeCase, interleave_apart
from benchmarks.asgi import request_case
from benchmarks.pool import Material, material
from benchmarks.progress import Progress
from benchmarks.rounds import Case
from benchmarks.row import Effort, Row, Section
from cognito_guard import CognitoGuard

_CALLS: Final = 20
_ROUTES: Final = (10, 100, 1000)


def measure(effort: Effort, progress: Progress) -> Section:
    """Return what the guard adds to a request for the last of 10, 100 and 1000 routes."""
    good = material(effort.tokens)
    timings = interleave_apart(_cases(good), effort.rounds, progress)
    added = {routes: timings.excess(_guarded(routes), _bare(routes)) for routes in _ROUTES}
    rows = []
    for routes in _ROUTES:
        bare = timings.seconds(_bare(routes))
        rows.append(
            Row(
                what=f"{routes:,} routes",
                value=added[routes] * 1e6,
                # The ratio is that of the whole request: the difference of two long times is never exactly zero.
                ratio=1 + (added[routes] - added[_ROUTES[0]]) / bare,
                baseline=f"the same app with the cost of {_ROUTES[0]} routes",
                at_most=1.05 if routes == _ROUTES[-1] else None,
                note=f"bare {bare * 1e6:.0f} us, guarded {timings.seconds(_guarded(routes)) * 1e6:.0f} us",
            )
        )
    return Section(
        name="routes",
        title="Routes",
        about=(
            "What the guard adds to a request for the last route of a Starlette app, token seen before, "
            f"{len(good.tokens):,} distinct ones in turn, each app in its own process. Starlette looks through its "
            "routes one by one, with or without a guard."
        ),
        rows=tuple(rows),
    )


def _cases(good: Material) -> dict[str, MakeCase]:
    guards = {_bare: lambda: None, _guarded: good.remembering_guard}
    return {
        name_of(routes): partial(_case, name_of(routes), routes, make_guard, good)
        for routes in _ROUTES
        for name_of, make_guard in guards.items()
    }


async def _case(name: str, routes: int, make_guard: Callable[[], CognitoGuard | None], good: Material) -> Case:
    path = f"/orders/{routes - 1}"
    return await request_case(name, _app(routes, make_guard()), path, good.tokens, calls=_CALLS)


def _app(routes: int, guard: CognitoGuard | None) -> Starlette:
    async def orders(_request: Request) -> Response:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route(f"/orders/{number}", orders) for number in range(routes)])
    if guard is not None:
        guard.install(app)
    return app


def _bare(routes: int) -> str:
    return f"{routes} routes, no guard"


def _guarded(routes: int) -> str:
    return f"{routes} routes, guarded"
