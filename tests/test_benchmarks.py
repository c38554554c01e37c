"""The benchmarks run. Their figures are not checked: that needs a quiet machine."""

from __future__ import annotations

import asyncio
import io
import logging
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pytest

from benchmarks import importing, memory, refusals, requests, routing, strangers, threads, verifying
from benchmarks.apps import PATH, Floor, starlette_app
from benchmarks.asgi import request_case
from benchmarks.chart import svg
from benchmarks.pool import material
from benchmarks.progress import Progress
from benchmarks.report import markdown, origin, plain
from benchmarks.rounds import Case
from benchmarks.row import QUICK, Effort, Row, Section

pytestmark = pytest.mark.slow

TINY = replace(QUICK, rounds=1, tokens=300, starts=1, valid=20)


@pytest.mark.parametrize(
    "measure",
    [
        verifying.measure,
        threads.measure,
        requests.measure,
        routing.measure,
        strangers.measure,
        refusals.measure,
        importing.measure,
        memory.measure,
    ],
)
def test_each_section_has_figures(
    measure: Callable[[Effort, Progress], Section], caplog: pytest.LogCaptureFixture
) -> None:
    # A benchmark turns the log down; this turns it up again when the test is over.
    caplog.set_level(logging.INFO, "cognito_guard")
    section = measure(TINY, Progress("test", io.StringIO()))

    assert all(row.value is not None for row in section.rows)
    assert section.title in plain(section)
    assert section.rows[-1].what in markdown([section], "python -m benchmarks")


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        (Row(what="no goal", value=1.0), None),
        (Row(what="not measured", value=None, at_most=1.0), None),
        (Row(what="just within", value=9.0, ratio=1.5, at_most=1.5), True),
        (Row(what="beyond", value=9.0, ratio=1.51, at_most=1.5), False),
        (Row(what="too little", value=9.0, ratio=0.79, at_least=0.8), False),
        (Row(what="no ratio", value=40.0, at_most=40.0), True),
    ],
)
def test_a_goal_is_reached_at_its_limit(row: Row, reached: bool | None) -> None:
    assert row.reached is reached


def test_the_chart_is_one_picture_of_what_was_measured() -> None:
    rows = (Row(what="joserfc", value=60.0, ratio=2.5), Row(what="missing", value=None, note="not measured"))
    section = Section(name="peers", title="", about="", rows=rows)

    drawing = ET.fromstring(svg([section]))  # noqa: S314 - made right here

    texts = [text.text or "" for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert texts[2:4] == ["joserfc", "2.50 x"]
    assert " ".join(texts[4:]) == origin()


def test_the_results_begin_with_the_goals() -> None:
    rows = (
        Row(what="sold", value=9.0, ratio=1.2, baseline="bread", at_most=1.5),
        Row(what="kept", value=9.0, unit="kg", at_least=9.5),
        Row(what="no goal", value=1.0),
    )

    page = markdown([Section(name="tea", title="Tea", about="", rows=rows)], "python -m benchmarks")

    assert (
        "## Goals\n\n| | measured | goal |\n| --- | ---: | ---: |\n| Tea: sold | 1.20 x bread | <= 1.5 |\n"
        "| Tea: kept | 9.00 kg | >= 9.5, missed |\n\n## Tea\n"
    ) in page
    assert origin() in page


def test_the_floor_serves_and_remembers() -> None:
    token = material(1).tokens[0]

    async def serve_twice() -> Case:
        return await request_case("floor", Floor(starlette_app()), PATH, [token, token], calls=2)

    assert asyncio.run(serve_twice()).calls == 2
