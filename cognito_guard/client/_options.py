"""Checks the options of a client, and brings them into one order."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from cognito_guard.errors import ConfigurationError

_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 section 3.3
_CLIENT_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


def checked_client_id(client_id: str) -> str:
    """
    Return *client_id*.

    Raises:
        ConfigurationError: It is not an app client id.

    """
    if not isinstance(client_id, str) or not _CLIENT_ID.fullmatch(client_id):
        raise ConfigurationError(f"client_id must be an app client id, 1 to 128 ASCII characters; got {client_id!r}")
    return client_id


def checked_scopes(scopes: Collection[str]) -> tuple[str, ...]:
    """
    Return *scopes*, sorted and without duplicates.

    Raises:
        ConfigurationError: They are a single string, or one of them is not a scope.

    """
    if isinstance(scopes, str) or not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in scopes):
        raise ConfigurationError(
            f"scopes must be a collection of scopes without blanks, such as ['orders/order.read']; got {scopes!r}"
        )
    return tuple(sorted(set(scopes)))


def checked_resources(resource: str | Collection[str]) -> tuple[str, ...]:
    """
    Return the resources to bind the token to (RFC 8707), sorted and without duplicates.

    Raises:
        ConfigurationError: One of them is not a non-empty string.

    """
    resources = [resource] if isinstance(resource, str) else resource
    if not all(isinstance(each, str) and each and each.isprintable() for each in resources):
        raise ConfigurationError(f"resource must be a resource server identifier, or several; got {resource!r}")
    return tuple(sorted(set(resources)))


def checked_metadata(metadata: Mapping[str, str] | None) -> str | None:
    """
    Return *metadata* as canonical JSON, None if there is none.

    Raises:
        ConfigurationError: It is not a mapping of strings to strings, which the pool's Lambda trigger needs.

    """
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping) or not all(
        isinstance(part, str) for pair in metadata.items() for part in pair
    ):
        raise ConfigurationError("aws_client_metadata must be a mapping of strings to strings")
    return json.dumps(dict(metadata), sort_keys=True, separators=(",", ":"))


def checked_number(option: str, value: Any, *, least: float = 0.0, unit: str = "seconds") -> float:
    """
    Return *value*.

    Raises:
        ConfigurationError: It is not a finite number of at least *least*.

    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < math.inf:
        raise ConfigurationError(f"{option} must be a number of {unit}, {least:g} or more; got {value!r}")
    return float(value)


def parameters(
    scopes: tuple[str, ...], resources: tuple[str, ...], metadata: str | None
) -> tuple[tuple[str, str], ...]:
    """Return a token request's parameters, without grant type and credentials (RFC 6749 section 4.4.2, RFC 8707)."""
    return (
        *((("scope", " ".join(scopes)),) if scopes else ()),
        *(("resource", resource) for resource in resources),
        *((("aws_client_metadata", metadata),) if metadata is not None else ()),
    )


def cache_key(*parts: object) -> str:
    """Return the key under which a token for *parts* is stored: a digest, which any store accepts as a key."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
