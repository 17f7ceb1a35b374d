"""From a reference to a verified release folder on this machine."""

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UnknownName, UsageError, WeightsError
from zoo_core.hub.integrity import FileEntry, check_file, remember
from zoo_core.weights.manifest import Manifest, Pinned, default_manifest, own_manifests, read_manifest
from zoo_core.weights.reference import (
    FolderReference,
    HubReference,
    NameReference,
    PackageReference,
    Reference,
    UrlReference,
    parse_reference,
)
from zoo_core.weights.release import MODEL, ReleaseConfig, read_release


class Located(NamedTuple):
    """A release on this machine."""

    folder: Path
    source: str
    release: ReleaseConfig
    pinned: Pinned | None  # its manifest entry, if it has one
    fresh: bool  # whether the weights' hash was computed now, and not remembered

    @property
    def name(self) -> str:
        return self.pinned.name if self.pinned else self.release.zoo.model


def locate(text: str, registry: Registry, manifest: Manifest | None = None, *, trust_verdict: bool = True) -> Located:
    """Find the release that `text` refers to, and verify every file of it.

    Raises:
        UnknownName, UsageError: nothing has that name.
        WeightsError: the release is missing here, damaged, or not the pinned one.
    """
    reference = parse_reference(text)
    if isinstance(reference, NameReference):
        manifest = manifest or default_manifest(registry)
        pinned = find_pinned(reference, registry, manifest)
        return _from_manifest(pinned, trust_verdict)
    folder = folder_of(reference)
    release = read_release(folder)
    return Located(folder, f"folder {folder}", release, None, _check(folder, release.files, trust_verdict))


def find_pinned(reference: NameReference, registry: Registry, manifest: Manifest) -> Pinned:
    """The manifest entry that a name refers to. The plugin must be here, unless only the manifest knows the name."""
    model = reference.model
    try:
        offer = registry.model(f"{reference.family}:{model}" if reference.family else model)
    except UnknownName:
        here = any(offer.spec.name == model for offer in registry.models())  # then the family is wrong
        if not here and (pinned := manifest.of_model(model)):
            raise missing_plugin(pinned[0]) from None
        raise
    return manifest.find(offer.spec.name, reference.tag)


def missing_plugin(pinned: Pinned) -> WeightsError:
    """The error for weights whose plugin is not installed."""
    return WeightsError(
        f"'{pinned.name}' needs the plugin {pinned.entry.plugin}, which is not installed",
        f"Install it: {install_hint(pinned.entry.plugin)}",
    )


def install_hint(requirement: str) -> str:
    """How to install a plugin. The packages are on no index yet, so ours come from their folder, and for others no name
    is given that a stranger could own there."""
    distribution = re.split(r"[<>=!~ ]", requirement)[0]
    ours = {re.split(r"[<>=!~ ]", p.entry.plugin)[0] for path in own_manifests() for p in read_manifest(path)}
    if distribution in ours:
        return f"pip install -e plugins/{distribution.removeprefix('zoo-')} in this repository"
    return f"get {distribution} from where the weights came from"


def _from_manifest(pinned: Pinned, trust_verdict: bool) -> Located:
    tried = []
    for source in pinned.entry.sources:
        try:
            folder = folder_of(parse_reference(source))
            if not folder.is_dir():
                raise WeightsError(f"'{folder}' does not exist")
        except WeightsError as error:
            tried.append(f"{source}: {error.message}")
            continue
        try:
            fresh = _check(folder, pinned.entry.files, trust_verdict)
        except WeightsError as error:
            raise _other_version(error, pinned, source) from None
        return Located(folder, source, read_release(folder), pinned, fresh)
    raise WeightsError(
        f"the weights '{pinned.name}' cannot be found: {'; '.join(tried)}", "Run 'zoo info' for its sources."
    )


def folder_of(reference: Reference) -> Path:
    """Where a source's files are on this machine."""
    match reference:
        case FolderReference(path):
            return path
        case PackageReference(package, path):
            spec = find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                raise WeightsError(f"the package {package} is not installed")
            return Path(spec.submodule_search_locations[0]) / path
        case UrlReference(url) if url.startswith("file://"):
            return Path(url.removeprefix("file://"))
        case HubReference() | UrlReference():
            raise WeightsError(
                f"'{reference}' is on the network, which this version does not fetch from",
                "There is no such folder here either. Download the files, and give their folder.",
            )
    raise UsageError(f"'{reference}' cannot be a source")


def _check(folder: Path, files: Mapping[str, FileEntry], trust_verdict: bool) -> bool:
    """Verify files; True if the weights were hashed now (their verdict is kept once their values were seen too)."""
    fresh = False
    for name, entry in files.items():
        hashed = check_file(folder / name, entry, trust_verdict=trust_verdict)
        if name == MODEL:
            fresh = hashed
        elif hashed:
            remember(folder / name, entry.sha256)
    return fresh


def _other_version(error: WeightsError, pinned: Pinned, source: str) -> WeightsError:
    """A package that holds other weights than the manifest pins is most often another version: say both."""
    if not source.startswith("package:"):
        return error
    distribution = re.split(r"[<>=!~ ]", pinned.entry.plugin)[0]
    versions = []
    for name in (distribution, "zoo-core"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"{name} (not installed)")
    return WeightsError(
        f"{pinned.name}: installed are {' and '.join(versions)}, and {error.message}",
        f"If the two versions belong together, install the plugin again: {install_hint(pinned.entry.plugin)}",
    )
