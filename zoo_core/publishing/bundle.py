"""`bundle` and `unbundle`: everything that a room without a network needs, in one tar file.

    lab.tar
        bundle.json                 the releases, and sha256 and size of every other file
        pixelrnn.digits/…           a release; one from a hub under its org/repo
        datasets/ylecun/mnist/…     the files of data sets, as on the hub
        wheels/*.whl                the packages, for pip install --no-index --find-links

Unpacked, it is a folder for ZOO_MIRROR.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import DataError, UsageError, WeightsError, ZooError
from zoo_core.evaluation import recorded_metrics
from zoo_core.hub.atomic import replacing, write_atomically
from zoo_core.hub.datafiles import recorded_data_files
from zoo_core.hub.integrity import FileEntry, check_file, remember, sha256_of
from zoo_core.interfaces.record import Record, read_record, to_plain
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.reference import HubReference, parse_reference
from zoo_core.weights.release import CONFIG
from zoo_core.weights.sources import Located, locate

LIST = "bundle.json"


class Contents(Record, kw_only=True):
    """bundle.json."""

    releases: dict[str, str]  # folder in the bundle -> where it came from
    files: dict[str, FileEntry]


def bundle(
    references: Sequence[str],
    output: Path,
    *,
    data: bool = False,
    wheels: bool = False,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
) -> Contents:
    """Write releases, verified, into a tar file.

    Args:
        data: with the data sets that they were trained or measured on.
        wheels: with the packages that are installed here, which takes a network.

    Raises:
        ZooError: a release or its data are not to be had, pip has failed, or the file cannot be written.
    """
    if output.exists():
        raise UsageError(f"'{output}' exists")
    registry = registry or default_registry()
    content: dict[str, Path] = {}
    releases: dict[str, str] = {}
    data_sets: set[str] = set()
    for reference in references:
        located = locate(reference, registry, manifest)
        folder = _folder_in_bundle(reference, located)
        releases[folder] = located.source
        content |= {f"{folder}/{name}": located.folder / name for name in (*located.release.files, CONFIG)}
        data_sets |= {entry.protocol.dataset for entry in recorded_metrics(located)}
        data_sets |= {located.release.training["data"]} if "data" in located.release.training else set()
    with tempfile.TemporaryDirectory() as temporary:
        if data:
            for name in sorted(data_sets):
                content |= {f"datasets/{place}": path for place, path in data_files(name, registry).items()}
        if wheels:
            content |= {f"wheels/{path.name}": path for path in collect_wheels(registry, Path(temporary))}
        files = {
            name: FileEntry(sha256=sha256_of(path), bytes=path.stat().st_size) for name, path in sorted(content.items())
        }
        contents = Contents(releases=releases, files=files)
        listing = Path(temporary) / LIST
        listing.write_text(json.dumps(to_plain(contents), indent=1))
        with replacing(output) as beside, tarfile.open(beside, "w", dereference=True) as tar:
            tar.add(listing, LIST)
            for name, path in sorted(content.items()):
                tar.add(path, name)
    return contents


def unbundle(archive: Path, output: Path) -> Contents:
    """Unpack a bundle into a folder, which may hold others already, and verify every file of it.

    Raises:
        UsageError: it is no bundle.
        WeightsError: a file is damaged; nothing of the bundle is left then.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            listing = tar.extractfile(LIST)
            if listing is None:
                raise KeyError(LIST)
            contents = read_record(Contents, json.loads(listing.read(100_000_000)), f"{archive}: {LIST}")
            output.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=output, prefix=".unbundle.") as temporary:
                for name, entry in contents.files.items():
                    member = tar.getmember(name)
                    if not member.isfile():
                        raise WeightsError(f"'{archive}' holds '{name}', which is no plain file")
                    tar.extract(member, temporary, filter="data")  # refuses paths that lead elsewhere
                    check_file(Path(temporary) / name, entry, trust_verdict=False)
                for name in sorted(
                    contents.files, key=lambda name: name.endswith(CONFIG)
                ):  # what makes a release, last
                    place = output / name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    (Path(temporary) / name).replace(place)
            _add_to_list(output / LIST, contents)
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        if isinstance(error, ZooError):
            raise
        raise UsageError(f"'{archive}' is not a bundle that can be read: {error}") from None
    for name, entry in contents.files.items():
        if not name.endswith(".safetensors"):  # those are looked into when they are first loaded
            remember(output / name, entry.sha256)
    return contents


def data_files(name: str, registry: Registry) -> dict[str, Path]:
    """The files that a data set is read from, by their place on the hub; none where it comes with a package.

    Raises:
        ZooError: it is read from something that has no place there.
    """
    with recorded_data_files() as used:
        _read_anew(name, registry)
    if not used:
        try:
            _read_anew(name, registry, HF_HUB_OFFLINE="1", ZOO_MIRROR="")
        except DataError:
            raise ZooError(
                f"the data set '{name}' is not read from files as they lie on the hub, so they cannot be bundled",
                "Set ZOO_MIRROR to a folder that has them.",
            ) from None
    return dict(used)


def _read_anew(name: str, registry: Registry, **environment: str) -> None:
    """Read all splits though they may be decoded in the cache."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as empty:
        os.environ.update(environment, ZOO_CACHE=empty)
        try:
            data = registry.open_dataset(name)
            for split in data.splits:
                data.data_sha256(split)
        finally:
            os.environ.clear()
            os.environ.update(before)


def _add_to_list(path: Path, contents: Contents) -> None:
    """A folder may have taken in several bundles."""
    if path.exists():
        before = read_record(Contents, json.loads(path.read_text()), str(path))
        contents = Contents(releases=before.releases | contents.releases, files=before.files | contents.files)
    write_atomically(path, json.dumps(to_plain(contents), indent=1))


def _folder_in_bundle(reference: str, located: Located) -> str:
    parsed = parse_reference(reference)
    return parsed.repo if isinstance(parsed, HubReference) else located.name


def collect_wheels(registry: Registry, folder: Path) -> list[Path]:
    """Wheels of the core, of every plugin here, and of all that they need, in the versions that are installed."""
    ours = {"zoo-core", *(plugin.distribution for plugin in registry.plugins)}
    local, index = [], []
    for found in _with_requirements(sorted(ours)):
        source = _source_folder(found)
        if source is None:
            index.append(f"{found.name}=={found.version.partition('+')[0]}")
        else:
            local.append(source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for command in (
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), *local],
        [*pip, "download", "--no-deps", "--dest", str(folder), *index],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no reason given"]
            raise ZooError(f"pip could not make or fetch the wheels: {lines[-1]}")
    return sorted(folder.glob("*.whl"))


def _with_requirements(names: Sequence[str]) -> list[Distribution]:
    """The named distributions and, once each, all that they require and is installed."""
    from packaging.requirements import Requirement

    found: dict[str, Distribution] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            continue
        for text in found[name].requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return [found[name] for name in sorted(found)]


def _source_folder(found: Distribution) -> str | None:
    """Where a distribution was installed from, if that was a folder."""
    text = found.read_text("direct_url.json")
    url = json.loads(text).get("url", "") if text else ""
    return url.removeprefix("file://") if url.startswith("file://") and Path(url[7:]).is_dir() else None
