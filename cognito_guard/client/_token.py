"""One access token, and until when it serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LONGEST_LIFE: Final = 24 * 60 * 60.0
"""Seconds; Cognito's longest validity of an access token. A longer one is cut to this."""

RENEWAL: Final = (0.70, 0.80)
"""Fractions of a token's life. Renewal starts at a random one between them; AWS's guide to token caching says 75 %."""

RENEWAL_BY_OTHERS: Final = (0.80, 0.85)
"""The same for processes that took the token from a store. The one that bought it renews it; others if it does not."""

_LONGEST_MARGIN: Final = 5.0
_MARGIN: Final = 0.05


@dataclass(frozen=True, slots=True)
class Token:
    """
    An access token. Two are equal if their values are.

    Attributes:
        value: The token itself; not in `repr`.
        bought_at: When it was asked for, in seconds since the epoch.
        expires_at: When it expires, in seconds since the epoch.
        fraction: The part of its life after which this process renews it.
        header: The value of the `Authorization` header; not in `repr`.
        renew_at: When this process starts to renew it.
        usable_until: When it is no longer sent. Some seconds before it expires, because a request takes time to arrive.
    """

    value: str = field(repr=False)
    bought_at: float = field(compare=False)
    expires_at: float = field(compare=False)
    fraction: float = field(compare=False, repr=False)
    header: str = field(init=False, repr=False, compare=False)
    renew_at: float = field(init=False, compare=False)
    usable_until: float = field(init=False, compare=False)

    def __post_init__(self) -> None:
        life = self.expires_at - self.bought_at
        # A frozen dataclass allows no other way to set what follows from the rest.
        object.__setattr__(self, "header", f"Bearer {self.value}")
        object.__setattr__(self, "renew_at", self.bought_at + life * self.fraction)
        object.__setattr__(self, "usable_until", self.expires_at - min(_LONGEST_MARGIN, life * _MARGIN))


def renewal_fraction(random: float, *, bought: bool) -> float:
    """Return the fraction of a life that *random*, a number from 0 up to 1, chooses for who *bought* a token or not."""
    earliest, latest = RENEWAL if bought else RENEWAL_BY_OTHERS
    return earliest + (latest - earliest) * random
