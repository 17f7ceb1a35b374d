"""`collect_wheels`: the installed packages as wheels, for a place without network.

A package that was installed from a folder with `pip install -e` is built there. Of every other one the installed files
are put into a wheel again. So the wheels hold exactly what works here, whatever index, file or folder it came from.
"""

import base64
import csv
import hashlib
import io
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from packaging.requirements import Requirement

from zoo_core.discovery.registry import Registry
from zoo_core.errors import ZooError

_BY_PIP = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}  # what pip writes when it installs
_CHUNK = 1 << 20


def collect_wheels(registry: Registry, folder: Path) -> list[Path]:
    """Write wheels of the core, of all plugins, and of all packages that they need, as they are installed.

    Raises:
        ZooError: a wheel cannot be built, or the files of a package are not listed or are gone.
    """
    needed = with_requirements(packages_of(registry))
    sources = {found.name: source for found in needed if (source := _editable_source(found)) is not None}
    if sources:  # first, for only that can need a network
        _build(sources, folder)
    unlisted = [found.name for found in needed if found.name not in sources and not _is_listed(found)]
    if unlisted:
        raise ZooError(
            f"which files belong to {', '.join(unlisted)} is not known, for pip has not installed them",
            f"Run: {_pip()} install --force-reinstall --no-deps {' '.join(unlisted)}",
        )
    for found in needed:
        if found.name not in sources:
            _repack(found, folder)
    return sorted(folder.glob("*.whl"))


def packages_of(registry: Registry) -> list[str]:
    """The distributions to install for everything that is here: the core and its plugins."""
    return ["zoo-core", *sorted({plugin.distribution for plugin in registry.plugins} - {"zoo-core"})]


def with_requirements(names: Sequence[str]) -> list[Distribution]:
    """The named distributions and, once each, all that they require and is installed."""
    found: dict[str, Distribution] = {}
    waiting = [(name, "") for name in names]
    seen = set()
    while waiting:
        name, extra = waiting.pop()
        name = name.lower().replace("_", "-")
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for text in found[name].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(requirement.name, other) for other in ("", *requirement.extras)]
    return [found[name] for name in sorted(found)]


def _editable_source(found: Distribution) -> Path | None:
    """The folder that a distribution was installed from by `pip install -e`."""
    text = found.read_text("direct_url.json")
    origin = json.loads(text) if text else {}
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(urlsplit(origin["url"]).path))


def _build(sources: dict[str, Path], folder: Path) -> None:
    """Wheels of source folders. What builds them is taken from here, or else pip fetches it for the time being."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps"]
    command += ["--wheel-dir", str(folder)]
    builders = sorted({need for source in sources.values() for need in _builders(source)})
    missing = [need for need in builders if not _is_installed(need)]
    command += [] if missing else ["--no-build-isolation"]
    done = subprocess.run([*command, *map(str, sources.values())], capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        errors = [line for line in lines if line.startswith("ERROR: ")] or lines
        raise ZooError(
            f"pip could not make wheels of {', '.join(sources)}: {errors[-1].removeprefix('ERROR: ')}",
            f"It needs the network for {', '.join(missing)}, or once: {_pip()} install {' '.join(missing)}"
            if missing
            else None,
        )


def _builders(source: Path) -> list[str]:
    """What a source folder's pyproject.toml needs to be built."""
    try:
        with open(source / "pyproject.toml", "rb") as file:
            needs: list[str] = tomllib.load(file)["build-system"]["requires"]
    except (OSError, ValueError, KeyError):
        return ["setuptools"]  # the default of the standard
    return needs


def _is_installed(need: str) -> bool:
    requirement = Requirement(need)
    try:
        return requirement.specifier.contains(distribution(requirement.name).version, prereleases=True)
    except PackageNotFoundError:
        return False


def _is_listed(found: Distribution) -> bool:
    return bool(found.files) and found.read_text("WHEEL") is not None


def _repack(found: Distribution, folder: Path) -> None:
    """A wheel of the installed files of a distribution, as the wheel it was installed from had them."""
    files = found.files or []
    info_folder = next(file.parts[0] for file in files if file.match("*.dist-info/WHEEL"))
    stem = info_folder.removesuffix(".dist-info")
    tags = [line.split(":")[1].strip().split("-") for line in _lines(found, "WHEEL") if line.startswith("Tag:")]
    joined = "-".join(".".join(dict.fromkeys(tag[k] for tag in tags)) for k in range(3))
    scripts = {entry.name for entry in found.entry_points if entry.group in ("console_scripts", "gui_scripts")}
    record: list[tuple[str, str, str]] = []
    with ZipFile(folder / f"{stem}-{joined}.whl", "w", ZIP_DEFLATED, compresslevel=1) as wheel:
        for file in files:
            place = _place_in_wheel(PurePosixPath(file), stem, scripts)
            if place is None:
                continue
            path = Path(str(found.locate_file(file)))
            if not path.is_file():
                raise ZooError(f"{found.name}: its file '{path}' is gone", f"Run: {_pip()} install --force-reinstall …")
            record.append((place, *_add(wheel, place, path)))
        listing = io.StringIO()
        csv.writer(listing, lineterminator="\n").writerows([*record, (f"{info_folder}/RECORD", "", "")])
        wheel.writestr(ZipInfo(f"{info_folder}/RECORD"), listing.getvalue())


def _lines(found: Distribution, name: str) -> list[str]:
    return (found.read_text(name) or "").splitlines()


def _place_in_wheel(file: PurePosixPath, stem: str, scripts: set[str]) -> str | None:
    """Where an installed file stands in a wheel; None for what pip makes when it installs."""
    if file.suffix == ".pyc" or (file.parts[0] == f"{stem}.dist-info" and file.name in _BY_PIP):
        return None
    if file.parts[0] != "..":
        return file.as_posix()
    outside = PurePosixPath(*(part for part in file.parts if part != ".."))  # relative to the environment
    if outside.parts[0] in ("bin", "Scripts"):
        return None if outside.stem in scripts or outside.name in scripts else f"{stem}.data/scripts/{outside.name}"
    return f"{stem}.data/data/{outside}"


def _add(wheel: ZipFile, place: str, path: Path) -> tuple[str, str]:
    """Put a file into the wheel; its digest and size, as RECORD wants them."""
    info = ZipInfo(place)  # of no date: the same packages give the same wheel
    info.compress_type = ZIP_DEFLATED
    info.external_attr = (0o100000 | path.stat().st_mode & 0o777) << 16
    info.file_size = path.stat().st_size
    digest, size = hashlib.sha256(), 0
    with wheel.open(info, "w") as out:
        for chunk in _chunks(path, script="/scripts/" in place):
            digest.update(chunk)
            size += len(chunk)
            out.write(chunk)
    return f"sha256={base64.urlsafe_b64encode(digest.digest()).decode().rstrip('=')}", str(size)


def _chunks(path: Path, *, script: bool) -> Iterator[bytes]:
    """The bytes of a file. The first line of a script names this environment's Python; in a wheel it is general."""
    with open(path, "rb") as file:
        if script:
            first = file.readline()
            yield b"#!python\n" if first.startswith(b"#!") and b"python" in first else first
        while chunk := file.read(_CHUNK):
            yield chunk


def _pip() -> str:
    return "python -m pip"
