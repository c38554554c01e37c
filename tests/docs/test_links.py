"""Links between the pages lead to files and headings that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").glob("*.md"))
OWN = re.compile(r"https://(?:github\.com|raw\.githubusercontent\.com)/cognito-guard/cognito-guard(?:/blob)?/main/")

LINK = re.compile(r"\]\(([^)\s]+)\)|<(?:img|source)\b[^>]*?(?:src|srcset)=\"([^\"]+)\"")


def prose(page: Path) -> str:
    """The page without its code, where brackets mean something else."""
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def targets(page: Path) -> list[str]:
    return [link or image for link, image in LINK.findall(prose(page))]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page, and those that it sets itself."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = [title.lower() for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)]
    made = {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in headings}
    return made | set(re.findall(r'<a id="([^"]+)"', text))


def broken(page: Path) -> list[str]:
    """The links of *page* within this repository that lead nowhere."""
    wrong = []
    for target in targets(page):
        local = OWN.sub("", target)
        if local == target and re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = local.partition("#")
        base = ROOT if local != target else page.parent
        file = (base / name).resolve() if name else page
        if not file.is_file() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_what_exists(page: Path) -> None:
    assert broken(page) == []


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    own = "https://github.com/cognito-guard/cognito-guard/blob/main"
    page.write_text(
        "# A page, with `code`\n\n[here](#a-page-with-code) [no](#nothing) [no](other.md) [out](https://example.com/x)\n"
        f"[no]({own}/docs/nothing.md) [no]({own}/README.md#nothing) [yes]({own}/SECURITY.md#what-counts)\n"
        '<img alt="" src="no.png">\n```text\n[code](nothing.md)\n```\n'
    )

    assert broken(page) == [
        "#nothing",
        "other.md",
        f"{own}/docs/nothing.md",
        f"{own}/README.md#nothing",
        "no.png",
    ]


@pytest.mark.parametrize("name", ["README.md", "SECURITY.md", "CONTRIBUTING.md"])
def test_pages_shown_outside_of_the_repository_have_absolute_links(name: str) -> None:
    assert targets(ROOT / name)
    assert [target for target in targets(ROOT / name) if not target.startswith("https://")] == []


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs" / "README.md"

    assert {target.partition("#")[0] for target in targets(index)} >= {
        page.name for page in (ROOT / "docs").glob("*.md") if page != index
    }
