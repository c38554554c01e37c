"""The tokens with which a route is called: none, a bad one, one for each missing requirement, and a good one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import product
from typing import Final, NamedTuple, Protocol

from cognito_guard._requests.internals import internals_of
from cognito_guard._rules.conditions import CallerIs, Condition, Granted, InGroup, That
from cognito_guard._rules.requirement import Guard
from cognito_guard.audit import RouteEntry

_NO_SCOPE: Final = "no.such.scope"
_OTHER_SIGNATURE: Final = "AAAAAA"


class Mint(Protocol):
    """Signs user tokens, as `StandIn.mint_user` and `LocalPool.mint_user` do."""

    def __call__(self, username: str, /, *scopes: str, groups: list[str]) -> str:
        """Return an access token of a user in *groups* that grants *scopes*."""
        ...


class Attempt(NamedTuple):
    """
    One token with which a route is called.

    Attributes:
        name: Its description, for people.
        token: The token, or None for no token.
        expected: The status with which a guard must refuse it; None if no guard may refuse it.

    """

    name: str
    token: str | None
    expected: int | None


class Tokens:
    """
    Makes the tokens with which routes are called. Each token is made once.

    Args:
        mint: Signs the tokens.
        entries: All routes that are called.
        guards: The guards that are installed on the app.

    """

    def __init__(self, mint: Mint, entries: Sequence[RouteEntry], guards: Iterable[Guard] = ()) -> None:
        self._mint: Final = mint
        self._made: Final[dict[tuple[tuple[str, ...], tuple[str, ...]], str]] = {}
        # Every token has these scopes: guards may require a scope of their resource server. A token without scopes
        # would also get the scope of a sign-in by API.
        servers = {"none", *(scope.rpartition("/")[0] for entry in entries for scope in entry.scopes)}
        asking = [*guards, *(each.guard for entry in entries for each in entry.requirements)]
        servers |= {
            name for each in asking for pool in internals_of(each).verifier.pools for name in pool.resource_servers
        }
        self._always: Final = {f"{server}/{_NO_SCOPE}" for server in servers}

    def attempts(self, route: RouteEntry) -> Iterator[Attempt]:
        """Yield the tokens for *route*. The last one must be accepted, if it is known which token that is."""
        granting = self._granting(route)
        conditions = [each.condition for each in route.requirements]
        yield Attempt("no token", None, None if route.public else 401)
        if not route.public:
            yield Attempt("a tampered token", granting[: -len(_OTHER_SIGNATURE)] + _OTHER_SIGNATURE, 401)
            for missing in dict.fromkeys(names for each in conditions for names in _lacking(each)):
                yield Attempt(
                    f"a token without {' and '.join(sorted(missing))}", self._granting(route, without=missing), 403
                )
        if any(isinstance(each, CallerIs) and each.machine for each in conditions):
            yield Attempt("a token of a user", granting, 403)
        elif not any(isinstance(each, That) for each in conditions):
            yield Attempt("a token that grants it", granting, None)

    def _granting(self, route: RouteEntry, without: Collection[str] = ()) -> str:
        conditions = [each.condition for each in route.requirements]
        groups = {name for each in conditions if isinstance(each, InGroup) for name in each.names}
        scopes = self._always | route.scopes.difference(without)
        wanted = tuple(sorted(scopes)), tuple(sorted(groups.difference(without)))
        if wanted not in self._made:
            self._made[wanted] = self._mint("ada", *wanted[0], groups=list(wanted[1]))
        return self._made[wanted]


def _lacking(condition: Condition) -> list[frozenset[str]]:
    """Return sets of scopes or groups. A caller that lacks one whole set does not meet *condition*."""
    if isinstance(condition, InGroup):
        return [condition.names]
    if not isinstance(condition, Granted):
        return []
    # To fail, a caller must lack one scope of each alternative.
    choices = (frozenset(choice) for choice in product(*map(sorted, condition.alternatives)))
    return sorted(dict.fromkeys(choices), key=sorted)
