"""An error for keywords that a class does not have; it names the keyword that was probably meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from cognito_guard.errors import ConfigurationError


class UnknownKeywordError(ConfigurationError, TypeError):
    """A keyword that does not exist; also a TypeError, as Python itself would raise."""


def new_of(init: Callable[..., None], instead: Mapping[str, str]) -> Callable[..., Any]:
    """
    Return a `__new__` that refuses keywords that *init* does not have.

    Hide it from type checkers, so that they check calls against *init*. Python calls `__new__` before `__init__`, so a
    misspelt required argument is reported as misspelt, not only as missing.

    Args:
        init: The `__init__` of the class.
        instead: For each wrong keyword, what to write.

    """
    signature = inspect.signature(init)

    def __new__(cls: type, /, *_: Any, **given: Any) -> Any:  # noqa: N807 - what it is
        # A subclass with its own __init__ has its own keywords.
        if cls.__init__ is init:  # type: ignore[misc]
            for name in given.keys() - signature.parameters.keys():
                close = "".join(
                    f"; did you mean {meant}=?" for meant in get_close_matches(name, signature.parameters, 1)
                )
                hint = f"; {instead[name]}" if name in instead else close
                raise UnknownKeywordError(f"{cls.__name__} takes no {name}={hint}")
        return object.__new__(cls)

    __new__.__signature__ = signature  # type: ignore[attr-defined]
    return __new__
