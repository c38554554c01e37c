"""What one token costs with other packages."""

from __future__ import annotations

import json
import subprocess
from typing import Any, Final

from benchmarks.environment import ROOT, clean_environ, environment
from benchmarks.peering import PEERS
from benchmarks.progress import Progress
from benchmarks.row import Effort, Row, Section

_EXTRAS: Final = {
    "python-jose": "python-jose[cryptography]",
    "aws-lambda-powertools": "aws-lambda-powertools[jwt]>=3.36",  # the first version with a verifier
}

PACKAGES: Final = tuple(
    dict.fromkeys(
        _EXTRAS.get(distribution, distribution) for distribution, _ in PEERS.values() if distribution != "cognito-guard"
    )
)


def measure(effort: Effort, progress: Progress) -> Section:
    """Return the figures of all peers that can be installed, and the names of those that cannot."""
    own = environment(PACKAGES, progress)
    done = subprocess.run(
        [own.python, "-m", "benchmarks.peering", str(effort.rounds), str(effort.tokens)],
        cwd=ROOT,
        env=clean_environ(),
        stdout=subprocess.PIPE,
        check=True,
    )
    results = json.loads(done.stdout.splitlines()[-1])
    rows = [_row(name, result, own.missing) for name, result in results.items()]
    rows.sort(key=lambda row: row.ratio or 1e9)
    return Section(
        name="peers",
        title="One token, other packages",
        about=(
            "Each package is set up as its documentation says, in one environment beside the others, with its keys "
            "loaded. All verify the same users' tokens in the same process, because some accept no others. Powertools "
            "accepts only tokens that name an audience, so its tokens do. A package that refuses a good token, or "
            "accepts one with a wrong signature, has no figure."
        ),
        rows=tuple(rows),
    )


def _row(name: str, result: dict[str, Any], missing: dict[str, str]) -> Row:
    if "error" in result:
        distribution, _ = PEERS[name]
        return Row(
            what=name,
            value=None,
            note=f"not measured: {missing.get(_EXTRAS.get(distribution, distribution), result['error'])}",
        )
    return Row(
        what=name,
        value=result["seconds"] * 1e6,
        ratio=result["ratio"],
        baseline="bare RSA check",
        note=result.get("version", ""),
    )
