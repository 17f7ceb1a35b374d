"""The packages that data sets are made from; imports no torch."""

import tomllib
from functools import cache
from pathlib import Path

from zoo_core import Package


@cache
def packages(group: str) -> tuple[Package, ...]:
    """The packages of one recipe, as `packages.toml` pins them."""
    pinned = tomllib.loads(Path(__file__).with_name("packages.toml").read_text(encoding="utf-8"))
    return tuple(Package(**package) for package in pinned[group])
