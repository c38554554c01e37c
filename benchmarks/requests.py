"""What the guard adds to a request in process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Final

from starlette.types import ASGIApp

from benchmarks.apart import MakeCase, interleave_apart
from benchmarks.apps import PATH, Floor, fastapi_app, starlette_app, with_idle_middleware
from benchmarks.asgi import request_case
from benchmarks.pool import Material, material, wrongly_signed
from benchmarks.progress import Progress
from benchmarks.rounds import Case
from benchmarks.row import Effort, Row, Section

_CALLS: Final = 250
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
    cases = _cases(good)
    timings = interleave_apart(cases, effort.rounds, progress)
    rows = []
    for name in cases:
        framework = name.partition(",")[0]
        bare = f"{framework}, {_BARE}"
        added = timings.excess(name, bare) * 1e6
        rows.append(
            Row(
                what=name,
                value=timings.seconds(name) * 1e6,
                ratio=timings.ratio(name, bare),
                baseline=bare,
                at_most=_GOALS.get(name),
                note="" if name == bare else f"{added:+.1f} us",
            )
        )
    return Section(
        name="requests",
        title="One request in process",
        about=(
            "GET for the only route of an app, which is called as a server calls it, without a server. Each app runs "
            "in its own process; the processes take turns. Every row uses the same "
            f"{len(good.tokens):,} distinct tokens in turn, remembered or not. *Floor* is no guard. It does only what "
            "any guard that remembers tokens must do: find the header in the list, look up its SHA-256 in a "
            "dictionary, read the clock, and pass `send` through a function. Logging is off."
        ),
        rows=tuple(rows),
    )


def _cases(good: Material) -> dict[str, MakeCase]:
    seen = good.tokens
    forged = [wrongly_signed(*pair) for pair in pairwise((*seen, seen[0]))]
    remembering, forgetful = good.remembering_guard, good.forgetful_guard
    apps: dict[str, Callable[[], ASGIApp]] = {
        f"Starlette, {_BARE}": starlette_app,
        "Starlette, idle BaseHTTPMiddleware": lambda: with_idle_middleware(starlette_app()),
        "Starlette, floor": lambda: Floor(starlette_app()),
        "Starlette, guarded, token seen before": lambda: starlette_app(remembering()),
        "Starlette, ... and @guard.require": lambda: starlette_app(remembering(), "decorator"),
        "Starlette, guarded, token never seen": lambda: starlette_app(forgetful()),
        "Starlette, guarded, bad signature": lambda: starlette_app(remembering()),
        f"FastAPI, {_BARE}": fastapi_app,
        "FastAPI, idle BaseHTTPMiddleware": lambda: with_idle_middleware(fastapi_app()),
        "FastAPI, floor": lambda: Floor(fastapi_app()),
        "FastAPI, guarded, token seen before": lambda: fastapi_app(remembering()),
        "FastAPI, ... and @guard.require": lambda: fastapi_app(remembering(), "decorator"),
        "FastAPI, ... and Depends(guard.require)": lambda: fastapi_app(remembering(), "depends"),
        "FastAPI, guarded, token never seen": lambda: fastapi_app(forgetful()),
        "FastAPI, guarded, bad signature": lambda: fastapi_app(remembering()),
    }
    return {name: partial(_case, name, app, forged if "bad signature" in name else seen) for name, app in apps.items()}


async def _case(name: str, app: Callable[[], ASGIApp], tokens: Sequence[str]) -> Case:
    return await request_case(name, app(), PATH, tokens, calls=_CALLS, status=401 if "bad" in name else 200)
