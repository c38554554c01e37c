"""What one token costs: never seen, seen, and refused."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise
from typing import Final, TypeVar

from benchmarks.floor import BARE, async_case, bare_case
from benchmarks.pool import POOL_ID, Material, local_pool, material, mint, wrongly_signed
from benchmarks.progress import Progress
from benchmarks.rounds import Case, interleave
from benchmarks.row import Effort, Row, Section
from cognito_guard import CognitoGuard
from cognito_guard._requests.bearer import bearer_token
from cognito_guard._tokens.jws import MAX_TOKEN_LENGTH
from cognito_guard.errors import BearerError

Item = TypeVar("Item")

_CALLS: Final = 250
_MEGABYTE: Final = 1024 * 1024

# What is measured, and the goal for it as a multiple of the bare check.
_GOALS: Final[dict[str, float | None]] = {
    BARE: None,
    "token never seen": 1.5,
    "token never seen, of a user": None,
    "token seen before": 0.10,
    "refused: bad shape": 0.5,
    "refused: header of 1 MB": 0.5,
    "refused: wrong issuer": 0.5,
    "refused: wrong client": None,
    "refused: expired": None,
    "refused: unknown key": None,
    "refused: bad signature": None,
}


def measure(effort: Effort, progress: Progress) -> Section:
    """Return the figures of `guard.verify`."""
    good, of_users = material(effort.tokens), material(effort.tokens, of_users=True)
    cases = _cases(good, of_users)
    timings = interleave(cases, effort.rounds, progress)
    rows = tuple(
        Row(
            what=case.name,
            value=timings.seconds(case.name) * 1e6,
            ratio=timings.ratio(case.name, BARE),
            baseline="bare RSA check",
            at_most=_GOALS[case.name],
            note=f"one core does {1 / timings.seconds(case.name):,.0f} a second"
            if case.name.startswith("token")
            else "",
        )
        for case in cases
    )
    return Section(
        name="verify",
        title="One token",
        about=(
            f"`await guard.verify(token)` with a machine's access token of {len(good.tokens[0])} characters, or a "
            f"user's of {len(of_users.tokens[0])}; {len(good.tokens)} different ones in turn. A token *never seen* "
            "adds an entry to the token cache and drops an old one. The header of 1 MB is refused before its token is "
            "read. All other refused tokens are different from each other."
        ),
        rows=rows,
    )


def _cases(good: Material, of_users: Material) -> list[Case]:
    forgetful, remembering = good.forgetful_guard(), good.remembering_guard()
    asyncio.run(_see(forgetful, good.tokens[:1]))
    asyncio.run(_see(remembering, good.tokens))
    verify = remembering.verify
    elsewhere = local_pool().issuer.replace(POOL_ID, "eu-central-1_Stranger1")
    numbers = range(_CALLS)
    return [
        bare_case(good, _CALLS),
        async_case("token never seen", forgetful.verify, good, _CALLS),
        async_case("token never seen, of a user", of_users.forgetful_guard().verify, of_users, _CALLS),
        async_case("token seen before", verify, good, _CALLS),
        _refused("bad shape", verify, [token.rpartition(".")[0] for token in good.tokens[:_CALLS]]),
        _refused("header of 1 MB", _take, [b"Bearer " + b"a" * _MEGABYTE] * _CALLS),
        _refused("wrong issuer", verify, [mint(iss=elsewhere) for _ in numbers]),
        _refused("wrong client", verify, [mint(client_id="stranger") for _ in numbers]),
        _refused("expired", verify, [mint(lifetime=-1) for _ in numbers]),
        _refused("unknown key", verify, [mint(headers={"kid": f"stranger-{number}"}) for number in numbers]),
        _refused("bad signature", verify, [wrongly_signed(*pair) for pair in pairwise(good.tokens[: _CALLS + 1])]),
    ]


async def _see(guard: CognitoGuard, tokens: Sequence[str]) -> None:
    for token in tokens:
        await guard.verify(token)


async def _take(header: bytes) -> None:
    bearer_token([header], MAX_TOKEN_LENGTH)


def _refused(what: str, check: Callable[[Item], Awaitable[object]], items: Sequence[Item]) -> Case:
    async def run() -> None:
        refused = 0
        for item in items:
            try:
                await check(item)
            except BearerError:
                refused += 1
        if refused < len(items):
            raise AssertionError(f"accepted: {what}")

    return Case(f"refused: {what}", run, len(items))
