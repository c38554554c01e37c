"""`docs/console.md`: its pictures exist, and it names what the page and the package name."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

import example_app
from cognito_guard.local._flaws import FLAWS

DOCS = Path(example_app.__file__).parent.parent / "docs"
GUIDE = (DOCS / "console.md").read_text()
PAGE = (files("cognito_guard.local") / "console" / "page.html").read_text(encoding="utf-8")
PICTURES = sorted(path.name for path in (DOCS / "images").glob("console-*.png"))


def test_the_guide_shows_each_picture_that_there_is() -> None:
    assert sorted(set(re.findall(r"images/([\w-]+\.png)", GUIDE))) == PICTURES


def test_each_scene_is_shown_wide_and_narrow_light_and_dark() -> None:
    scenes = ("eight-clients", "fault", "idle", "refused")

    assert [
        f"console-{scene}-{width}-{scheme}.png"
        for scene in scenes
        for width in (1280, 390)
        for scheme in ("dark", "light")
    ] == PICTURES


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_small(name: str) -> None:
    assert (DOCS / "images" / name).stat().st_size <= 150_000


def test_the_guide_names_each_flaw_and_its_reason() -> None:
    assert dict(re.findall(r"^\| (.+) \| `(.+)` \|$", GUIDE, re.MULTILINE)) == {
        flaw.label: flaw.reason for flaw in FLAWS.values()
    }


@pytest.mark.parametrize("heading", ["Get a token", "Check a token", "Last requests", "Faults"])
def test_the_panels_have_the_names_of_the_guide(heading: str) -> None:
    assert f"## {heading}\n" in GUIDE
    assert f">{heading}</h2>" in PAGE


@pytest.mark.parametrize("control", ["Other scopes", "Valid for (seconds)", "Make it invalid", "Add a client"])
def test_the_controls_have_the_names_of_the_guide(control: str) -> None:
    assert f"*{control}*" in GUIDE
    assert f">{control}" in PAGE
