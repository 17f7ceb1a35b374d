"""What the wheels hold, and what the requirements files say."""

import ast
import re
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.parent for path in (ROOT / "plugins").glob("*/pyproject.toml"))


@pytest.fixture(scope="module", params=[ROOT, *PLUGINS], ids=["core", *(folder.name for folder in PLUGINS)])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ZipFile]:
    """A distribution's folder, and its wheel."""
    out = tmp_path_factory.mktemp("wheel")
    command = ["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(out), str(request.param)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    return request.param, ZipFile(wheel)


def project(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


def test_a_wheel_holds_every_file_of_its_packages(built: tuple[Path, ZipFile]) -> None:
    """Weights and manifests too, which a build may leave out without a word."""
    folder, wheel = built
    packages = project(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    in_tree = {
        file.relative_to(folder).as_posix()
        for package in packages
        for file in (folder / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and not file.name.startswith(".")
    }
    in_wheel = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert in_wheel == in_tree


def test_the_core_holds_the_manifests_and_says_that_it_is_typed(built: tuple[Path, ZipFile]) -> None:
    folder, wheel = built
    if folder != ROOT:
        return
    names = wheel.namelist()
    assert {"zoo_core/__init__.py", "zoo_core/py.typed", "weights_manifest/autoregressive.toml"} <= set(names)
    assert not [name for name in names if name.startswith(("plugins", "tests", "benchmarks"))]


def test_entry_points_are_the_declared_ones(built: tuple[Path, ZipFile]) -> None:
    folder, wheel = built
    (name,) = [name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt")]
    found = ConfigParser(delimiters="=")
    found.read_string(wheel.read(name).decode())
    if folder == ROOT:
        assert dict(found["console_scripts"]) == {"zoo": "zoo_core.cli.main:main"}
    else:
        declared = project(folder)["project"]["entry-points"]["zoo.plugins"]
        assert dict(found["zoo.plugins"]) == declared
        for module in declared.values():
            assert module.replace(".", "/") + ".py" in wheel.namelist()


def test_requirements_install_the_core_and_every_plugin() -> None:
    lines = (ROOT / "requirements.txt").read_text().split("\n")
    editable = [line.removeprefix("-e ") for line in lines if line.startswith("-e ")]
    assert lines[0] == "-c constraints.txt"
    assert editable == [".", *(folder.relative_to(ROOT).as_posix() for folder in PLUGINS)]
    assert "-r requirements.txt" in (ROOT / "requirements-dev.txt").read_text().split("\n")


def test_constraints_pin_exact_versions_and_no_build_of_torch() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    for line in pins:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line), line
    assert "torch==2.13.0" in pins

    def normal(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    pinned = {normal(line.partition("==")[0]) for line in pins}
    wanted = [
        requirement
        for folder in (ROOT, *PLUGINS)
        for table in [project(folder)["project"]]
        for requirement in sum(table.get("optional-dependencies", {}).values(), table["dependencies"])
    ]
    developer = (ROOT / "requirements-dev.txt").read_text().splitlines()
    wanted += [line for line in developer if line and not line.startswith(("-", "#"))]
    names = {normal(re.split(r"[<>=!~ \[;]", requirement)[0]) for requirement in wanted} - {"zoo-core"}
    assert names <= pinned, f"constraints.txt does not pin {', '.join(sorted(names - pinned))}"


# The name to install, where it is not the name to import.
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml", "markdown_it": "markdown-it-py"}
WHERE_IT_RUNS = {"IPython"}  # asked for only in a notebook, where it is there


@pytest.mark.parametrize("folder", [ROOT, *PLUGINS], ids=lambda folder: folder.name)
def test_what_is_imported_is_declared(folder: Path) -> None:
    """That another package happens to bring it along is no promise."""
    declared = {
        re.split(r"[<>=!~\[; ]", requirement)[0].lower().replace("_", "-")
        for requirement in [
            *project(folder)["project"]["dependencies"],
            *(one for extra in project(folder)["project"].get("optional-dependencies", {}).values() for one in extra),
        ]
    }
    package, *others = project(folder)["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    known = {*sys.stdlib_module_names, *WHERE_IT_RUNS, package, *others}
    missing = set()
    for path in (folder / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names} - known:
                if DISTRIBUTIONS.get(name, name).lower().replace("_", "-") not in declared:
                    missing.add(name)
    assert missing == set(), f"{folder}: {missing}"
