"""A store in Redis, for processes on many machines. Needs the extra `redis`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cognito_guard.client._store import StoredToken
from cognito_guard.errors import ConfigurationError

if TYPE_CHECKING:
    from redis import Redis

_PUT: Final = """
local kept = tonumber(redis.call('HGET', KEYS[1], 'generation') or '-1')
if kept >= tonumber(ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'sealed', ARGV[1], 'generation', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
"""
_CLAIM: Final = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_RELEASE: Final = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class RedisStore:
    """
    Keeps tokens in Redis or Valkey, shared by all processes that can reach it. The tokens are encrypted.

    Comparing and writing are one step, because Redis runs a script (`EVAL`) atomically.

    Args:
        redis: A URL such as `redis://host:6379/0`, or a `redis.Redis`. For a URL, the connection gives up after
            *timeout* and does not retry. Your own client keeps its settings; it must not decode responses.
        prefix: The start of all keys.
        timeout: Seconds that one answer of Redis may take. Only for a URL.

    Raises:
        ConfigurationError: redis-py is not installed, or the URL is not a Redis URL.

    """

    def __init__(self, redis: str | Redis, *, prefix: str = "cognito-guard:", timeout: float = 0.25) -> None:
        self._redis: Final[Any] = _connect(redis, timeout) if isinstance(redis, str) else redis
        self._prefix: Final = prefix

    def get(self, key: str) -> StoredToken | None:
        """Return the entry of *key*, or None."""
        sealed, generation = self._redis.hmget(self._token_key(key), "sealed", "generation")
        return None if sealed is None or generation is None else StoredToken(sealed, int(generation))

    def put(self, key: str, entry: StoredToken, lifetime: float) -> bool:
        """Keep *entry* for *lifetime* seconds. Return False if the store has one that is not older."""
        milliseconds = max(1, int(lifetime * 1000))
        return bool(self._redis.eval(_PUT, 1, self._token_key(key), entry.sealed, entry.generation, milliseconds))

    def claim(self, key: str, owner: str, seconds: float) -> bool:
        """Return whether *owner* may buy the next token, for *seconds* from now."""
        return bool(self._redis.eval(_CLAIM, 1, self._claim_key(key), owner, max(1, int(seconds * 1000))))

    def release(self, key: str, owner: str) -> None:
        """End the claim of *owner*, if it has one."""
        self._redis.eval(_RELEASE, 1, self._claim_key(key), owner)

    def _token_key(self, key: str) -> str:
        return f"{self._prefix}{key}:token"

    def _claim_key(self, key: str) -> str:
        return f"{self._prefix}{key}:claim"


def _connect(url: str, timeout: float) -> Redis:
    try:
        from redis import Redis  # noqa: PLC0415 - an extra
        from redis.backoff import NoBackoff  # noqa: PLC0415 - likewise
        from redis.retry import Retry  # noqa: PLC0415 - likewise
    except ImportError as error:
        raise ConfigurationError(
            "redis is not installed; install it with pip install 'cognito-guard[redis]'"
        ) from error
    try:
        return Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # If Redis is unavailable, the client buys a token. A retry would only make callers wait.
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        # The URL may contain a password, so it is not shown.
        raise ConfigurationError("the URL of the token store must start with redis://, rediss:// or unix://") from None
