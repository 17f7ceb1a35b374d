"""Releases that others were made with: found by the reference that was recorded, and held to the recorded hashes.

A release names them in config.json: `dependencies`, which its model holds frozen, and its ancestors. Imports no torch.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError, WeightsError, ZooError
from zoo_core.hub.integrity import sha256_of
from zoo_core.releases.release import CONFIG, MODEL, PinnedRelease, exact_reference
from zoo_core.weights.fetching import OnBytes
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.reference import FolderReference, parse_reference
from zoo_core.weights.sources import Located, locate


class Link(NamedTuple):
    """A release on the way from the one that was asked for to one that it depends on.

    Attributes:
        reference: how it is named.
        folder: where it is.
    """

    reference: str
    folder: Path


def pin(located: Located, reference: str) -> PinnedRelease:
    """What to record of a release that another one is made with."""
    return PinnedRelease(
        reference=exact_reference(reference, located.source),
        name=located.name,
        model_sha256=located.release.files[MODEL].sha256,
        config_sha256=sha256_of(located.folder / CONFIG),
    )


def locate_for(
    who: str,
    reference: str,
    registry: Registry,
    manifest: Manifest | None = None,
    *,
    on_bytes: OnBytes = lambda n, total: None,
) -> Located:
    """The release of `reference`, verified. `who` is what needs it, for messages: "'fcn' depends on".

    Raises:
        UsageError: nothing has that name. WeightsError: it is not to be had here.
    """
    try:
        return locate(reference, registry, manifest, on_bytes=on_bytes)
    except ZooError as error:
        kind = UsageError if isinstance(error, UsageError) else WeightsError
        raise kind(
            f"{who} '{reference}', which cannot be had here: {error.message}",
            error.hint or _how_to_get(reference),
        ) from error


def locate_pinned(
    who: str,
    recorded: PinnedRelease,
    registry: Registry,
    manifest: Manifest | None = None,
    *,
    on_bytes: OnBytes = lambda n, total: None,
    chain: tuple[Link, ...] = (),
) -> Located:
    """The release that was recorded, verified; where its reference leads nowhere, its copy in the folder ZOO_MIRROR.

    Raises:
        WeightsError: it is not to be had here, is in the chain of those that need it, or has other bytes than it had.
    """
    try:
        located = locate_for(who, recorded.reference, registry, manifest, on_bytes=on_bytes)
    except ZooError as error:
        if (bundled := _in_bundle(recorded)) is None:
            raise WeightsError(error.message, error.hint) from error
        located = locate(f"folder:{bundled}", registry, manifest)
    extended(chain, recorded.reference, located)
    now = pin(located, recorded.reference)
    for file, was, found in (
        (MODEL, recorded.model_sha256, now.model_sha256),
        (CONFIG, recorded.config_sha256, now.config_sha256),
    ):
        if was != found:
            raise WeightsError(
                f"{who} '{recorded.reference}', and that is another release now: the sha256 of its {file} was "
                f"{was[:12]}…, and is {found[:12]}…",
                f"Here it is {located.source}. Get the one that it was, or train again with this one.",
            )
    return located


def locate_dependencies(
    located: Located,
    reference: str,
    registry: Registry,
    manifest: Manifest | None = None,
    *,
    on_bytes: OnBytes = lambda n, total: None,
    chain: tuple[Link, ...] = (),
) -> Iterator[tuple[PinnedRelease, Located]]:
    """Every release that a release depends on, verified, each before those that it depends on itself.

    Raises:
        WeightsError: one is not to be had, or has other bytes; or one depends on itself.
    """
    chain = extended(chain, reference, located)
    for name, recorded in located.release.dependencies.items():
        found = locate_pinned(needs(reference, name), recorded, registry, manifest, on_bytes=on_bytes, chain=chain)
        yield recorded, found
        yield from locate_dependencies(found, recorded.reference, registry, manifest, on_bytes=on_bytes, chain=chain)


def locate_parent_of(
    located: Located, reference: str, registry: Registry, manifest: Manifest | None = None
) -> Iterator[tuple[PinnedRelease, Located]]:
    """The release that a release's training started from, and what that one depends on, verified: what training it
    again takes. Of a release that started from nothing, none.

    Raises:
        WeightsError: one is not to be had, or has other bytes.
    """
    for recorded in located.release.ancestors[:1]:
        found = locate_pinned(f"'{reference}' was trained from", recorded, registry, manifest)
        yield recorded, found
        yield from locate_dependencies(found, recorded.reference, registry, manifest)


def _how_to_get(reference: str) -> str:
    if isinstance(parse_reference(reference), FolderReference):
        return "The folder must be where it was."
    return f"Get it: zoo pull {reference}"


def absolute(reference: str) -> str:
    """A reference that means the same wherever the process is; only that of a folder depends on it."""
    parsed = parse_reference(reference)
    return f"folder:{parsed.path.resolve()}" if isinstance(parsed, FolderReference) else reference


def needs(reference: str, name: str) -> str:
    """Who needs a dependency of this name, as messages say it."""
    return f"'{reference}' holds, as its {name},"


def extended(chain: tuple[Link, ...], reference: str, located: Located) -> tuple[Link, ...]:
    """The chain with one release more.

    Raises:
        WeightsError: that release is in it already.
    """
    folder = located.folder.resolve()
    if folder in {link.folder for link in chain}:
        names = [*(link.reference for link in chain), reference]
        raise WeightsError(f"a release depends on itself: {' -> '.join(names)}", "One of them must do without.")
    return (*chain, Link(reference, folder))


def _in_bundle(recorded: PinnedRelease) -> Path | None:
    """The folder in ZOO_MIRROR into which a bundle has brought just this release, from a place that is not here."""
    mirror = Path(os.environ.get("ZOO_MIRROR", "")).expanduser()
    try:
        contents = json.loads((mirror / "bundle.json").read_text())
        for folder in map(str, contents["releases"]):
            if contents["files"][f"{folder}/{CONFIG}"]["sha256"] == recorded.config_sha256:
                return mirror / folder
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None
