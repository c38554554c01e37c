"""One line of the results."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """
    One figure, and what it is compared with.

    Attributes:
        what: What was measured.
        value: The figure; None if it could not be measured. *note* then says why.
        unit: The unit of *value*.
        ratio: *value* as a multiple of the value of *baseline*, measured at the same time.
        at_most: The goal, for *ratio* if there is one, or else for *value*.
        at_least: Likewise.
        note: Anything else that is worth knowing.
    """

    what: str
    value: float | None
    unit: str = "us"
    ratio: float | None = None
    baseline: str = ""
    at_most: float | None = None
    at_least: float | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None where there is none."""
        measured = self.value if self.ratio is None else self.ratio
        if measured is None or (self.at_most is None and self.at_least is None):
            return None
        return (self.at_most is None or measured <= self.at_most) and (
            self.at_least is None or measured >= self.at_least
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """
    Rows that belong together.

    Attributes:
        name: As on the command line.
        title: What the rows are about, for people.
        about: How they were measured.
        rows: The figures.
    """

    name: str
    title: str
    about: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """
    How much is measured.

    Attributes:
        rounds: How often each case has its turn.
        tokens: How many different tokens there are to verify.
        starts: How many processes are started for import times.
        loads: How often each server is put under load.
        seconds: For how long, each time.
        valid: How many valid tokens are sent through one process for its memory; four times as much junk follows.
    """

    rounds: int
    tokens: int
    starts: int
    loads: int
    seconds: int
    valid: int


FULL = Effort(rounds=101, tokens=2000, starts=41, loads=25, seconds=1, valid=50_000)
QUICK = Effort(rounds=21, tokens=1000, starts=9, loads=4, seconds=1, valid=12_000)
