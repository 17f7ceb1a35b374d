"""`info`: everything that is known of a model or a release, read without torch."""

from pathlib import Path
from typing import Any

from zoo_core.discovery.registry import Registry, default_registry
from zoo_core.errors import UnknownName, ZooError
from zoo_core.interfaces.record import to_plain
from zoo_core.releases.release import ReleaseConfig, read_release
from zoo_core.weights.fetching import fetch
from zoo_core.weights.manifest import Manifest, default_manifest
from zoo_core.weights.reference import HubReference, NameReference, Reference, UrlReference, parse_reference
from zoo_core.weights.sources import find_pinned, folder_of
from zoo_core.weights.unfinished import is_unfinished, read_unfinished


def info(reference: str, *, registry: Registry | None = None, manifest: Manifest | None = None) -> dict[str, Any]:
    """What is known about a model or a release, as plain data. No file is verified; `load` and `zoo verify` do that.

    Args:
        reference: a name ("pixelrnn", "pixelrnn.digits") or a folder.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.

    Raises:
        UnknownName: nothing has that name.
    """
    registry = registry or default_registry()
    parsed = parse_reference(reference)
    if not isinstance(parsed, NameReference):
        folder, source = _folder(parsed)
        if is_unfinished(folder):
            run = read_unfinished(folder, registry)
            return _release(run.release, registry) | {"reference": reference, "source": source, "unfinished": str(run)}
        return _release(read_release(folder), registry) | {"reference": reference, "source": source}
    manifest = manifest or default_manifest(registry)
    try:
        pinned = find_pinned(parsed, registry, manifest)
    except UnknownName:
        if parsed.tag is not None:
            raise
        return _model(str(parsed), registry) | {"reference": reference, "weights": None}
    entry = pinned.entry
    found = _model(str(parsed._replace(tag=None)), registry) | {
        "reference": pinned.name,
        "default": manifest.default(pinned.model) is pinned,
        "summary": entry.summary,
        "plugin": entry.plugin,
        "licence": to_plain(entry.licence),
        "recipe": entry.recipe,
        "metrics": to_plain(entry.metrics),
        "files": to_plain(entry.files),
        "sources": entry.sources,
        "manifest": pinned.path.name,
    }
    for source in entry.sources:
        try:
            release = read_release(_folder(parse_reference(source))[0])
        except ZooError:
            continue
        found["recipe"] = entry.recipe or release.recipe_text
        return found | _made_of(release)
    return found


def _folder(reference: Reference) -> tuple[Path, str]:
    """Where a release's config.json is; from elsewhere only that is fetched. And what to call the place."""
    if isinstance(reference, HubReference | UrlReference):
        found = fetch(reference, {})
        return found.folder, found.source
    folder = folder_of(reference)
    return folder, str(folder)


def _model(name: str, registry: Registry, distribution: str | None = None) -> dict[str, Any]:
    registration = registry.model(name, distribution)
    spec = registration.spec
    return {
        "model": spec.name,
        "description": spec.summary,
        "task": spec.task,
        "paper": spec.paper,
        "capabilities": list(spec.capabilities),
        "aliases": list(spec.aliases),
        "parameter_count": spec.parameter_count,
        "preset": spec.preset,
        "plugin": registration.plugin.label,
        "class": spec.target,
    }


def _release(release: ReleaseConfig, registry: Registry) -> dict[str, Any]:
    try:
        model = _model(release.zoo.model, registry, release.zoo.plugin)
    except UnknownName:
        model = {"model": release.zoo.model}
    return (
        model
        | {
            "summary": release.summary,
            "plugin": f"{release.zoo.plugin} {release.zoo.plugin_version}",
            "licence": to_plain(release.licence),
            "recipe": release.recipe_text,
            "metrics": to_plain(release.metrics),
            "files": to_plain(release.files),
        }
        | _made_of(release)
    )


def _made_of(release: ReleaseConfig) -> dict[str, Any]:
    """What its config.json alone tells, whatever pins it."""
    return {
        "config": release.config,
        "input": release.input,
        "conditions": to_plain(release.conditions),
        "training": release.training,
        "dependencies": to_plain(release.dependencies),
        "ancestors": to_plain(release.ancestors),
    }
