"""Verifies a token, and returns its caller."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final, NamedTuple

from cognito_guard._keys.fetch import Fetch
from cognito_guard._keys.issuers import Issuers
from cognito_guard._keys.key_set import KeySet
from cognito_guard._keys.policy import KeyPolicy
from cognito_guard._pool import UserPool
from cognito_guard._principal import Principal
from cognito_guard._report.reporter import Reporter
from cognito_guard._tokens.cache import TokenCache
from cognito_guard._tokens.claims import check_claims, principal_of
from cognito_guard._tokens.jws import MAX_TOKEN_LENGTH, KnownHeaders, check_max_token_length, parse
from cognito_guard.errors import ClaimError, ConfigurationError, MalformedTokenError, SignatureError

SCHEME: Final = b"Bearer "
"""What a token follows in the credentials that are remembered."""


class _Wanted(NamedTuple):
    """The token can be judged after *keys* have the key *kid*. Nothing of the token is kept while it waits."""

    keys: KeySet
    kid: str


class Verifier:
    """
    Judges access tokens of *pools*, each with that pool's own keys.

    Attributes:
        pools: The user pools whose tokens are accepted.
        max_token_length: The longest token that is accepted, in characters.
        issuers: The issuers whose tokens are accepted, and their keys.
        known_headers: Headers of tokens with a valid signature.

    Raises:
        ConfigurationError: There is no pool, two pools share an issuer, or an option is out of bounds.

    """

    def __init__(
        self,
        pools: Sequence[UserPool],
        *,
        leeway: float,
        token_cache: int,
        key_policy: KeyPolicy,
        reporter: Reporter,
        max_token_length: int = MAX_TOKEN_LENGTH,
        clock: Callable[[], float] | None = None,
        timer: Callable[[], float] = time.monotonic,
        fetch: Fetch | None = None,
    ) -> None:
        if not pools or not all(isinstance(pool, UserPool) for pool in pools):
            raise ConfigurationError(
                "CognitoGuard needs at least one user pool: CognitoGuard(UserPool('eu-central-1_AbCdEf123', "
                f"client_ids={{...}})); got {pools!r}"
            )
        if isinstance(leeway, bool) or not isinstance(leeway, int | float) or not 0 <= leeway < math.inf:
            raise ConfigurationError(f"leeway must be a number of seconds, zero or more, got {leeway!r}")
        self.pools: Final = tuple(pools)
        self.max_token_length: Final = check_max_token_length(max_token_length)
        self._longest: Final = len(SCHEME) + max_token_length
        self.policy: Final = key_policy
        self._leeway: Final = leeway
        self._clock: Final = clock
        self._reporter: Final = reporter
        self._cache: Final = TokenCache(token_cache)
        self.known_headers: Final = KnownHeaders()
        self.issuers: Final = Issuers(
            self.pools, key_policy, reporter, fetch=fetch, timer=timer, on_withdrawal=self._cache.clear
        )

    def recall(self, credentials: Sequence[bytes]) -> tuple[bytes | None, Principal | None]:
        """
        Return the caller with these *credentials*, if they were verified before, and the digest they are remembered by.

        The digest is None if they are not remembered: there is no Authorization header, there are several, or it is too
        long. The caller is None if they were not verified, if the token has expired, or if its key is no longer
        current. Then `verify` decides.

        Args:
            credentials: The values of a request's Authorization headers.

        """
        if len(credentials) != 1 or len(credentials[0]) > self._longest:
            return None, None
        digest = sha256(credentials[0]).digest()
        entry = self._cache.get(digest)
        if entry is None:
            return digest, None
        principal, keys, kid, key = entry
        # Ask the key set each time: the key may have been withdrawn or replaced since.
        if keys.get(kid) is not key:
            return digest, None
        # As `now`, without a frame for it.
        now = time.time() if self._clock is None else self._clock()
        if now >= principal.expires_at + self._leeway:
            return digest, None
        self._reporter.verified(principal)
        return digest, principal

    async def verify(self, token: str, digest: bytes | None = None) -> Principal:
        """
        Return the caller that *token* was issued to.

        Args:
            token: The token.
            digest: The digest that `recall` has returned for it without a caller, if it was asked.

        Raises:
            InvalidTokenError: The token is not accepted; see the subclasses.
            KeysUnavailableError: There are no keys to verify the token with, and none could be fetched.

        """
        verdict = self._judge(token, digest)
        while isinstance(verdict, _Wanted):
            await verdict.keys.find(verdict.kid)
            # Judge again from the start: time has passed, and waiting requests do not keep parsed claims in memory.
            verdict = self._judge(token, None)
        return verdict

    def _judge(self, token: str, digest: bytes | None) -> Principal | _Wanted:
        if not isinstance(token, str) or not token.isascii():
            raise MalformedTokenError("malformed")
        if len(token) > self.max_token_length:
            raise MalformedTokenError("oversized")
        presented = token.encode("ascii")
        if digest is None:
            digest, remembered = self.recall([SCHEME + presented])
            if remembered is not None:
                return remembered
        header, kid, payload, claims, signing_input, signature = parse(presented, self.known_headers)
        issuer = claims.get("iss")
        trusted = self.issuers.named.get(issuer) if type(issuer) is str else None
        if trusted is None:
            raise ClaimError("iss")
        pool, keys = trusted
        # Check claims before looking for the key: a token that is invalid anyway never causes a fetch.
        check_claims(claims, pool, self.now(), self._leeway)
        held = keys.get(kid)
        if held is None:
            return _Wanted(keys, kid)
        if not held.signed(signing_input, signature):
            raise SignatureError("signature")
        principal = principal_of(claims, payload)
        self.known_headers.remember(header, kid)
        # Never None: such a token is not too long.
        self._cache.put(digest, (principal, keys, kid, held), len(presented))  # type: ignore[arg-type]
        self._reporter.verified(principal)
        return principal

    def now(self) -> float:
        """Return the time, in seconds since the epoch, that times in tokens are compared with."""
        # `time.time` is looked up each time, so that tests which freeze time freeze it here.
        return time.time() if self._clock is None else self._clock()

    def seconds_left(self, principal: Principal) -> float:
        """Return for how many seconds the token of *principal* is still accepted; 0 or less if it has expired."""
        return principal.expires_at + self._leeway - self.now()

    def with_seams(self, *, fetch: Fetch, clock: Callable[[], float], timer: Callable[[], float]) -> Verifier:
        """Return a verifier with the same pools and options, without any keys and tokens yet."""
        return Verifier(
            self.pools,
            leeway=self._leeway,
            token_cache=self._cache.capacity,
            max_token_length=self.max_token_length,
            key_policy=self.policy,
            reporter=self._reporter,
            clock=clock,
            timer=timer,
            fetch=fetch,
        )
