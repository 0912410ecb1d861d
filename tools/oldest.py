"""The lowest versions that pyproject.toml allows, as constraints of pip.

python -m tools.oldest > constraints-oldest.txt       after a change of pyproject.toml; `make oldest` installs them
"""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

DEVELOPMENT = "dev"  # the extra that users do not install: the newest of its tools serve
HEADER = "# The lowest versions that pyproject.toml allows, by tools/oldest.py; `make oldest` tests with them.\n"


def lowest(requirement: str) -> str:
    """`name==version` of a requirement such as `numpy>=2.0`. Raises SystemExit that names one without a lowest
    version."""
    asked = Requirement(requirement)
    bounds = [bound.version for bound in asked.specifier if bound.operator in (">=", "==", "~=")]
    if len(bounds) != 1:
        raise SystemExit(f"pyproject.toml: {requirement!r} has no lowest version; write it as {asked.name}>=VERSION.")
    return f"{asked.name}=={bounds[0]}"


def constraints(pyproject: str) -> str:
    """The text of constraints-oldest.txt: what is required, and the extras that users install."""
    project = tomllib.loads(pyproject)["project"]
    extras = project.get("optional-dependencies", {})
    asked = [*project["dependencies"], *(one for name, many in extras.items() if name != DEVELOPMENT for one in many)]
    return HEADER + "".join(f"{lowest(one)}\n" for one in sorted(asked, key=str.lower))


if __name__ == "__main__":
    print(constraints((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")), end="")
