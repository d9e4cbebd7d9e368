"""The versions under deploy/ are those that the package is tested with."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==([\w.+]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {package.lower().replace("_", "-"): version for package, version in found}


def test_container_has_the_tested_versions_but_for_numpy_1_and_what_needs_it():
    container, tested, serving = map(
        pins, ("deploy/requirements-gpu.txt", "constraints.txt", "deploy/requirements-serve.txt")
    )
    for package in ("numpy", "pyarrow"):
        assert container.pop(package) == serving[package]
    common = container.keys() & tested.keys()
    assert {package: container[package] for package in common} == {p: tested[p] for p in common}
    assert len(common) > 10


def test_container_has_what_the_package_asks_for():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["serve"]]
    names = {re.split(r"[\[<>=]", line)[0].lower() for line in wanted} - {"torch"}
    assert names <= pins("deploy/requirements-gpu.txt").keys()
