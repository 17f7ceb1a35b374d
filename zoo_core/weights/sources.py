"""Finding the verified folder of a release on this machine by its reference."""

import os
import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UnknownName, UsageError, WeightsError, ZooError
from zoo_core.hub.endpoint import is_offline
from zoo_core.hub.integrity import Damaged, FileEntry, Pointer, check_file, remember
from zoo_core.hub.repository import NotCached, Unreachable, discard
from zoo_core.releases.release import CONFIG, MODEL, ReleaseConfig, read_release
from zoo_core.weights.fetching import OnBytes, fetch
from zoo_core.weights.manifest import Manifest, Pinned, default_manifest, install_hint
from zoo_core.weights.reference import (
    FolderReference,
    HubReference,
    NameReference,
    PackageReference,
    Reference,
    UrlReference,
    parse_reference,
)
from zoo_core.weights.unfinished import Unfinished, is_unfinished, read_unfinished


class Located(NamedTuple):
    """A release that is on this machine.

    Attributes:
        folder: where it is.
        source: where it came from.
        release: its config.json.
        pinned: its manifest entry; None if it has none.
        fresh: True if the hash of the weights was computed now, and not remembered from an earlier time.
        unfinished: the state of the run, if the folder is that of a run which has not ended; otherwise None.
    """

    folder: Path
    source: str
    release: ReleaseConfig
    pinned: Pinned | None
    fresh: bool
    unfinished: Unfinished | None = None

    @property
    def name(self) -> str:
        return self.pinned.name if self.pinned else self.release.zoo.model


def locate(
    text: str,
    registry: Registry,
    manifest: Manifest | None = None,
    *,
    trust_verdict: bool = True,
    unfinished: bool = False,
    on_bytes: OnBytes = lambda n, total: None,
) -> Located:
    """Find the release that `text` refers to, download it if needed, and verify each of its files.

    Args:
        unfinished: whether the folder of a run that has not ended is accepted too.

    Raises:
        UnknownName: nothing has that name.
        UsageError: it is not a reference.
        WeightsError: the release is missing here, damaged, or not the pinned one; or it is a run that has not ended.
    """
    reference = parse_reference(text)
    if isinstance(reference, NameReference):
        manifest = manifest or default_manifest(registry)
        pinned = find_pinned(reference, registry, manifest)
        return _from_manifest(pinned, trust_verdict, on_bytes)
    if isinstance(reference, FolderReference) and is_unfinished(reference.path):
        run = read_unfinished(reference.path, registry)
        if not unfinished:
            raise WeightsError(f"'{reference.path}' is not a release yet: {run.where}", run.go_on)
        return Located(reference.path, f"folder {reference}", run.release, None, False, run)
    try:
        found = _available(reference, None, trust_verdict, on_bytes)
    except (UnknownName, NotCached, Unreachable) as error:
        if not isinstance(reference, HubReference) or text.startswith("hf:"):
            raise
        raise type(error)(f"there is no folder '{text}', and {error.message}", error.hint) from error
    source = f"folder {found.source}" if isinstance(reference, FolderReference) else found.source
    return Located(found.folder, source, read_release(found.folder), None, found.fresh)


def find_pinned(reference: NameReference, registry: Registry, manifest: Manifest) -> Pinned:
    """The manifest entry that a name refers to. Its plugin must be installed."""
    model = reference.model
    try:
        registration = registry.model(f"{reference.family}:{model}" if reference.family else model)
    except UnknownName:
        here = any(registration.spec.name == model for registration in registry.models())  # then the family is wrong
        if not here and (pinned := manifest.of_model(model)):
            raise missing_plugin(pinned[0]) from None
        raise
    return manifest.find(registration.spec.name, reference.tag)


def missing_plugin(pinned: Pinned) -> WeightsError:
    """The error for weights whose plugin is not installed."""
    return WeightsError(
        f"'{pinned.name}' needs the plugin {pinned.entry.plugin}, which is not installed",
        f"Install it: {install_hint(pinned.entry.plugin)}",
    )


def _from_manifest(pinned: Pinned, trust_verdict: bool, on_bytes: OnBytes) -> Located:
    tried = []
    for source in (*pinned.entry.sources, *_in_bundle(pinned)):
        try:
            found = _available(parse_reference(source), pinned.entry.files, trust_verdict, on_bytes)
        except Damaged as error:
            raise _other_version(error, pinned, source) from None
        except ZooError as error:
            tried.append(f"{source}: {error.message}")
            continue
        return Located(found.folder, found.source, read_release(found.folder), pinned, found.fresh)
    raise WeightsError(
        f"the weights '{pinned.name}' cannot be found: {'; '.join(tried)}", "Run 'zoo info' for its sources."
    )


def _in_bundle(pinned: Pinned) -> list[str]:
    """The copy in the folder ZOO_MIRROR, where a bundle brought one from a source that has no place on a hub."""
    folder = Path(os.environ.get("ZOO_MIRROR", "")).expanduser() / pinned.name
    return [f"folder:{folder}"] if (folder / CONFIG).is_file() else []


class _Available(NamedTuple):
    folder: Path
    source: str
    fresh: bool  # whether the weights' hash was computed now


def _available(
    reference: Reference, files: Mapping[str, FileEntry] | None, trust_verdict: bool, on_bytes: OnBytes
) -> _Available:
    """A source's release, here and verified against `files`, or against its own list.

    Raises:
        Damaged: its files are not what they should be.
        ZooError: it is not there.
    """
    if not isinstance(reference, HubReference | UrlReference):
        folder = folder_of(reference)
        if files is not None and not folder.is_dir():
            raise WeightsError(f"'{folder}' does not exist")
        expected = read_release(folder).files if files is None else files
        return _Available(folder, str(reference), _check(folder, expected, trust_verdict))
    for attempt in (1, 2):  # where the line or the disk has damaged a file, or it was just replaced, a new copy tells
        ours = True
        try:
            found = fetch(reference, files, on_bytes=on_bytes)
            ours = found.ours
            expected = read_release(found.folder).files if files is None else files
            return _Available(found.folder, found.source, _check(found.folder, expected, trust_verdict))
        except Damaged as error:
            if is_offline() or not ours:
                raise
            discard(error.path)  # nothing that is wrong stays under its name
            if attempt == 2:
                raise _wrong_at_its_source(error, reference) from None
    raise AssertionError


def _wrong_at_its_source(error: Damaged, reference: Reference) -> Damaged:
    """What is wrong there, named by its source: where the two copies lay in the cache is of no interest any more."""
    message = error.message.replace(f"'{error.path}'", f"'{error.path.name}' of {reference}")
    again = "Two downloads gave the same wrong file: tell its owner."
    return Damaged(error.path, message, error.hint if isinstance(error, Pointer) else again)


def folder_of(reference: Reference) -> Path:
    """The folder with the files of a source on this machine."""
    match reference:
        case FolderReference(path):
            return path
        case PackageReference(package, path):
            spec = find_spec(package)
            if spec is None or not spec.submodule_search_locations:
                raise WeightsError(f"the package {package} is not installed")
            return Path(spec.submodule_search_locations[0]) / path
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
