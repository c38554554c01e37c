"""A store in a file, for the workers of one machine."""

from __future__ import annotations

import base64
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from cognito_guard.client._store import StoredToken
from cognito_guard.errors import ConfigurationError

_OWNER_ONLY: Final = 0o600
_LONGEST: Final = 4 * 1024 * 1024  # bytes; a thousand tokens
_LOCK_ATTEMPTS: Final = 50
_LOCK_PAUSE: Final = 0.01


class FileStore:
    """
    Keeps tokens in one file, for the worker processes of one machine. POSIX only.

    The file is readable and writable by its owner only (mode 0600), and tokens in it are encrypted. A second file, with
    `.lock` added to the name, is locked while the first is read and replaced. Use a local file system: locks do not
    work on every network file system.

    Args:
        path: The file. It is made at its first use; its folder must exist.
        clock: Seconds since the epoch, the same for all processes that share the file.
        sleep: Waits a number of seconds.

    Raises:
        ConfigurationError: The folder does not exist, others than the owner can open the file, or this is Windows.

    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._path: Final = Path(path).absolute()
        self._lock_path: Final = self._path.with_name(self._path.name + ".lock")
        self._clock: Final = clock
        self._sleep: Final = sleep
        self._fcntl: Final = _file_locks()
        if not self._path.parent.is_dir():
            raise ConfigurationError(f"the folder of the token file does not exist: {self._path.parent}")
        with suppress(FileNotFoundError):
            mode = stat.S_IMODE(self._path.lstat().st_mode)
            if not stat.S_ISREG(self._path.lstat().st_mode) or mode & ~_OWNER_ONLY:
                raise ConfigurationError(
                    f"{self._path} must be a regular file of mode 0600, because it holds tokens; found mode {mode:04o}"
                )

    def __repr__(self) -> str:
        return f"FileStore({str(self._path)!r})"

    def get(self, key: str) -> StoredToken | None:
        """Return the entry of *key*, or None."""
        # The file is replaced as a whole, so reading needs no lock.
        record = self._read().get(key, {})
        return _entry(record) if record.get("expires_at", 0.0) > self._clock() else None

    def put(self, key: str, entry: StoredToken, lifetime: float) -> bool:
        """Keep *entry* for *lifetime* seconds. Return False if the store has one that is not older."""
        with self._locked():
            records = self._read()
            record = records.get(key, {})
            now = self._clock()
            if record.get("expires_at", 0.0) > now and record.get("generation", 0) >= entry.generation:
                return False
            records[key] = record | {
                "sealed": base64.b64encode(entry.sealed).decode("ascii"),
                "generation": entry.generation,
                "expires_at": now + lifetime,
            }
            self._write(records, now)
        return True

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        """Return whether *owner* may buy the next token, for *seconds* from now."""
        with self._locked():
            records = self._read()
            record = records.get(key, {})
            now = self._clock()
            # A claim from the future does not count: the clock has been set back since.
            remaining = record.get("claimed_until", 0.0) - now
            if record.get("claimed_by") != owner and 0 < remaining <= max(seconds, record.get("claimed_for", 0.0)):
                return False
            claim = {"claimed_by": owner, "claimed_until": now + seconds, "claimed_for": seconds}
            records[key] = record | claim
            self._write(records, now)
        return True

    def release(self, key: str, owner: str) -> None:
        """End the claim of *owner*, if it has one."""
        with self._locked():
            records = self._read()
            record = records.get(key, {})
            if record.get("claimed_by") == owner:
                records[key] = {name: value for name, value in record.items() if not name.startswith("claimed_")}
                self._write(records, self._clock())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        # O_NOFOLLOW: in a folder that other users can write to, the name could be a link to one of our files.
        descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            self._lock(descriptor)
            try:
                yield
            finally:
                # Closing is not enough: a child that was forked meanwhile has the same open file.
                self._fcntl.flock(descriptor, self._fcntl.LOCK_UN)
        finally:
            os.close(descriptor)

    def _lock(self, descriptor: int) -> None:
        for _ in range(_LOCK_ATTEMPTS):
            with suppress(BlockingIOError):
                self._fcntl.flock(descriptor, self._fcntl.LOCK_EX | self._fcntl.LOCK_NB)
                return
            self._sleep(_LOCK_PAUSE)
        raise TimeoutError("the lock file of the token store is held by another process")

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return {}
        with os.fdopen(descriptor, "rb") as file:
            text = file.read(_LONGEST)
        try:
            records = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(records, dict):
            return {}
        return {key: record for key, record in records.items() if _is_record(record)}

    def _write(self, records: dict[str, dict[str, Any]], now: float) -> None:
        kept = {key: record for key, record in records.items() if _last_use(record) > now}
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                json.dump(kept, file)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _file_locks() -> Any:
    try:
        return import_module("fcntl")
    except ImportError as error:  # Windows
        raise ConfigurationError("FileStore needs POSIX file locks; use RedisStore on this platform") from error


def _is_record(record: object) -> bool:
    types = {
        "sealed": str,
        "generation": int,
        "expires_at": int | float,
        "claimed_by": str,
        "claimed_until": int | float,
        "claimed_for": int | float,
    }
    return isinstance(record, dict) and all(
        name in types and isinstance(value, types[name]) for name, value in record.items()
    )


def _entry(record: dict[str, Any]) -> StoredToken | None:
    try:
        return StoredToken(base64.b64decode(record["sealed"], validate=True), record["generation"])
    except (KeyError, ValueError):
        return None


def _last_use(record: dict[str, Any]) -> float:
    return max(float(record.get("expires_at", 0.0)), float(record.get("claimed_until", 0.0)))
