"""The pytest hooks that run between tests while the fixtures are in use."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

import pytest

from cognito_guard._pool import FIXTURE_POOL_ID
from cognito_guard.testing._takeover import pools_of

if TYPE_CHECKING:
    from cognito_guard.testing._stand_in import StandIn

MADE_UP_POOL: Final = FIXTURE_POOL_ID
"""The user pool of the default fixture `guard`, for tests that do not override it."""


class BetweenTests:
    """
    A pytest plugin, registered as long as *stand_in* exists.

    If the fixtures live longer than one test, each test starts with the clock, faults and keys of the start. If a test
    fails and the guard has not seen any of its tokens, the report of the test says so.

    Args:
        stand_in: The stand-in of the fixtures.

    """

    def __init__(self, stand_in: StandIn) -> None:
        self._stand_in: Final = stand_in
        self._restore: Final = stand_in.remember()
        self._begin()

    def _begin(self) -> None:
        self._made_before = self._stand_in.tokens_made
        self._judged_before = self._stand_in.times_judged

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Reset the stand-in for the next test. The first test has made the stand-in, so this is not called for it."""
        self._restore()
        self._begin()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add a section to the report of a failed test if its tokens never reached the guard."""
        report = yield
        if report.failed and self._missed_the_guard():
            report.sections.append(("cognito_guard", self._explanation()))
        return report

    def _missed_the_guard(self) -> bool:
        made, judged = self._stand_in.tokens_made, self._stand_in.times_judged
        # A client of the whole session got its token earlier. In that case, look whether the guard has seen any token
        # yet.
        return judged == self._judged_before and (made > self._made_before or (made > 0 and judged == 0))

    def _explanation(self) -> str:
        pool_ids = [pool.pool_id for pool in pools_of(self._stand_in.guard)]
        found = (
            "No token of this test reached the guard that the tokens were made for, the one that the fixture `guard` "
            f"returns (user pool {', '.join(pool_ids)}).\n"
        )
        if pool_ids == [MADE_UP_POOL]:
            return (
                f"{found}That guard is made up, because no conftest.py that applies to this test overrides the fixture."
                "\nWrite one that returns the guard of your app, or guard_of(app):\n\n"
                "    @pytest.fixture\n    def guard():\n        return my_app.guard\n"
            )
        return (
            f"{found}Is it the guard of the app that the test calls? guard_of(app) returns the one installed there.\n"
        )
