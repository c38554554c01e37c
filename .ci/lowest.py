"""Print the lowest versions that pyproject.toml declares for users, as constraints; with a name, that one alone."""

import re
import sys
import tomllib
from pathlib import Path

# What is worked with here, in whatever version is newest.
OURS = {"demo", "dev", "lint"}

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
REQUIREMENTS = [*PROJECT["dependencies"], *(each for name in EXTRAS.keys() - OURS for each in EXTRAS[name])]
LOWEST = dict(re.fullmatch(r"([\w-]+)(?:\[.*\])?>=([\d.]+).*", each).groups() for each in sorted(REQUIREMENTS))

if len(sys.argv) > 1:
    print(LOWEST[sys.argv[1]])
else:
    print(*(f"{name}=={version}" for name, version in LOWEST.items()), sep="\n")
