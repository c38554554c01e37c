"""`docs/troubleshooting.md`: every reason has its section, and each block of code does what it says."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import example_app
from cognito_guard import errors

PAGE = (Path(example_app.__file__).parent.parent / "docs" / "troubleshooting.md").read_text()
BLOCKS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
REASONS = {reason for name in errors.__all__ for reason in getattr(getattr(errors, name), "_vocabulary", ())}


@pytest.fixture
def loggers() -> Iterator[None]:
    """Put both loggers back as they were."""
    root, ours = logging.getLogger(), logging.getLogger("cognito_guard")
    before = [(each, each.level, list(each.handlers)) for each in (root, ours)]
    yield
    for each, level, handlers in before:
        each.setLevel(level)
        each.handlers = handlers


def test_each_reason_has_an_anchor_and_a_section() -> None:
    sections = re.findall(
        r'^<a id="(.+)"></a>\n\n### `(.+)`\n\n\S.+\n\n\* \*\*Check:\*\* .+\n\* \*\*Fix:\*\* .+$', PAGE, re.MULTILINE
    )

    assert sections == [(reason, reason) for reason, _ in sections]
    assert {reason for reason, _ in sections} == REASONS
    assert len(sections) == len(REASONS)


@pytest.mark.usefixtures("loggers")
def test_six_lines_configure_logging() -> None:
    root = logging.getLogger()
    root.handlers = []

    exec(BLOCKS["logging_config.py"], {})  # noqa: S102

    [handler] = root.handlers
    record = logging.LogRecord("cognito_guard", logging.INFO, "", 1, "refused", (), None)
    assert handler.format(record).endswith(" INFO cognito_guard: refused")
    assert logging.getLogger("cognito_guard").isEnabledFor(logging.INFO)
    assert not logging.getLogger("another").isEnabledFor(logging.INFO)
    assert len([line for line in BLOCKS["logging_config.py"].splitlines() if line]) == 6


@pytest.mark.usefixtures("loggers")
def test_json_lines_have_the_fields() -> None:
    names: dict[str, Any] = {}
    exec(BLOCKS["json_logging.py"], names)  # noqa: S102
    record = logging.LogRecord("cognito_guard", logging.INFO, "", 1, "refused %d", (401,), None)
    record.reason = "expired"

    line = names["handler"].format(record)

    assert json.loads(line) == {"level": "INFO", "message": "refused 401", "reason": "expired"}
