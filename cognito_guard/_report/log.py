"""The logger `cognito_guard`. Its lines are visible even if the app configures no logging."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

logger: Final = logging.getLogger("cognito_guard")


class Fallback(logging.Handler):
    """
    Writes to stderr the records that no other handler would show.

    uvicorn configures only its own loggers, and `logging.lastResort` shows only warnings and errors. This handler looks
    for another one at each record, so that nothing is shown twice after logging is configured.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """Write *record*, unless another handler has shown it."""
        # Before the handler's lock is taken: that is only needed to write.
        at = logger if record.name == logger.name else logging.getLogger(record.name)
        return self.is_spare(at) and bool(super().handle(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*."""
        # Do not call handleError: it also writes to stderr, so it would fail too.
        with suppress(Exception):
            # Write the level like uvicorn.
            sys.stderr.write(f"{record.levelname + ':':<9} {record.name}: {self.format(record)}\n")
            sys.stderr.flush()

    def is_spare(self, at: logging.Logger) -> bool:
        """Return whether no other handler gets the records of the logger *at*."""
        current: logging.Logger | None = at
        while current is not None:
            for handler in current.handlers:
                if handler is not self and not isinstance(handler, logging.NullHandler):
                    return False
            current = current.parent if current.propagate else None
        return True


fallback: Final = Fallback()
logger.addHandler(fallback)


def shows(level: int) -> bool:
    """Return whether a record of *level* will be written. Without logging configuration: from INFO on."""
    if logger.isEnabledFor(level):
        return True
    least = logger.level or logging.INFO
    return level >= least and level > logger.manager.disable and not logger.disabled and fallback.is_spare(logger)


def write(level: int, message: str, *values: object, extra: Mapping[str, Any] | None = None) -> None:
    """Write a record for which `shows` is True. Levels are not checked again."""
    # The caller's frame, directly: logging itself walks through all of its own frames to find it.
    caller = sys._getframe(1)  # noqa: SLF001 - documented
    path, function = caller.f_code.co_filename, caller.f_code.co_name
    logger.handle(logger.makeRecord(logger.name, level, path, caller.f_lineno, message, values, None, function, extra))
