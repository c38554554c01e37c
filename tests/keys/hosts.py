"""Look-ups of hosts that ask no resolver."""

from __future__ import annotations

import socket
from typing import Any


def on_this_machine(_: Any, port: int, **hints: Any) -> list[Any]:
    """Every host there is."""
    return socket.getaddrinfo("127.0.0.1", port, **hints)


def nowhere(*_: Any, **__: Any) -> list[Any]:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
