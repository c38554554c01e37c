"""What the guard adds to a request in process."""

from __future__ import annotations

import asyncio
import logging
from itertools import pairwise
from typing import Final

from benchmarks.apps import PATH, Floor, fastapi_app, starlette_app, with_idle_middleware
from benchmarks.asgi import request_case
from benchmarks.pool import Material, material, wrongly_signed
from benchmarks.progress import Progress
from benchmarks.rounds import Case, interleave
from benchmarks.row import Effort, Row, Section

_CALLS: Final = 50
_BARE: Final = "no guard"
_GOALS: Final = {
    "Starlette, guarded, token seen before": 1.45,
    "Starlette, ... and @guard.require": 1.55,
    "FastAPI, ... and @guard.require": 1.20,
    "FastAPI, ... and Depends(guard.require)": 1.43,
}


def measure(effort: Effort, progress: Progress) -> Section:
    """Return the figures of requests to apps that are guarded in several ways, and to the same apps without a guard."""
    # Refusals are logged at INFO and WARNING, and writing lines is not part of the guard's cost.
    logging.getLogger("cognito_guard").setLevel(logging.ERROR)
    good = material(effort.tokens)
    cases = asyncio.run(_cases(good))
    timings = interleave(cases, effort.rounds, progress)
    rows = []
    for case in cases:
        framework = case.name.partition(",")[0]
        bare = f"{framework}, {_BARE}"
        added = timings.excess(case.name, bare) * 1e6
        rows.append(
            Row(
                what=case.name,
                value=timings.seconds(case.name) * 1e6,
                ratio=timings.ratio(case.name, bare),
                baseline=bare,
                at_most=_GOALS.get(case.name),
                note="" if case.name == bare else f"{added:+.1f} us",
            )
        )
    return Section(
        name="requests",
        title="One request in process",
        about=(
            "The app is called as a server calls it, without one: GET for the only route of the app. Every row has the "
            f"same {len(good.tokens):,} distinct tokens in turn, remembered or not. *Floor* is no guard: it finds the "
            "header in the list, looks its SHA-256 up in a dictionary, reads the clock and passes `send` through a "
            "function, which any guard that remembers tokens must do. Logging is off."
        ),
        rows=tuple(rows),
    )


async def _cases(good: Material) -> list[Case]:
    seen = good.tokens
    forged = [wrongly_signed(*pair) for pair in pairwise((*seen, seen[0]))]
    return [
        await request_case(name, app, PATH, tokens, calls=_CALLS, status=401 if tokens is forged else 200)
        for name, app, tokens in (
            (f"Starlette, {_BARE}", starlette_app(), seen),
            ("Starlette, idle BaseHTTPMiddleware", with_idle_middleware(starlette_app()), seen),
            ("Starlette, floor", Floor(starlette_app()), seen),
            ("Starlette, guarded, token seen before", starlette_app(good.remembering_guard()), seen),
            ("Starlette, ... and @guard.require", starlette_app(good.remembering_guard(), "decorator"), seen),
            ("Starlette, guarded, token never seen", starlette_app(good.forgetful_guard()), good.tokens),
            ("Starlette, guarded, bad signature", starlette_app(good.remembering_guard()), forged),
            (f"FastAPI, {_BARE}", fastapi_app(), seen),
            ("FastAPI, idle BaseHTTPMiddleware", with_idle_middleware(fastapi_app()), seen),
            ("FastAPI, floor", Floor(fastapi_app()), seen),
            ("FastAPI, guarded, token seen before", fastapi_app(good.remembering_guard()), seen),
            ("FastAPI, ... and @guard.require", fastapi_app(good.remembering_guard(), "decorator"), seen),
            ("FastAPI, ... and Depends(guard.require)", fastapi_app(good.remembering_guard(), "depends"), seen),
            ("FastAPI, guarded, token never seen", fastapi_app(good.forgetful_guard()), good.tokens),
            ("FastAPI, guarded, bad signature", fastapi_app(good.remembering_guard()), forged),
        )
    ]
