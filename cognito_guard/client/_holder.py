"""The current token: when it is used, when it is renewed, and which callers wait for the next one."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Final

from cognito_guard.client._backoff import ForcedPurchases
from cognito_guard.client._buyer import Buyer, Errand
from cognito_guard.client._failure import Failure
from cognito_guard.client._fork import renew_after_fork
from cognito_guard.client._job import Job
from cognito_guard.client._ledger import Ledger
from cognito_guard.client._seams import Seams
from cognito_guard.client._token import Token
from cognito_guard.errors import TokenRequestError

Outcome = Token | Failure | None
Steps = Generator[tuple[Job[Outcome], float], None, Outcome]

_LOST: Final = Failure("unavailable")
_NO_THREAD: Final = Failure("no_thread")
_TIMEOUT: Final = Failure("timeout", passing=True)
_SHORTEST_LOOK: Final = 0.2
_LONGEST_LOOK: Final = 5.0
_LOOK: Final = 0.02
_FAST_FAILURES: Final = 1.0


class Holder:
    """
    Holds one token. At most one job at a time gets the next one.

    Args:
        buyer: Gets tokens.
        ledger: Counts the calls.
        timeout: Seconds that a caller waits for a token.
        seams: The clocks.

    """

    def __init__(self, buyer: Buyer, ledger: Ledger, *, timeout: float, seams: Seams) -> None:
        self._buyer: Final = buyer
        self._count_call: Final = ledger.count_call
        self._timeout: Final = timeout
        self._seams: Final = seams
        self._clock: Final = seams.clock
        self._forced: Final = ForcedPurchases(seams.timer)
        self._lock = threading.Lock()
        self._held: Token | None = None
        self._job: Job[Outcome] | None = None
        self._job_began = 0.0
        self._next_look = float("-inf")
        self._fails_until = float("-inf")
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Make a new lock. The job continues in the parent; in the child it is not under way."""
        self._lock = threading.Lock()

    @property
    def expires_at(self) -> float | None:
        """When the current token expires; None if there is none."""
        held = self._held
        return None if held is None or self._clock() >= held.expires_at else held.expires_at

    def find(self) -> Token | None:
        """Return the current token if it can be sent. Start to renew it in the background if that is due."""
        held = self._held
        if held is None:
            return None
        now = self._clock()
        is_due = now >= held.renew_at
        if is_due and now >= held.usable_until:
            return None
        # Before the renewal, because its event shows the count.
        self._count_call()
        if is_due:
            self._renew(held)
        return held

    def wait(self) -> Wait:
        """Return a `Wait` for a token that can be sent. Its outcome is a token or a failure."""
        return Wait(self._obtain())

    def replace(self, refused: Token) -> Wait:
        """Return a `Wait` for a token other than *refused*, which got a 401. Its outcome may be None."""
        return Wait(self._replacement(refused))

    def exception(self, outcome: Failure | None) -> TokenRequestError:
        """Return the exception for a caller who waited and got no token."""
        failure = outcome or _TIMEOUT
        pause = max(0.0, self._buyer.barred.not_before - self._seams.timer())
        # Only a change of settings ends such a failure, so the time of the next attempt does not help the caller.
        return failure.exception(pause if failure.passing else None)

    def _renew(self, held: Token) -> None:
        if self._seams.timer() >= self._next_look:
            with suppress(RuntimeError):  # no thread can be started; the current token can still be used
                self._join(held, urgent=False)

    def _obtain(self) -> Steps:
        deadline = self._seams.timer() + self._timeout
        while True:
            # Read the token before that: _join sees whether it was replaced meanwhile.
            held = self._held
            token = self.find()
            if token is not None:
                return token
            failure = self._remembered(deadline)
            if failure is not None:
                return failure
            try:
                job = self._join(held, urgent=True)
            except RuntimeError:
                return _NO_THREAD
            if job is None:
                continue
            yield job, deadline - self._seams.timer()
            outcome = job.result
            if isinstance(outcome, Token):
                self._count_call()
                # Even if it expires soon: the callers who waited for it send it at once.
                return outcome
            if job.under_way or self._seams.timer() >= deadline:
                return outcome or _TIMEOUT
            if outcome is not None and not outcome.passing:
                return outcome

    def _replacement(self, refused: Token) -> Steps:
        held = self._held
        if held == refused:
            job = None
            with suppress(RuntimeError):  # no thread can be started; the 401 stands
                job = self._join(held, urgent=True, forced=True)
            if job is not None:
                yield job, self._timeout
            held = self._held
        return held if held is not None and held != refused and self._clock() < held.usable_until else None

    def _remembered(self, deadline: float) -> Failure | None:
        """Return the last failure if another attempt could not help this caller; then no thread is started."""
        now, barred = self._seams.timer(), self._buyer.barred
        failure = barred.failure
        if failure is None or now >= barred.not_before:
            return None
        # Another process may have stored a token, so one job per second looks into the store.
        hopeless = not failure.passing or barred.not_before >= deadline
        return failure if hopeless and now < self._fails_until else None

    def _join(self, held: Token | None, *, urgent: bool, forced: bool = False) -> Job[Outcome] | None:
        """
        Return the job under way, or a new one; None if *held* is not the current token any more, or no job is allowed.

        Raises:
            RuntimeError: No thread can be started.

        """
        with self._lock:
            if self._held is not held:
                return None
            now, job = self._seams.timer(), self._job
            # A job that takes longer than callers wait is stuck. Do not join it.
            if job is not None and job.under_way and now < self._job_began + self._timeout:
                return job
            if forced and not self._forced.allow():
                return None
            errand = Errand(held, urgent, now + self._timeout)
            self._next_look = now + _LONGEST_LOOK
            self._job_began = now
            self._job = job = Job[Outcome](lambda: self._run(errand), lost=_LOST, name="cognito-guard token")
            return job

    def _run(self, errand: Errand) -> Outcome:
        outcome = self._buyer.run(errand)
        now = self._seams.timer()
        # The lock makes this one step for _join: a caller that finds no job finds the token.
        with self._lock:
            if isinstance(outcome, Token):
                self._next_look = float("-inf")
                # An answer that comes late never replaces a newer token.
                if self._held is None or outcome.bought_at >= self._held.bought_at:
                    self._held = outcome
            elif outcome is None:
                self._next_look = now + self._pause(errand.held)
            else:
                self._next_look = self._buyer.barred.not_before
                self._fails_until = now + _FAST_FAILURES
        return outcome

    def _pause(self, held: Token | None) -> float:
        """Return the seconds until the store is asked again for a token that another process is buying."""
        life = 0.0 if held is None else held.expires_at - held.bought_at
        return min(_LONGEST_LOOK, max(_SHORTEST_LOOK, life * _LOOK)) * (1 + self._seams.random()) / 2


class Wait:
    """
    The steps of a caller's wait. Iterate, and wait for each job for the given seconds.

    Attributes:
        outcome: After the last step: a token, a failure, or None.

    """

    def __init__(self, steps: Steps) -> None:
        self._steps: Final = steps
        self.outcome: Outcome = None

    def __iter__(self) -> Iterator[tuple[Job[Outcome], float]]:
        self.outcome = yield from self._steps
