"""Where log lines appear: on stderr without configuration, once with it."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cognito_guard._report import log

ROOT, OURS = logging.getLogger(), logging.getLogger("cognito_guard")


@contextmanager
def unconfigured() -> Iterator[None]:
    """As in a process that has configured no logging: pytest's own handlers, which it adds last, are set aside."""
    before = ROOT.handlers, ROOT.level, OURS.handlers, OURS.level, OURS.propagate, OURS.disabled
    ROOT.handlers, OURS.handlers = [], [log.fallback]
    OURS.setLevel(logging.NOTSET)
    try:
        yield
    finally:
        ROOT.handlers, _, OURS.handlers, _, OURS.propagate, OURS.disabled = before
        ROOT.setLevel(before[1])
        OURS.setLevel(before[3])
        logging.disable(logging.NOTSET)


def say(level: int = logging.INFO) -> None:
    if log.shows(level):
        log.write(level, "refused %d", 401, extra={"reason": "expired"})


def listening(to: logging.Logger, level: int) -> io.StringIO:
    stream = io.StringIO()
    to.addHandler(logging.StreamHandler(stream))
    to.setLevel(level)
    return stream


@unconfigured()
def test_without_configuration_a_line_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say()

    assert capsys.readouterr().err == "INFO:     cognito_guard: refused 401\n"


@unconfigured()
def test_without_configuration_debug_lines_are_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    say(logging.DEBUG)

    assert capsys.readouterr().err == ""


@unconfigured()
def test_lines_of_modules_that_use_the_logger_itself_are_shown_in_the_same_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    OURS.warning("starting without keys")
    logging.getLogger("cognito_guard.client").warning("no token")

    assert capsys.readouterr().err == (
        "WARNING:  cognito_guard: starting without keys\nWARNING:  cognito_guard.client: no token\n"
    )


@pytest.mark.parametrize("logger", [ROOT, OURS])
@unconfigured()
def test_with_configuration_a_line_is_there_once(capsys: pytest.CaptureFixture[str], logger: logging.Logger) -> None:
    say()
    stream = listening(logger, logging.INFO)
    say()

    assert capsys.readouterr().err == "INFO:     cognito_guard: refused 401\n"
    assert stream.getvalue() == "refused 401\n"


@pytest.mark.parametrize("logger", [ROOT, OURS])
@unconfigured()
def test_only_a_configured_level_decides(capsys: pytest.CaptureFixture[str], logger: logging.Logger) -> None:
    stream = listening(logger, logging.WARNING)
    say()

    assert stream.getvalue() == capsys.readouterr().err == ""


@unconfigured()
def test_a_handler_that_records_do_not_reach_does_not_count(capsys: pytest.CaptureFixture[str]) -> None:
    listening(ROOT, logging.INFO)
    OURS.propagate = False
    OURS.addHandler(logging.NullHandler())
    say()

    assert capsys.readouterr().err == "INFO:     cognito_guard: refused 401\n"


@unconfigured()
def test_a_level_without_a_handler_is_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    OURS.setLevel(logging.ERROR)
    say(logging.WARNING)

    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", ["manager", "logger"])
@unconfigured()
def test_a_logger_that_is_switched_off_stays_off(capsys: pytest.CaptureFixture[str], how: str) -> None:
    if how == "manager":
        logging.disable(logging.INFO)
    else:
        OURS.disabled = True
    say()

    assert capsys.readouterr().err == ""


@unconfigured()
def test_a_closed_stderr_is_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    before, sys.stderr = sys.stderr, io.StringIO()
    try:
        sys.stderr.close()
        say()
    finally:
        sys.stderr = before


@unconfigured()
def test_a_record_has_its_fields_and_its_place() -> None:
    records: list[logging.LogRecord] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    OURS.addHandler(Keeping())
    OURS.setLevel(logging.INFO)
    say()

    [record] = records
    assert (record.funcName, vars(record)["reason"]) == ("say", "expired")
