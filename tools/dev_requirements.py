"""Prints the development tools of pyproject.toml for pip: the dependency group `dev`."""

import shlex
import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
print(" ".join(shlex.quote(requirement) for requirement in project["dependency-groups"]["dev"]))
