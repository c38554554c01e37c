"""Runs another program beside the local Cognito: it gets our signals, and we end with its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

from cognito_guard.errors import ConfigurationError
from cognito_guard.local._signals import Signals

_STDIN = 0


def is_in_foreground() -> bool:
    """Return whether this process has a terminal that sends Ctrl-C to it and to its children."""
    try:
        return os.tcgetpgrp(_STDIN) == os.getpgrp()
    except OSError:
        return False


def run_beside(
    command: Sequence[str],
    environ: Mapping[str, str],
    signals: Signals,
    *,
    has_terminal: Callable[[], bool] = is_in_foreground,
) -> int:
    """
    Run *command* until it ends, and return its exit code.

    If a signal ended it, that is 128 plus the number of the signal, as in shells.

    Args:
        command: The program and its arguments. No shell is used.
        environ: All environment variables of the program.
        signals: The signals that are forwarded to it.
        has_terminal: Whether a terminal sends Ctrl-C to both processes.

    Raises:
        ConfigurationError: The program cannot be started.

    """
    try:
        child = subprocess.Popen(command, env=dict(environ))  # noqa: S603 - the command is the user's own
    except OSError as error:
        raise ConfigurationError(f"{command[0]} cannot be started: {error.strerror}") from error

    def wait() -> None:
        child.wait()
        signals.wake()

    waiting = threading.Thread(target=wait, name=f"waiting for {command[0]}")
    waiting.start()
    for number in signals:
        # A terminal sends Ctrl-C to the program too. A second one would make uvicorn quit at once.
        if number != signal.SIGINT or not has_terminal():
            child.send_signal(number)
    waiting.join()
    return child.returncode if child.returncode >= 0 else 128 - child.returncode
