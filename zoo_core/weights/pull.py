"""`pull`: downloads and verifies releases, so that they can be loaded without a network. It does not import torch."""

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase

from zoo_core.discovery.registry import Registry, default_registry, normalise
from zoo_core.errors import UnknownName, WeightsError
from zoo_core.releases.licence import Licence
from zoo_core.weights.dependencies import locate_dependencies
from zoo_core.weights.manifest import Manifest, default_manifest
from zoo_core.weights.reference import NameReference, parse_reference
from zoo_core.weights.sources import Located, find_pinned, locate

# What lets anybody use, change and pass on weights, for any purpose, with attribution at most. SPDX.
PERMISSIVE = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-3.0", "CC-BY-4.0", "CC0-1.0", "CDLA-Permissive-2.0",
    "ISC", "MIT", "MIT-0", "Unlicense", "Zlib",
})  # fmt: skip


def pull(
    wanted: str,
    *,
    permissive_only: bool = False,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
    on_bytes: Callable[[float, float], None] = lambda n, total: None,
) -> Located:
    """Download a release and those that it depends on, and verify all their files by their hashes.

    Args:
        wanted: a reference.
        permissive_only: refuse weights whose licence is not a permissive one.
        on_bytes: called with the bytes that have come since, and those of all files to fetch.
    """
    registry = registry or default_registry()
    reference = parse_reference(wanted)
    if permissive_only and isinstance(reference, NameReference):  # known before anything is downloaded
        manifest = manifest or default_manifest(registry)
        _check_permissive(wanted, find_pinned(reference, registry, manifest).entry.licence)
    located = locate(wanted, registry, manifest, on_bytes=on_bytes)
    if permissive_only:
        _check_permissive(wanted, located.release.licence)
    for dependency, found in locate_dependencies(located, wanted, registry, manifest, on_bytes=on_bytes):
        if permissive_only:
            _check_permissive(dependency.reference, found.release.licence)
    return located


def _check_permissive(wanted: str, licence: Licence) -> None:
    if not any(choice.strip() in PERMISSIVE for choice in licence.weights.split(" OR ")):
        raise WeightsError(
            f"the weights of '{wanted}' have the licence {licence.weights}, which is not permissive",
            "Without --licence-policy permissive it is fetched all the same.",
        )


def matching(globs: Sequence[str], registry: Registry | None = None, manifest: Manifest | None = None) -> list[str]:
    """The references, with each glob replaced by the matching names in the manifests."""
    registry = registry or default_registry()
    names = sorted((manifest or default_manifest(registry)).pinned)
    found: list[str] = []
    for text in globs:
        if not any(sign in text for sign in "*?["):
            found.append(text)
            continue
        matches = [name for name in names if fnmatchcase(name, normalise(text))]
        if not matches:
            raise UnknownName(f"no release is named like '{text}'")
        found += matches
    return list(dict.fromkeys(found))
