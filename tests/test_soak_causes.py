"""The soak test finds a cause for a refusal only if the policy of the keys gives one."""

from __future__ import annotations

import pytest

from benchmarks.causes import LAG, Attempt, Refusal, cause

NO_KEYS = "no keys held: status 500"
FAILED = "unknown key, in the cooldown after an attempt that failed"
OLDER = "unknown key, in the cooldown after an attempt that brought older keys"


def fetched(at: float, *kids: str) -> Attempt:
    return Attempt(at, at + 5.0, at + 45.0, list(kids), "", usable=True)


def failed(at: float, wait: float, *, usable: bool) -> Attempt:
    return Attempt(at, at + wait, 0.0, [], "https://keys.example/jwks.json: status 500", usable=usable)


def refused(status: int, began: float, ended: float) -> Refusal:
    return Refusal("calm", "new", status, began, ended)


# Keys of 100 run out at 145; the attempt that this starts has failed at 145.2; the next may start at 146.
OUTAGE = [fetched(100.0, "new"), failed(141.0, 4.0, usable=True), failed(145.2, 0.8, usable=False)]
# The same one, with the failure that the waiting requests got at 151, and the keys that those after 153 got at 153.1.
RECOVERY = [*OUTAGE, failed(151.0, 2.0, usable=False), fetched(153.1, "new")]


@pytest.mark.parametrize(
    ("began", "ended", "found"),
    [
        pytest.param(144.8, 144.99, None, id="keys-are-held"),
        pytest.param(144.8, 145.0, NO_KEYS, id="keys-run-out-meanwhile"),
        pytest.param(145.05, 145.2, NO_KEYS, id="waits-for-the-attempt-that-fails"),
        pytest.param(145.99, 146.01, NO_KEYS, id="in-the-back-off"),
        pytest.param(146.0, 146.02, None, id="an-attempt-may-start"),
        pytest.param(150.0, 151.0, NO_KEYS, id="waits-for-a-later-attempt"),
        pytest.param(152.99, 153.11, NO_KEYS, id="just-before-keys-come"),
        pytest.param(153.0, 153.2, None, id="would-have-waited-for-keys"),
        pytest.param(153.1, 153.2, None, id="keys-have-come"),
    ],
)
def test_503_has_a_cause_while_no_keys_are_held_and_no_attempt_may_start(
    began: float, ended: float, found: str | None
) -> None:
    assert cause(refused(503, began, ended), RECOVERY) == found


def test_503_before_any_attempt_has_no_cause() -> None:
    assert cause(refused(503, 1.0, 1.1), []) is None


def test_503_has_no_cause_while_one_key_set_follows_another() -> None:
    # All the time there are keys, though none of the sets is held all the time.
    account = [fetched(100.0, "new"), fetched(144.9, "new"), failed(145.1, 4.8, usable=True)]

    assert cause(refused(503, 144.0, 146.0), account) is None


@pytest.mark.parametrize(
    ("began", "found"),
    [
        pytest.param(144.99, NO_KEYS, id="found-it-while-keys-were-held"),
        pytest.param(145.0, None, id="came-when-the-keys-had-gone"),
    ],
)
def test_the_cooldown_of_keys_that_have_gone_is_no_cause_of_503(began: float, found: str | None) -> None:
    account = [fetched(100.0, "new"), failed(144.0, 4.0, usable=True)]

    assert cause(refused(503, began, 145.1), account) == found


@pytest.mark.parametrize(
    ("began", "ended", "found"),
    [
        pytest.param(99.3, 99.99 - LAG, None, id="before-any-keys"),
        pytest.param(99.3, 100.0 - LAG, OLDER, id="the-account-lags"),
        pytest.param(104.99, 105.1, OLDER, id="in-the-cooldown"),
        pytest.param(105.0, 105.1, None, id="an-attempt-may-start"),
        pytest.param(110.0, 110.5, FAILED, id="waits-for-an-attempt-that-fails"),
        pytest.param(114.99, 115.3, FAILED, id="in-the-cooldown-after-a-failure"),
        pytest.param(115.0, 115.3, None, id="waits-for-keys"),
        pytest.param(115.31, 115.4, None, id="the-guard-told-of-the-key"),
    ],
)
def test_401_has_a_cause_while_the_key_is_unknown_and_no_attempt_may_start(
    began: float, ended: float, found: str | None
) -> None:
    account = [fetched(100.0, "old"), failed(110.5, 4.5, usable=True), fetched(115.3, "old", "new")]

    assert cause(refused(401, began, ended), account) == found


def test_503_has_no_cause_if_the_next_keys_came_meanwhile() -> None:
    assert cause(refused(503, 144.9, 145.2), [fetched(100.0, "new"), fetched(145.1, "new")]) is None


@pytest.mark.parametrize("status", [401, 503])
def test_the_cause_is_the_last_failure(status: int) -> None:
    first, last = failed(145.1, 0.5, usable=False), failed(145.9, 1.4, usable=False)
    account = [fetched(100.0, "old"), first, last._replace(error="https://keys.example: timed out")]
    causes = {401: FAILED, 503: "no keys held: timed out"}

    assert cause(refused(status, 144.9, 146.0), account) == causes[status]


def test_401_in_the_cooldown_of_two_attempts_is_due_to_the_later_one() -> None:
    account = [fetched(100.0, "old"), failed(105.2, 4.8, usable=True)]

    assert cause(refused(401, 104.9, 105.3), account) == FAILED


@pytest.mark.parametrize(("began", "ended"), [(105.1, 105.2), (110.4, 110.6)])
def test_a_key_that_was_told_of_stays_known_though_the_next_attempt_ends_soon_after(began: float, ended: float) -> None:
    account = [fetched(90.0, "old"), fetched(100.0, "new"), fetched(105.4, "new"), failed(110.6, 4.5, usable=True)]

    assert cause(refused(401, began, ended), account) is None


@pytest.mark.parametrize(("began", "found"), [(145.0 + LAG - 0.01, FAILED), (145.0 + LAG, None)])
def test_401_has_no_cause_without_keys(began: float, found: str | None) -> None:
    account = [fetched(100.0, "old"), failed(145.2, 9.0, usable=False)]

    assert cause(refused(401, began, began + 0.1), account) == found


@pytest.mark.parametrize("status", [400, 403, 500])
def test_another_status_has_no_cause(status: int) -> None:
    assert cause(refused(status, 145.05, 145.2), RECOVERY) is None
