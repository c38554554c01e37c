"""One access token, and how long it is used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LONGEST_LIFE: Final = 24 * 60 * 60.0
"""Cognito's longest validity of an access token, in seconds. A longer one is cut to this."""

RENEWAL: Final = (0.70, 0.80)
"""Renewal starts after a random fraction of a token's life between these. AWS's guide to token caching says 75 %."""

RENEWAL_BY_OTHERS: Final = (0.80, 0.85)
"""The same for processes that took the token from a store: they renew it only if the one that bought it does not."""

_LONGEST_MARGIN: Final = 5.0
_MARGIN: Final = 0.05


@dataclass(frozen=True, slots=True)
class Token:
    """
    An access token. Tokens are equal if their values are equal.

    Attributes:
        value: The token itself; not in `repr`.
        bought_at: When it was requested, in seconds since the epoch.
        expires_at: When it expires, in seconds since the epoch.
        fraction: The part of its life after which this process renews it.
        header: The value of the `Authorization` header; not in `repr`.
        renew_at: When this process starts to renew it.
        usable_until: When it is no longer sent: some seconds before it expires, because a request takes time to arrive.
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
        # A frozen dataclass has no other way to set derived fields.
        object.__setattr__(self, "header", f"Bearer {self.value}")
        object.__setattr__(self, "renew_at", self.bought_at + life * self.fraction)
        object.__setattr__(self, "usable_until", self.expires_at - min(_LONGEST_MARGIN, life * _MARGIN))


def renewal_fraction(random: float, *, bought: bool) -> float:
    """Return the fraction that *random*, a number from 0 up to 1, chooses. *bought*: this process bought the token."""
    earliest, latest = RENEWAL if bought else RENEWAL_BY_OTHERS
    return earliest + (latest - earliest) * random
