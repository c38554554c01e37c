"""
The calling side: gets access tokens with the client-credentials grant, buys each once and shares it.

`ClientCredentials` is an auth object for httpx and httpx2, and gives tokens and headers to other clients.
"""

from cognito_guard.client._credentials import ClientCredentials
from cognito_guard.client._events import TokenBought, TokenEvent, TokenRequestFailed, TokenShared
from cognito_guard.client._file_store import FileStore
from cognito_guard.client._ledger import ClientStatus
from cognito_guard.client._memory_store import MemoryStore
from cognito_guard.client._redis_store import RedisStore
from cognito_guard.client._seams import Seams
from cognito_guard.client._secrets import ClientSecret
from cognito_guard.client._store import StoredToken, TokenStore
from cognito_guard.errors import TokenRequestError

__all__ = [
    "ClientCredentials",
    "ClientSecret",
    "ClientStatus",
    "FileStore",
    "MemoryStore",
    "RedisStore",
    "Seams",
    "StoredToken",
    "TokenBought",
    "TokenEvent",
    "TokenRequestError",
    "TokenRequestFailed",
    "TokenShared",
    "TokenStore",
]
