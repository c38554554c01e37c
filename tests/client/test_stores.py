"""What every store promises, and what each one does in addition."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis

from cognito_guard.client import FileStore, MemoryStore, RedisStore, StoredToken, TokenStore
from cognito_guard.client._fork import tell_all
from cognito_guard.errors import ConfigurationError

REDIS_SERVER = shutil.which("redis-server")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:  # pragma: no cover - where it is installed
    """A redis-server of Debian on a socket of its own."""
    if REDIS_SERVER is None:
        pytest.skip("redis-server is not installed")
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "socket"
    command = [REDIS_SERVER, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        for line in server.stdout:
            if "ready to accept connections" in line.lower():
                break
        yield f"unix://{path}"
        server.terminate()


class Stage:
    """A store, and how time passes for it."""

    def __init__(self, store: TokenStore, advance: Callable[[float], None]) -> None:
        self.store = store
        self.advance = advance


@pytest.fixture(params=["memory", "file", "fakeredis"])
def stage(request: pytest.FixtureRequest, clock: Any, timer: Any, tmp_path: Path) -> Iterator[Stage]:
    if request.param == "memory":
        yield Stage(MemoryStore(timer=timer), timer.advance)
    elif request.param == "file":
        yield Stage(FileStore(tmp_path / "tokens", clock=clock), clock.advance)
    else:
        with fakeredis.FakeRedis() as client:
            yield Stage(RedisStore(client), lambda seconds: let_redis_forget(client, seconds))


def let_redis_forget(client: Any, seconds: float) -> None:
    """Shorten the life of all entries, because the server's own clock cannot be moved."""
    for key in client.scan_iter():
        left = client.pttl(key) - int(seconds * 1000)
        if left > 0:
            client.pexpire(key, left)
        else:
            client.delete(key)


@pytest.fixture
def store(stage: Stage) -> TokenStore:
    return stage.store


# What each promises


def test_a_new_store_is_empty(store: TokenStore) -> None:
    assert store.get("key") is None


def test_a_stored_entry_is_returned(store: TokenStore) -> None:
    assert store.put("key", StoredToken(b"\x00sealed\xff", 1), 60)

    assert store.get("key") == StoredToken(b"\x00sealed\xff", 1)
    assert store.get("another") is None


def test_an_entry_ends_with_its_life(stage: Stage) -> None:
    stage.store.put("key", StoredToken(b"sealed", 1), 60)

    stage.advance(59)
    assert stage.store.get("key") is not None
    stage.advance(1)
    assert stage.store.get("key") is None


@pytest.mark.parametrize("late", [0, 4, 5])
def test_an_older_answer_does_not_replace_a_newer_one(store: TokenStore, late: int) -> None:
    store.put("key", StoredToken(b"new", 5), 60)

    assert store.put("key", StoredToken(b"old", late), 60) is False
    assert store.get("key") == StoredToken(b"new", 5)


def test_a_newer_answer_replaces_an_older_one(store: TokenStore) -> None:
    store.put("key", StoredToken(b"old", 9), 60)

    assert store.put("key", StoredToken(b"new", 10), 60) is True
    assert store.get("key") == StoredToken(b"new", 10)


def test_an_entry_that_has_ended_does_not_stand_in_the_way(stage: Stage) -> None:
    stage.store.put("key", StoredToken(b"old", 9), 60)
    stage.advance(60)

    assert stage.store.put("key", StoredToken(b"new", 1), 60)
    assert stage.store.get("key") == StoredToken(b"new", 1)


def test_one_owner_has_the_claim(store: TokenStore) -> None:
    assert store.claim("key", "one", 10)

    assert not store.claim("key", "two", 10)
    assert store.claim("another", "two", 10)


def test_a_claim_ends_with_its_time(stage: Stage) -> None:
    stage.store.claim("key", "one", 10)

    stage.advance(9)
    assert not stage.store.claim("key", "two", 10)
    stage.advance(1)
    assert stage.store.claim("key", "two", 10)


def test_its_owner_extends_a_claim(stage: Stage) -> None:
    stage.store.claim("key", "one", 10)
    stage.advance(9)

    assert stage.store.claim("key", "one", 10)
    stage.advance(9)
    assert not stage.store.claim("key", "two", 10)


def test_its_owner_shortens_a_claim(stage: Stage) -> None:
    stage.store.claim("key", "one", 10)
    assert stage.store.claim("key", "one", 2)

    stage.advance(2)
    assert stage.store.claim("key", "two", 10)


def test_a_claim_ends_when_its_owner_releases_it(store: TokenStore) -> None:
    store.claim("key", "one", 10)
    store.release("key", "one")

    assert store.claim("key", "two", 10)


def test_another_owner_cannot_release_a_claim(store: TokenStore) -> None:
    store.claim("key", "one", 10)
    store.release("key", "two")
    store.release("another", "one")

    assert not store.claim("key", "two", 10)


def test_a_claim_and_an_entry_do_not_touch_each_other(stage: Stage) -> None:
    stage.store.claim("key", "one", 10)
    stage.store.put("key", StoredToken(b"sealed", 1), 60)
    assert not stage.store.claim("key", "two", 10)

    stage.store.release("key", "one")
    assert stage.store.get("key") == StoredToken(b"sealed", 1)


def test_of_many_threads_one_has_the_claim_and_the_newest_answer_stays(store: TokenStore) -> None:
    claims: list[bool] = []

    def work(number: int) -> None:
        claims.append(store.claim("key", str(number), 10))
        store.put("key", StoredToken(b"sealed", number), 60)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claims) == [False] * 9 + [True]
    entry = store.get("key")
    assert entry is not None
    assert entry.generation == 9


# Memory


def test_memory_keeps_so_many_tokens(timer: Any) -> None:
    store = MemoryStore(2, timer=timer)
    for key in ("one", "two"):
        store.put(key, StoredToken(b"sealed", 1), 60)
    store.get("one")
    store.put("three", StoredToken(b"sealed", 1), 60)

    assert [store.get(key) is not None for key in ("one", "two", "three")] == [True, False, True]


def test_a_forked_child_keeps_the_tokens_and_forgets_the_claims(timer: Any) -> None:
    store = MemoryStore(timer=timer)
    store.put("key", StoredToken(b"sealed", 1), 60)
    store.claim("key", "thread of the parent", 10)
    # Another thread holds the lock while the process is forked.
    with store._lock:  # noqa: SLF001 - nothing public holds it for long enough
        tell_all()

        assert store.get("key") == StoredToken(b"sealed", 1)
        assert store.claim("key", "child", 10)


# File


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def file_store(path: Path, clock: Any) -> FileStore:
    return FileStore(path, clock=clock)


def test_the_file_is_for_its_owner_only(file_store: FileStore, path: Path) -> None:
    before = os.umask(0)
    try:
        file_store.put("key", StoredToken(b"sealed", 1), 60)
    finally:
        os.umask(before)

    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {
        "tokens": 0o600,
        "tokens.lock": 0o600,
    }


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o700, 0o644])
def test_a_file_that_others_can_open_is_not_used(path: Path, mode: int) -> None:
    path.touch()
    path.chmod(mode)

    with pytest.raises(ConfigurationError, match=f"of mode 0600, .* found mode {mode:04o}"):
        FileStore(path)


def test_a_link_is_not_used(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(0o600)
    path.symlink_to(target)

    with pytest.raises(ConfigurationError, match="must be a regular file"):
        FileStore(path)


@pytest.mark.parametrize("name", ["tokens", "tokens.lock"])
def test_a_link_that_comes_later_is_not_followed(file_store: FileStore, tmp_path: Path, name: str) -> None:
    target = tmp_path / "target"
    target.write_text("precious")
    (tmp_path / name).symlink_to(target)

    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        file_store.put("key", StoredToken(b"sealed", 1), 60)

    assert target.read_text() == "precious"


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the folder of the token file does not exist"):
        FileStore(tmp_path / "no" / "tokens")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b'{"key": 7}',
        b'{"key": {"sealed": 7, "generation": 1, "expires_at": 9e9}}',
        b'{"key": {"sealed": "!", "generation": 1, "expires_at": 9e9}}',
        b'{"key": {"generation": 1, "expires_at": 9e9}}',
        b'{"key": {"generation": "many", "expires_at": 9e9}}',
        b'{"key": {"sealed": "YQ==", "generation": 1, "expires_at": "later"}}',
        b'{"key": {"color": "red"}}',
    ],
)
def test_a_damaged_file_is_empty_and_is_replaced(file_store: FileStore, path: Path, content: bytes) -> None:
    path.write_bytes(content)

    assert file_store.get("key") is None
    assert file_store.claim("key", "one", 10)
    assert file_store.put("key", StoredToken(b"sealed", 2), 60)
    assert file_store.get("key") == StoredToken(b"sealed", 2)


def test_what_has_ended_leaves_the_file(file_store: FileStore, path: Path, clock: Any) -> None:
    file_store.put("old", StoredToken(b"sealed", 1), 60)
    file_store.claim("older", "one", 10)
    clock.advance(60)
    file_store.put("new", StoredToken(b"sealed", 1), 60)

    assert json.loads(path.read_text()).keys() == {"new"}


def test_a_clock_that_was_set_back_does_not_keep_a_claim_for_ever(file_store: FileStore, clock: Any) -> None:
    file_store.claim("key", "one", 10)
    clock.advance(-3600)

    assert file_store.claim("key", "two", 10)


def test_a_lock_that_is_held_is_waited_for(path: Path, clock: Any) -> None:
    with path.with_name("tokens.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        naps: list[float] = []

        def sleep(seconds: float) -> None:
            naps.append(seconds)
            if len(naps) == 3:
                fcntl.flock(lock, fcntl.LOCK_UN)

        assert FileStore(path, clock=clock, sleep=sleep).put("key", StoredToken(b"sealed", 1), 60)

    assert naps == [0.01] * 3


def test_a_lock_that_stays_held_is_given_up(path: Path, clock: Any) -> None:
    naps: list[float] = []
    with path.with_name("tokens.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError):
            FileStore(path, clock=clock, sleep=naps.append).claim("key", "one", 10)

    assert sum(naps) == pytest.approx(0.5)


def test_a_write_that_fails_leaves_the_file_as_it_was(file_store: FileStore, path: Path) -> None:
    file_store.put("key", StoredToken(b"sealed", 1), 60)
    unwritable: Any = object()

    with pytest.raises(TypeError, match="not JSON serializable"):
        file_store.put("another", StoredToken(b"sealed", unwritable), 60)

    assert file_store.get("key") == StoredToken(b"sealed", 1)
    assert sorted(each.name for each in path.parent.iterdir()) == ["tokens", "tokens.lock"]


def test_an_existing_file_is_used(file_store: FileStore, path: Path, clock: Any) -> None:
    file_store.put("key", StoredToken(b"sealed", 1), 60)

    assert FileStore(path, clock=clock).get("key") == StoredToken(b"sealed", 1)


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    script = """
import sys
from cognito_guard.client import FileStore, StoredToken
store = FileStore(sys.argv[1])
for number in range(10):
    assert store.put(f"{sys.argv[2]}-{number}", StoredToken(b"sealed", 1), 600)
"""
    commands = [[sys.executable, "-c", script, str(path), name] for name in ("one", "two")]
    processes = [subprocess.Popen(command) for command in commands]

    assert [process.wait(60) for process in processes] == [0, 0]
    assert len(json.loads(path.read_text())) == 20


def test_without_file_locks_another_store_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)

    with pytest.raises(ConfigurationError, match=r"^FileStore needs POSIX file locks; use RedisStore"):
        FileStore(path)


def test_a_file_store_says_its_path(path: Path) -> None:
    assert repr(FileStore(path)) == f"FileStore('{path}')"


# Redis


def test_redis_keys_have_a_prefix_and_an_end() -> None:
    with fakeredis.FakeRedis() as client:
        store = RedisStore(client, prefix="orders:")
        store.put("key", StoredToken(b"sealed", 1), 60)
        store.claim("key", "one", 10)

        assert sorted(client.keys()) == [b"orders:key:claim", b"orders:key:token"]
        assert 59_000 < client.pttl("orders:key:token") <= 60_000
        assert 9_000 < client.pttl("orders:key:claim") <= 10_000


def test_an_unavailable_redis_is_noticed_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    store = RedisStore(f"redis://127.0.0.1:{port}/0")

    with pytest.raises(redis.ConnectionError):
        store.get("key")


def test_a_redis_that_hangs_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        store = RedisStore(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", timeout=0.01)

        with pytest.raises(redis.TimeoutError):
            store.get("key")


@pytest.mark.parametrize("url", ["http://redis.example", "redis.example:6379", ""])
def test_the_error_about_another_url_does_not_show_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="must start with redis://") as caught:
        RedisStore(url)

    assert caught.value.__suppress_context__


def test_without_redis_py_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)

    with pytest.raises(
        ConfigurationError, match=r"^redis is not installed; install it with pip install 'cognito-guard\[redis\]'"
    ):
        RedisStore("redis://127.0.0.1")


@pytest.mark.slow
class TestRealRedis:  # pragma: no cover - skipped where redis-server is not installed
    """The same on the redis-server of Debian, which runs the scripts itself."""

    @pytest.fixture
    def client(self, redis_url: str) -> Iterator[redis.Redis]:
        with redis.Redis.from_url(redis_url) as client:
            yield client
            client.flushall()

    @pytest.fixture
    def store(self, client: redis.Redis) -> RedisStore:
        return RedisStore(client)

    def test_urls(self, redis_url: str, client: redis.Redis) -> None:
        store = RedisStore(redis_url, prefix="of-url:")
        assert store.claim("key", "one", 10)
        assert client.get("of-url:key:claim") == b"one"

    def test_generations(self, store: RedisStore) -> None:
        assert store.put("key", StoredToken(b"\x00two\xff", 2), 60)
        assert not store.put("key", StoredToken(b"one", 1), 60)
        assert not store.put("key", StoredToken(b"other two", 2), 60)
        assert store.get("key") == StoredToken(b"\x00two\xff", 2)
        assert store.put("key", StoredToken(b"ten", 10), 60)
        assert store.get("key") == StoredToken(b"ten", 10)

    def test_claims(self, store: RedisStore) -> None:
        assert store.claim("key", "one", 10)
        assert store.claim("key", "one", 10)
        assert not store.claim("key", "two", 10)
        store.release("key", "two")
        assert not store.claim("key", "two", 10)
        store.release("key", "one")
        assert store.claim("key", "two", 10)

    def test_lives(self, store: RedisStore, client: Any) -> None:
        store.put("key", StoredToken(b"sealed", 1), 60)
        store.claim("key", "one", 0.0001)

        assert 59_000 < client.pttl("cognito-guard:key:token") <= 60_000
        assert client.pttl("cognito-guard:key:claim") <= 1
