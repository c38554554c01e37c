"""What one token costs when several threads verify at once."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from benchmarks.floor import Signed, signed_parts
from benchmarks.pool import Material, material
from benchmarks.progress import Progress
from benchmarks.row import Effort, Row, Section

_THREADS: Final = (1, 4)


class _Spent(NamedTuple):
    """Seconds for each token, by the clock and of processor time."""

    wall: float
    processor: float


class _Work(NamedTuple):
    """What each thread does, and with which items."""

    name: str
    run: Callable[[Sequence[Signed]], None]


def measure(effort: Effort, progress: Progress) -> Section:
    """Return the cost of `guard.verify` from 1 and from 4 threads, beside both ways to check a signature."""
    good = material(effort.tokens)
    key, signed = signed_parts(good)
    works = _works(good, key)
    spent: dict[tuple[str, int], list[_Spent]] = {(work.name, threads): [] for work in works for threads in _THREADS}
    for turn in range(effort.rounds):
        for work in works:
            for threads in _THREADS:
                spent[work.name, threads].append(_timed(work, threads, signed))
        progress.show(turn + 1, effort.rounds)
    return Section(
        name="threads",
        title="Several threads",
        about=(
            "Tokens never seen. Each thread has its own event loop. The time is by the clock: on an idle machine, half "
            f"the time means twice as many tokens a second. This machine has {os.cpu_count()} cores. "
            "`recover_data_from_signature` holds the interpreter's lock while it computes. `verify` releases it, which "
            "takes more processor time and helps only if other cores are idle."
        ),
        rows=tuple(
            _row(work, threads, spent[work.name, threads], spent[works[0].name, 1])
            for work in works
            for threads in _THREADS
        ),
    )


def _works(good: Material, key: RSAPublicKey) -> tuple[_Work, ...]:
    padding, algorithm = PKCS1v15(), SHA256()
    guard = good.forgetful_guard()
    asyncio.run(_verify(guard.verify, good.tokens[:1]))

    def checked(items: Sequence[Signed]) -> None:
        for each in items:
            key.verify(each.signature, each.signing_input, padding, algorithm)

    def recovered(items: Sequence[Signed]) -> None:
        for each in items:
            key.recover_data_from_signature(each.signature, padding, None)

    def guarded(items: Sequence[Signed]) -> None:
        asyncio.run(_verify(guard.verify, [each.token for each in items]))

    return (
        _Work("`verify` alone", checked),
        _Work("`recover_data_from_signature` alone", recovered),
        _Work("`guard.verify`", guarded),
    )


async def _verify(verify: Callable[[str], Coroutine[Any, Any, object]], tokens: Sequence[str]) -> None:
    for token in tokens:
        await verify(token)


def _timed(work: _Work, threads: int, signed: Sequence[Signed]) -> _Spent:
    with ThreadPoolExecutor(threads) as pool:
        began, worked = time.perf_counter(), time.process_time()
        # Each thread has its own tokens, and uses all of them before any comes again.
        list(pool.map(work.run, [signed[number::threads] for number in range(threads)]))
        return _Spent((time.perf_counter() - began) / len(signed), (time.process_time() - worked) / len(signed))


def _row(work: _Work, threads: int, spent: Sequence[_Spent], bare: Sequence[_Spent]) -> Row:
    processor = median(each.processor for each in spent)
    return Row(
        what=f"{work.name}, {threads} thread{'s' * (threads > 1)}",
        value=median(each.wall for each in spent) * 1e6,
        ratio=median(ours.processor / theirs.processor for ours, theirs in zip(spent, bare, strict=True)),
        baseline="processor time of `verify` alone, 1 thread",
        note=f"processor {processor * 1e6:.1f} us: one core does {1 / processor:,.0f} a second",
    )
