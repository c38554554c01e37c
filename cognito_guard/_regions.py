"""The regions of AWS, and the DNS suffix of each partition (`partitions.json` of botocore 1.44)."""

from __future__ import annotations

import re
from typing import Final

from cognito_guard.errors import ConfigurationError

# Every partition of AWS and the DNS suffix of its endpoints; longest prefixes first.
_PARTITIONS: Final = (
    (re.compile(r"us-isob-[a-z]+-\d{1,2}"), "sc2s.sgov.gov"),
    (re.compile(r"(us|eu)-isof-[a-z]+-\d{1,2}"), "csp.hci.ic.gov"),
    (re.compile(r"eu-isoe-[a-z]+-\d{1,2}"), "cloud.adc-e.uk"),
    (re.compile(r"us-iso-[a-z]+-\d{1,2}"), "c2s.ic.gov"),
    (re.compile(r"eusc-[a-z]{2}-[a-z]+-\d{1,2}"), "amazonaws.eu"),
    (re.compile(r"us-gov-[a-z]+-\d{1,2}"), "amazonaws.com"),
    (re.compile(r"cn-[a-z]+-\d{1,2}"), "amazonaws.com.cn"),
    (re.compile(r"[a-z]{2}-[a-z]+-\d{1,2}"), "amazonaws.com"),
)

LISTED: Final = frozenset(
    """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
    ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
    eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1
    me-south-1 me-west-1 mx-central-1 sa-east-1 sa-west-1 us-east-1 us-east-2 us-west-1 us-west-2
    cn-north-1 cn-northwest-1 eusc-de-east-1 us-gov-east-1 us-gov-west-1
    eu-isoe-west-1 us-iso-east-1 us-iso-west-1 us-isob-east-1 us-isob-west-1 us-isof-east-1 us-isof-south-1
    """.split()  # noqa: SIM905 - a list literal would take a line for each
)
"""Every region in that file. AWS opens new ones, so another name gets a warning and is not refused."""


def dns_suffix(region: str) -> str:
    """
    Return the DNS suffix of the endpoints in *region*, such as `amazonaws.com`.

    Checks the form of the name, not that the region exists.

    Raises:
        ConfigurationError: *region* does not have the form of a region code.

    """
    for pattern, suffix in _PARTITIONS:
        if isinstance(region, str) and pattern.fullmatch(region):
            return suffix
    raise ConfigurationError(f"{region!r} is not an AWS region; expected a code such as 'eu-central-1'")


def doubt_about(region: str) -> str | None:
    """Return a sentence about a *region* that AWS does not list, with the most similar one; None if AWS lists it."""
    if region in LISTED:
        return None
    from difflib import get_close_matches  # noqa: PLC0415 - needed for typing mistakes only

    similar = get_close_matches(region, sorted(LISTED), n=1)
    return f"AWS lists no region {region!r}" + "".join(f"; did you mean {name!r}?" for name in similar)


_ISSUER: Final = re.compile(
    r"https://(?:issuer-)?cognito-idp\.[a-z0-9-]+\.([a-z0-9.-]+)/(([a-z0-9-]+)_[0-9A-Za-z]+)", re.ASCII
)
_SUFFIXES: Final = frozenset(suffix for _, suffix in _PARTITIONS)


def original_issuer(issuer: str) -> str:
    """Return the ORIGINAL form of *issuer* if Cognito gives it to a pool or a replica; else *issuer* itself."""
    match = _ISSUER.fullmatch(issuer)
    if match is None or match[1] not in _SUFFIXES:
        return issuer
    suffix, pool_id, region = match.groups()
    return f"https://cognito-idp.{region}.{suffix}/{pool_id}"
