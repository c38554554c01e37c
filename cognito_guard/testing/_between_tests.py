"""What pytest does between tests while the fixtures are in use."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

import pytest

from cognito_guard._pool import FIXTURE_POOL_ID
from cognito_guard.testing._takeover import pools_of

if TYPE_CHECKING:
    from cognito_guard.testing._stand_in import StandIn

MADE_UP_POOL: Final = FIXTURE_POOL_ID
"""The user pool of the guard that tests get if they do not override the fixture `guard`."""


class BetweenTests:
    """
    Plugin of pytest, registered for as long as *stand_in* is in place.

    At scopes wider than a function, each test starts with the clock, the faults and the keys that the stand-in began
    with. A test that fails without the guard having seen any of its tokens says so in its report.

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
        """Start the next test afresh. The first one set up the stand-in itself, and does not come past here."""
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
        # A session-wide client got its token long ago: then it counts whether the guard saw any so far.
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
                "\nReturn the guard of your app, or guard_of(app), from it:\n\n"
                "    @pytest.fixture\n    def guard():\n        return my_app.guard\n"
            )
        return (
            f"{found}Is it the guard of the app that the test calls? guard_of(app) returns the one installed there.\n"
        )
