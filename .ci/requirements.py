"""Prints what the package and its developers need, from pyproject.toml: one source for both."""

import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
wanted = project["dependencies"] + project["optional-dependencies"]["dev"]
print("\n".join(wanted))  # noqa: T201
