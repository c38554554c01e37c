"""The logger `cognito_guard`, which is also seen where an app configures no logging."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

logger: Final = logging.getLogger("cognito_guard")


class Fallback(logging.Handler):
    """
    Writes to stderr what no other handler would show.

    uvicorn configures its own loggers only, and the last resort of `logging` shows warnings and errors only. Whether
    there is another handler is decided for each record, so that nothing is shown twice once logging is configured.
    """

    def handle(self, record: logging.LogRecord) -> bool:
        """Write *record*, unless another handler has shown it."""
        # Asked before the lock of the handler is taken, which is for writing.
        at = logger if record.name == logger.name else logging.getLogger(record.name)
        return self.is_spare(at) and bool(super().handle(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Write *record*."""
        # Not handleError, which writes to stderr: where a line cannot be written, its error cannot.
        with suppress(Exception):
            # The level as uvicorn writes it.
            sys.stderr.write(f"{record.levelname + ':':<9} {record.name}: {self.format(record)}\n")
            sys.stderr.flush()

    def is_spare(self, at: logging.Logger) -> bool:
        """Return whether no other handler takes the records of the logger *at*."""
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
    """Return whether a record of *level* will be written: from INFO on, where nobody has configured logging."""
    if logger.isEnabledFor(level):
        return True
    least = logger.level or logging.INFO
    return level >= least and level > logger.manager.disable and not logger.disabled and fallback.is_spare(logger)


def write(level: int, message: str, *values: object, extra: Mapping[str, Any] | None = None) -> None:
    """Write a record that `shows` lets through; the levels of other loggers are not asked again."""
    # The caller's frame, which logging itself finds by going through all frames of its own first.
    caller = sys._getframe(1)  # noqa: SLF001 - documented
    path, function = caller.f_code.co_filename, caller.f_code.co_name
    logger.handle(logger.makeRecord(logger.name, level, path, caller.f_lineno, message, values, None, function, extra))
