"""The results as a picture: an SVG that follows the reader's light or dark theme."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.report import figure, origin
from benchmarks.row import Section

_WIDTH: Final = 800
_LEFT: Final = 300
_RIGHT: Final = 70
_BAR: Final = 16
_STEP: Final = 26
_HEAD: Final = 64
_FOOT: Final = 44
_LETTERS: Final = 120
"""How many characters fit into a line of the footer."""

_STYLE: Final = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .about { fill: #59636e; font-size: 12px }
  .ours { fill: #0969da } .other { fill: #afb8c1 }
  .line { stroke: #1f2328; stroke-dasharray: 2 3 }
  .strong { font-weight: 600 }
  .value { paint-order: stroke; stroke: #ffffff; stroke-width: 5px }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .about { fill: #9198a1 }
    .ours { fill: #4493f8 } .other { fill: #59636e }
    .line { stroke: #f0f6fc }
    .value { stroke: #0d1117 }
  }
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, and the text after it."""

    label: str
    value: float
    text: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars that share a scale, with a line at 1."""

    title: str
    about: str
    bars: tuple[Bar, ...]


def svg(sections: Sequence[Section]) -> str:
    """Return a chart of the cost of one token, here and elsewhere, and of the remaining capacity of a server."""
    by_name = {section.name: section for section in sections}
    panels = [panel for panel in (_tokens(by_name), _servers(by_name)) if panel.bars]
    height = sum(_HEAD + _STEP * len(panel.bars) + 12 for panel in panels) + _FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        "<title>What the guard costs, compared</title>",
        f"<style>{_STYLE}</style>",
    ]
    top = 0
    for panel in panels:
        parts.extend(_drawn(panel, top))
        top += _HEAD + _STEP * len(panel.bars) + 12
    parts.extend(
        f'<text class="about" x="8" y="{top + 16 + 16 * number}">{escape(line)}</text>'
        for number, line in enumerate(textwrap.wrap(origin(), _LETTERS))
    )
    return "\n".join([*parts, "</svg>", ""])


def _tokens(sections: dict[str, Section]) -> Panel:
    peers = sections.get("peers")
    bars = [
        Bar(row.what, row.ratio, f"{figure(row.ratio)} x", ours=row.what.startswith("cognito_guard"))
        for row in (peers.rows if peers else ())
        if row.ratio is not None and not row.what.startswith("bare")
    ]
    return Panel(
        "To verify one access token",
        "as a multiple of the RSA-2048 check alone, the dotted line; shorter is better",
        tuple(bars),
    )


def _servers(sections: dict[str, Section]) -> Panel:
    serving = sections.get("serving")
    bars = [
        Bar(row.what, row.ratio, f"{row.ratio:.0%}", ours=True)
        for row in (serving.rows if serving else ())
        if row.ratio is not None and not row.what.endswith("no guard")
    ]
    return Panel(
        "What is left of the capacity of uvicorn",
        "by the server's processor time per request; without a guard it is the dotted line; longer is better",
        tuple(bars),
    )


def _drawn(panel: Panel, top: int) -> Iterator[str]:
    scale = (_WIDTH - _LEFT - _RIGHT) / max(1.0, *(bar.value for bar in panel.bars))
    yield f'<text class="title" x="8" y="{top + 24}">{escape(panel.title)}</text>'
    yield f'<text class="about" x="8" y="{top + 43}">{escape(panel.about)}</text>'
    x, bottom = _LEFT + scale, top + _HEAD + _STEP * len(panel.bars)
    yield f'<line class="line" x1="{x:.1f}" x2="{x:.1f}" y1="{top + _HEAD - 6}" y2="{bottom - 4}"/>'
    for number, bar in enumerate(panel.bars):
        y = top + _HEAD + number * _STEP
        width = max(2.0, bar.value * scale)
        strong = ' class="strong"' if bar.ours else ""
        yield f'<text{strong} x="{_LEFT - 10}" y="{y + 12}" text-anchor="end">{escape(bar.label)}</text>'
        colour = "ours" if bar.ours else "other"
        yield f'<rect class="{colour}" x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3"/>'
        value = "value strong" if bar.ours else "value"
        yield f'<text class="{value}" x="{_LEFT + width + 8:.1f}" y="{y + 12}">{escape(bar.text)}</text>'
