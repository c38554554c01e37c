"""Gets a token: from the store if another process has bought one, else from the token endpoint."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final

from cognito_guard.client._answer import Grant
from cognito_guard.client._backoff import Backoff
from cognito_guard.client._bounded_store import BoundedStore
from cognito_guard.client._failure import Failure
from cognito_guard.client._ledger import Ledger
from cognito_guard.client._seal import Seal
from cognito_guard.client._seams import Seams
from cognito_guard.client._secrets import Secrets
from cognito_guard.client._store import StoredToken
from cognito_guard.client._token import Token, renewal_fraction
from cognito_guard.client._token_request import TokenRequest

_POLL: Final = 0.08
_LONGEST_POLL: Final = 0.4


@dataclass(frozen=True, slots=True)
class Errand:
    """
    Why a token is needed.

    Attributes:
        held: The current token, or None.
        urgent: Whether callers are waiting, because the current token has expired or the API refused it.
        deadline: When waiting ends, in monotonic seconds.

    """

    held: Token | None
    urgent: bool
    deadline: float


class Buyer:
    """
    Runs errands one after another, on threads that may block.

    Args:
        key: The cache key.
        secrets: Reads the client's secrets.
        request: Asks the token endpoint.
        store: Where processes share tokens.
        ledger: Records what happened.
        patience: Seconds that one token request may take. Also how long to wait for a purchase of another process.
        seams: Clocks, sleep and randomness.

    """

    def __init__(
        self,
        key: str,
        *,
        secrets: Secrets,
        request: TokenRequest,
        store: BoundedStore,
        ledger: Ledger,
        patience: float,
        seams: Seams,
    ) -> None:
        self._key: Final = key
        self._secrets: Final = secrets
        self._request: Final = request
        self._store: Final = store
        self._ledger: Final = ledger
        self._patience: Final = patience
        self._seams: Final = seams
        self._of_secrets: Final = Backoff(seams)
        self._of_requests: Final = Backoff(seams)
        # Two requests, one per secret, and some time to store the answer.
        self._claim_for: Final = 2 * patience + 1
        self._name: Final = token_hex(8)

    @property
    def barred(self) -> Backoff:
        """The failure that delays the next request, if any, and until when."""
        return max(self._of_secrets, self._of_requests, key=lambda backoff: backoff.not_before)

    def run(self, errand: Errand) -> Token | Failure | None:
        """
        Return a token, a failure, or None if another process is buying a token and no caller waits for it here.

        An urgent errand waits until its deadline, for another process or for the next attempt. Any other errand asks
        once.
        """
        secrets = self._read_secrets(errand)
        if isinstance(secrets, Failure):
            return secrets
        seal = Seal(secrets, self._key, renewal_fraction(self._seams.random(), bought=False))
        # The process that has the claim may hang. Do not wait for it longer than this.
        patient_until = self._seams.timer() + self._patience
        poll = _POLL
        while (token := self._find(seal, errand)[0]) is None:
            now = self._seams.timer()
            not_before = self._of_requests.not_before
            if now < not_before:
                if (failure := self._of_requests.gives_up(errand.urgent, errand.deadline)) is not None:
                    return failure
                pause = not_before - now
            elif self._claim(self._claim_for) or (errand.urgent and now >= patient_until):
                outcome = self._buy(secrets, seal, errand)
                if isinstance(outcome, Token):
                    return outcome
                continue
            elif errand.urgent:
                pause = _LONGEST_POLL
            else:
                return None
            # Wait in small steps and look into the store after each: another process may have succeeded.
            self._seams.sleep(min(pause, poll * (1 + self._seams.random()) / 2))
            poll = min(_LONGEST_POLL, poll * 1.5)
        self._ledger.note_shared(token.expires_at - self._seams.clock())
        return token

    def _read_secrets(self, errand: Errand) -> Sequence[str] | Failure:
        backoff = self._of_secrets
        while True:
            pause = backoff.not_before - self._seams.timer()
            if pause <= 0:
                secrets = self._secrets.read()
                if not isinstance(secrets, Failure):
                    backoff.note_success()
                    return secrets
                self._ledger.note_failed(secrets, backoff.note_failure(secrets))
            elif (failure := backoff.gives_up(errand.urgent, errand.deadline)) is not None:
                return failure
            else:
                self._seams.sleep(pause)

    def _find(self, seal: Seal, errand: Errand) -> tuple[Token | None, int]:
        """Return the stored token if it serves *errand*, and the generation of the stored entry."""
        entry = self._store.get(self._key)
        if entry is None:
            return None, 0
        token = seal.open(entry.sealed)
        return (token if token is not None and self._serves(token, errand) else None), entry.generation

    def _serves(self, token: Token, errand: Errand) -> bool:
        if errand.held is not None and token.bought_at <= errand.held.bought_at:
            return False
        # If no caller waits, do not take a token that is due for renewal itself: it would be replaced next.
        return self._seams.clock() < (token.usable_until if errand.urgent else token.renew_at)

    def _claim(self, seconds: float) -> bool:
        return self._store.claim(self._key, self._owner, seconds)

    def _release(self) -> None:
        self._store.release(self._key, self._owner)

    @property
    def _owner(self) -> str:
        return f"{self._name}-{os.getpid()}"  # a forked child is another owner

    def _buy(self, secrets: Sequence[str], seal: Seal, errand: Errand) -> Token | Failure:
        # Look again, now that no other process may buy: one may have stored a token since the last look.
        found, generation = self._find(seal, errand)
        if found is not None:
            self._release()
            self._ledger.note_shared(found.expires_at - self._seams.clock())
            return found
        asked_at = self._seams.clock()
        outcome = self._ask(secrets)
        if isinstance(outcome, Failure):
            pause = self._of_requests.note_failure(outcome)
            self._ledger.note_failed(outcome, pause)
            if outcome.passing:
                # The claim stops the other processes too. Otherwise the whole fleet would ask an endpoint that is over
                # quota.
                self._claim(pause)
            else:
                self._release()
            return outcome
        self._of_requests.note_success()
        self._ledger.note_bought(outcome.lifetime)
        fraction = renewal_fraction(self._seams.random(), bought=True)
        token = Token(outcome.value, asked_at, asked_at + outcome.lifetime, fraction)
        kept = self._store.put(self._key, StoredToken(seal.close(token), generation + 1), outcome.lifetime)
        self._release()
        # If the store does not keep it, this answer came late and there is a newer token.
        return token if kept else self._find(seal, errand)[0] or token

    def _ask(self, secrets: Sequence[str]) -> Grant | Failure:
        first, *others = secrets
        outcome = self._request.send(first, secrets)
        for secret in others:
            # During a rotation one of the two secrets may not be active yet, or no longer.
            if isinstance(outcome, Failure) and outcome.error == "invalid_client":
                outcome = self._request.send(secret, secrets)
        return outcome
