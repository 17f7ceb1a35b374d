"""`bundle` and `unbundle`: everything that is needed in a place without network, in one tar file.

    lab.tar
        bundle.json                 the releases, and sha256 and size of every other file
        pixelrnn.digits/…           a release; one from a hub under its org/repo
        datasets/ylecun/mnist/…     the files of data sets, as on the hub
        wheels/*.whl                the packages, for pip install --no-index --find-links

After unpacking, ZOO_MIRROR can name the folder.
"""

import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from zoo_core.datasets.getting import data_files
from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.hub.atomic import replacing, write_atomically
from zoo_core.hub.endpoint import check_space
from zoo_core.hub.integrity import FileEntry, check_file, remember, sha256_of
from zoo_core.interfaces.record import Record, read_record, to_plain
from zoo_core.measuring.evaluation import recorded_metrics
from zoo_core.publishing.wheels import collect_wheels
from zoo_core.releases.release import CONFIG, PinnedRelease
from zoo_core.weights.dependencies import locate_dependencies, locate_parent_of
from zoo_core.weights.manifest import Manifest, default_manifest
from zoo_core.weights.reference import HubReference, parse_reference
from zoo_core.weights.sources import Located, locate

LIST = "bundle.json"


class Contents(Record, kw_only=True):
    """The content of bundle.json: what a bundle holds.

    Attributes:
        releases: for each folder in the bundle, where the release came from.
        files: the sha256 and the size of each file.
        orphans: for each folder of a release that is packed without what it was trained from, why.
    """

    releases: dict[str, str]
    files: dict[str, FileEntry]
    orphans: dict[str, str] = {}


def bundle(
    references: Sequence[str],
    output: Path,
    *,
    data: bool = False,
    wheels: bool = False,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
) -> Contents:
    """Write releases, verified, those that they depend on and those that they were trained from into a tar file.

    A release that was trained from one that is gone is packed without it, and listed among the `orphans`.

    Args:
        data: whether to include the data sets on which they were trained or measured.
        wheels: whether to include the installed packages.

    Raises:
        ZooError: a release or its data cannot be found, a wheel cannot be made, or the file cannot be written.
    """
    if output.exists():
        raise UsageError(f"'{output}' exists")
    registry = registry or default_registry()
    asked = [(reference, locate(reference, registry, manifest)) for reference in references]
    packed, orphans = _collect(asked, registry, manifest)
    content = {
        f"{folder}/{file}": one.folder / file for folder, one in packed.items() for file in (*one.release.files, CONFIG)
    }
    data_sets: set[str] = set()
    for _, located in asked:
        data_sets |= {entry.protocol.dataset for entry in recorded_metrics(located)}
        data_sets |= {located.release.training["data"]} if "data" in located.release.training else set()
    with tempfile.TemporaryDirectory() as temporary:
        if wheels:
            content |= {f"wheels/{path.name}": path for path in collect_wheels(registry, Path(temporary))}
        if data:
            for name in sorted(data_sets):
                content |= {f"datasets/{place}": path for place, path in data_files(name, registry).items()}
        files = {
            name: FileEntry(sha256=sha256_of(path), bytes=path.stat().st_size) for name, path in sorted(content.items())
        }
        contents = Contents(
            releases={folder: one.source for folder, one in packed.items()}, files=files, orphans=orphans
        )
        listing = Path(temporary) / LIST
        listing.write_text(json.dumps(to_plain(contents), indent=1))
        with replacing(output) as beside, tarfile.open(beside, "w", dereference=True) as tar:
            tar.add(listing, LIST, filter=_nobodys)
            for name, path in sorted(content.items()):
                tar.add(path, name, filter=_nobodys)
    return contents


def _collect(
    asked: Sequence[tuple[str, Located]], registry: Registry, manifest: Manifest | None
) -> tuple[dict[str, Located], dict[str, str]]:
    """Every release to pack, by its folder in the bundle, and the orphans."""
    packed: dict[str, Located] = {}
    needed: list[tuple[PinnedRelease, Located]] = []
    orphans: dict[str, str] = {}
    for reference, located in asked:
        folder = _folder_in_bundle(reference, located)
        if packed.setdefault(folder, located).source != located.source:
            raise UsageError(f"'{reference}' and another release would both be '{folder}' in the bundle")
        needed += locate_dependencies(located, reference, registry, manifest)
        try:
            needed += list(locate_parent_of(located, reference, registry, manifest))
        except WeightsError as error:  # it can be used without, but not trained again
            orphans[folder] = error.message
    for recorded, found in needed:  # found there by their hashes, so that the name of the folder is free
        folder = _folder_in_bundle(recorded.reference, found)
        if packed.setdefault(folder, found).source != found.source:
            packed[f"{folder}-{recorded.config_sha256[:12]}"] = found
    return packed, orphans


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who packed it, and when, is nobody's business: the same releases give the same bundle."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member


def unbundle(archive: Path, output: Path) -> Contents:
    """Unpack a bundle into a folder, which may already hold other bundles, and verify each of its files.

    Raises:
        UsageError: the file is not a bundle.
        WeightsError: a file is damaged. Then nothing of the bundle is left in the folder.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            listing = tar.extractfile(LIST)
            if listing is None:
                raise KeyError(LIST)
            contents = read_record(Contents, json.loads(listing.read(100_000_000)), f"{archive}: {LIST}")
            members = {name: _member(tar, archive, name, entry) for name, entry in contents.files.items()}
            check_space(output, sum(entry.bytes for entry in contents.files.values()))
            output.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=output, prefix=".unbundle.") as temporary:
                for name, member in members.items():
                    _unpack(tar, member, Path(temporary) / name)
                    _check_unpacked(Path(temporary) / name, contents.files[name], archive, name)
                for name in sorted(members, key=lambda name: name.endswith(CONFIG)):  # what makes a release, last
                    place = output / name
                    place.parent.mkdir(parents=True, exist_ok=True)
                    (Path(temporary) / name).replace(place)
            _add_to_list(output / LIST, contents)
    except (tarfile.TarError, KeyError, ValueError, EOFError) as error:
        if isinstance(error, ZooError):
            raise
        raise UsageError(f"'{archive}' is not a whole bundle: {error}", "Copy it again.") from None
    except OSError as error:
        raise ZooError(f"'{archive}' cannot be unpacked into '{output}': {error.strerror or error}") from error
    for name, entry in contents.files.items():
        if not name.endswith(".safetensors"):  # those are looked into when they are first loaded
            remember(output / name, entry.sha256)
    return contents


def unbundled(folder: Path, registry: Registry) -> list[str]:
    """The references of the releases that bundles brought into a folder, for where ZOO_MIRROR names it."""
    contents = read_record(Contents, json.loads((folder / LIST).read_text(encoding="utf-8")), str(folder / LIST))
    pinned = default_manifest(registry).pinned

    def reference(name: str) -> str:
        if name in pinned:
            return name
        return f"hf:{name}" if "/" in name else str(folder.absolute() / name)

    return [reference(name) for name in contents.releases]


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    """Only its bytes: no links, owners or rights."""
    place.parent.mkdir(parents=True, exist_ok=True)
    content = tar.extractfile(member)
    assert content is not None  # it is a plain file
    with content, open(place, "wb") as file:
        shutil.copyfileobj(content, file, 1 << 20)


def _member(tar: tarfile.TarFile, archive: Path, name: str, entry: FileEntry) -> tarfile.TarInfo:
    """A listed file of the archive, if it can be nothing else than that."""
    if re.search(r"[\\:\0]", name) or not {"", ".", ".."}.isdisjoint(name.split("/")):
        raise WeightsError(f"'{archive}' lists '{name}', which leads out of its folder", "It is not to be trusted.")
    member = tar.getmember(name)
    if not member.isfile():
        raise WeightsError(f"'{archive}' holds '{name}', which is not a plain file", "It is not to be trusted.")
    if member.size != entry.bytes:
        raise WeightsError(
            f"'{archive}' is damaged: '{name}' has {member.size} bytes, not {entry.bytes}", "Copy it again."
        )
    return member


def _check_unpacked(path: Path, entry: FileEntry, archive: Path, name: str) -> None:
    try:
        check_file(path, entry, trust_verdict=False)
    except WeightsError as error:
        raise WeightsError(error.message.replace(f"'{path}'", f"'{name}' in '{archive}'"), "Copy it again.") from None


def _add_to_list(path: Path, contents: Contents) -> None:
    """A folder may have taken in several bundles."""
    if path.exists():
        before = read_record(Contents, json.loads(path.read_text()), str(path))
        orphans = {name: why for name, why in before.orphans.items() if name not in contents.releases}
        contents = Contents(
            releases=before.releases | contents.releases,
            files=before.files | contents.files,
            orphans=orphans | contents.orphans,
        )
    write_atomically(path, json.dumps(to_plain(contents), indent=1))


def _folder_in_bundle(reference: str, located: Located) -> str:
    """From a hub: as on the hub, so that ZOO_MIRROR finds it there. Else the name, which a folder's release has too."""
    parsed = parse_reference(reference)
    if isinstance(parsed, HubReference):
        return parsed.repo
    from_hub = re.match(r"hf:([^@ ,]+)", located.source)
    return from_hub[1] if from_hub else located.name
