"""`zoo bundle --wheels`: the installed packages become wheels again, which pip installs where there is no network."""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from zoo_core.discovery.registry import Registry
from zoo_core.errors import ZooError
from zoo_core.publishing.wheels import collect_wheels, packages_of, with_requirements

PYPROJECT = """
[build-system]
requires = ["{builder}"]
build-backend = "{builder}.build"
[project]
name = "zoo-dice"
version = "1.5"
requires-python = ">=3.11"
scripts = {{dice = "zoo_dice:roll"}}
[tool.hatch.build.targets.wheel]
packages = ["zoo_dice"]
shared-scripts = {{"toss" = "toss"}}
shared-data = {{"notes.txt" = "share/dice/notes.txt"}}
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A package with a script of its own, one of an entry point, and a file outside of the package."""
    folder = tmp_path / "with space" / "dice"
    (folder / "zoo_dice").mkdir(parents=True)
    (folder / "zoo_dice" / "__init__.py").write_text("def roll(): print(4)\n")
    (folder / "toss").write_text("#!/usr/bin/env python\nprint('heads')\n")
    (folder / "toss").chmod(0o755)
    (folder / "notes.txt").write_text("fair\n")
    (folder / "pyproject.toml").write_text(PYPROJECT.format(builder="hatchling"))
    return folder


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def found_in(site: Path, name: str = "zoo-dice") -> Distribution:
    (found,) = [found for found in distributions(path=[str(site)]) if found.name == name]
    return found


@pytest.fixture
def needed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Distribution], None]:
    """Makes a distribution the only one that is needed."""
    return lambda found: monkeypatch.setattr("zoo_core.publishing.wheels.with_requirements", lambda names: [found])


@pytest.mark.slow
def test_an_installed_package_becomes_the_wheel_that_it_came_from(
    source: Path, needed: Callable[[Distribution], None], registry: Registry, tmp_path: Path
) -> None:
    """The same files with the same digests; so whatever index it came from, and no network is needed."""
    pip("wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", tmp_path / "first", source)
    (first,) = (tmp_path / "first").glob("*.whl")
    pip("install", "--no-deps", "--prefix", tmp_path / "here", first)
    (site,) = (tmp_path / "here").glob("lib/python*/site-packages")
    needed(found_in(site))
    (tmp_path / "wheels").mkdir()
    (wheel,) = collect_wheels(registry, tmp_path / "wheels")
    assert wheel.name == first.name == "zoo_dice-1.5-py3-none-any.whl"
    ours, theirs = ZipFile(wheel), ZipFile(first)
    assert set(ours.namelist()) == set(theirs.namelist())
    for name in theirs.namelist():
        assert name.endswith(("RECORD", "toss")) or ours.read(name) == theirs.read(name), name
    assert ours.read("zoo_dice-1.5.data/scripts/toss").startswith(b"#!python\n")  # no path of this machine
    pip("install", "--no-index", "--no-deps", "--prefix", tmp_path / "there", wheel)  # checks RECORD
    there = tmp_path / "there"
    assert (there / "share" / "dice" / "notes.txt").read_text() == "fair\n" and (there / "bin" / "dice").exists()
    assert subprocess.run([there / "bin" / "toss"], capture_output=True, text=True).stdout == "heads\n"


@pytest.mark.slow
def test_an_editable_package_is_built_from_its_folder(
    source: Path, needed: Callable[[Distribution], None], registry: Registry, tmp_path: Path
) -> None:
    pip("install", "--no-build-isolation", "--no-deps", "--prefix", tmp_path / "here", "--editable", source)
    (site,) = (tmp_path / "here").glob("lib/python*/site-packages")
    needed(found_in(site))
    (tmp_path / "wheels").mkdir()
    (wheel,) = collect_wheels(registry, tmp_path / "wheels")
    assert "zoo_dice/__init__.py" in ZipFile(wheel).namelist()


class Made(Distribution):
    """A distribution that is nothing but its texts."""

    def __init__(self, site: Path, **texts: str) -> None:
        self.site, self.texts = site, {"METADATA": "Name: zoo-dice\nVersion: 1.5\n"} | texts

    def read_text(self, filename: str) -> str | None:
        return self.texts.get(filename)

    def locate_file(self, path: Any) -> Path:
        return self.site / path


def test_what_builds_is_fetched_where_it_is_not_installed_and_if_it_cannot_be_the_line_to_install_it_is_said(
    source: Path,
    needed: Callable[[Distribution], None],
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[list[str]] = []

    def failing(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 1, "", "a\nERROR: No matching distribution found\nhint\n")

    monkeypatch.setattr("zoo_core.publishing.wheels.subprocess.run", failing)
    origin = json.dumps({"url": source.as_uri(), "dir_info": {"editable": True}})
    needed(Made(tmp_path, **{"direct_url.json": origin}))
    with pytest.raises(ZooError, match="No matching distribution found"):
        collect_wheels(registry, tmp_path)
    assert calls[0][-1] == str(source) and "--no-build-isolation" in calls[0]  # hatchling is here
    (source / "pyproject.toml").write_text(PYPROJECT.format(builder="zoo-absent-builder"))
    with pytest.raises(ZooError, match="pip install zoo-absent-builder"):
        collect_wheels(registry, tmp_path)
    assert "--no-build-isolation" not in calls[1]


def test_a_package_whose_files_are_unknown_or_gone_is_named(
    needed: Callable[[Distribution], None], registry: Registry, tmp_path: Path
) -> None:
    needed(Made(tmp_path))
    with pytest.raises(ZooError, match=r"belong to zoo-dice is not known.*\n.*install --force-reinstall .*zoo-dice"):
        collect_wheels(registry, tmp_path)
    record = "zoo_dice/__init__.py,,\nzoo_dice-1.5.dist-info/WHEEL,,\n"
    needed(Made(tmp_path, RECORD=record, WHEEL="Tag: py3-none-any\n"))
    with pytest.raises(ZooError, match=r"its file '.*__init__\.py' is gone"):
        collect_wheels(registry, tmp_path)


def test_the_wheels_are_of_all_that_is_required(registry: Registry) -> None:
    names = {found.name.lower().replace("_", "-") for found in with_requirements(["zoo-core"])}
    needed = {"torch", "safetensors", "huggingface-hub", "click", "filelock"}
    if any(found.name == "zoo-core" for found in distributions()):
        assert needed | {"zoo-core"} <= names
    assert {"zoo-core", "zoo-toy"} <= set(packages_of(registry))
    assert distribution("pip").read_text("RECORD")  # pip lists what it installs
