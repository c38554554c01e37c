"""What a request without a token costs in apps of many routes."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from benchmarks.asgi import request_case
from benchmarks.pool import Material, material
from benchmarks.progress import Progress
from benchmarks.rounds import Case, interleave
from benchmarks.row import Effort, Row, Section

_CALLS: Final = 20
_ROUTES: Final = (10, 100, 1000)

Public = Literal["no guard", "no public route", "one public route"]

_GOALS: Final[dict[tuple[int, Public], float]] = {(1000, "no public route"): 0.05, (1000, "one public route"): 1.2}


def measure(effort: Effort, progress: Progress) -> Section:
    """Return the cost of a refusal, compared with the 404 of the same app without a guard."""
    # Refusals are logged, and writing lines is not part of the guard's cost.
    logging.getLogger("cognito_guard").setLevel(logging.ERROR)
    kinds: tuple[Public, ...] = ("no guard", "no public route", "one public route")
    pairs: list[tuple[int, Public]] = [(routes, public) for routes in _ROUTES for public in kinds]
    cases = asyncio.run(_cases(material(effort.tokens), pairs))
    timings = interleave(cases, effort.rounds, progress)
    return Section(
        name="strangers",
        title="No token",
        about=(
            "GET without a token for a path that no route of a Starlette app has: 404 without a guard, 401 with one. "
            "All ratios are to the app with as many routes and no guard, which looks through all of them."
        ),
        rows=tuple(
            Row(
                what=_name(routes, public),
                value=timings.seconds(_name(routes, public)) * 1e6,
                ratio=timings.ratio(_name(routes, public), _name(routes, "no guard")),
                baseline="404 without a guard",
                at_most=_GOALS.get((routes, public)),
            )
            for routes, public in pairs
        ),
    )


async def _cases(good: Material, pairs: list[tuple[int, Public]]) -> list[Case]:
    return [
        await request_case(
            _name(routes, public),
            _app(good, routes, public),
            "/nowhere",
            [None] * _CALLS,
            calls=_CALLS,
            status=404 if public == "no guard" else 401,
        )
        for routes, public in pairs
    ]


def _app(good: Material, routes: int, public: Public) -> Starlette:
    async def orders(_request: Request) -> Response:
        return PlainTextResponse("ok")

    guard = good.remembering_guard()
    last = guard.public(orders) if public == "one public route" else orders
    endpoints = [*[orders] * (routes - 1), last]
    app = Starlette(routes=[Route(f"/orders/{number}", endpoint) for number, endpoint in enumerate(endpoints)])
    if public != "no guard":
        guard.install(app)
    return app


def _name(routes: int, public: Public) -> str:
    return f"{routes:,} routes, {public}"
