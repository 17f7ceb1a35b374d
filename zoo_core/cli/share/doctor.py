"""zoo doctor"""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import click

from zoo_core.cli.hub_options import hub_options
from zoo_core.cli.names import references_argument
from zoo_core.cli.printing import examples, print_json, talk
from zoo_core.cli.table import print_table, table_options


class Finding(NamedTuple):
    """One thing that using a release needs, and whether it is there.

    Attributes:
        reference: the release.
        what: what is needed: "plugin", "weights", "data", …
        ok: whether it is there.
        details: where it is, or what to do to get it.
    """

    reference: str
    what: str
    ok: bool
    details: str


@click.command(epilog=examples("zoo doctor pixelrnn", "zoo doctor --offline"))
@references_argument("[REFERENCE…]")
@click.option("--offline", is_flag=True, help="Do not use the network.")
@hub_options
@table_options
def doctor(references: tuple[str, ...], offline: bool, as_json: bool) -> None:
    """Check whether everything that each REFERENCE needs is on this machine, and say what is missing.

    That is its plugin, its weights, its data, and other releases that it depends on.

    Without REFERENCES, check what the bundle in ZOO_MIRROR brought or, where there is none, every release whose plugin
    is installed; what several of them need is one line then, and --json has each. REFERENCE may be a glob: 'pixelrnn*'.
    """
    from zoo_core.discovery.registry import default_registry
    from zoo_core.weights.pull import matching

    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    registry = default_registry()
    found = [Finding("-", f"plugin {p.label}", False, f"{p.error}; fix: {p.fix}") for p in registry.broken]
    found += _packages()
    for reference in matching(references) if references else _default_references():
        found += _examine(reference)
    if as_json:
        print_json([finding._asdict() for finding in found])
    else:
        shown = found if references else _gathered(found)
        rows = [[f.reference, f.what, "ok" if f.ok else "MISSING", f.details] for f in shown]
        print_table(["reference", "what", "verdict", "details"], rows)
        _say_how_it_is(found)
    if not all(finding.ok for finding in found):
        sys.exit(1)


def _default_references() -> list[str]:
    """What an unpacked bundle brought to this room; elsewhere every release that manifests pin."""
    from zoo_core.discovery.registry import default_registry
    from zoo_core.publishing.bundle import LIST, unbundled
    from zoo_core.weights.pull import matching

    mirror = Path(os.environ.get("ZOO_MIRROR") or ".").expanduser()
    if "ZOO_MIRROR" in os.environ and (mirror / LIST).is_file():
        references = unbundled(mirror, default_registry())
        talk(f"Checking the {len(references)} releases of '{mirror / LIST}'. Every release: zoo doctor '*'")
        return references
    return matching(["*"])


def _gathered(findings: list[Finding]) -> list[Finding]:
    """One for each thing that is there or missing, and how many releases need it."""
    groups: dict[tuple[str, bool, str], list[Finding]] = {}
    for one in findings:
        kind, _, name = one.what.partition(" ")
        what = f"data {name}" if kind == "data" else {"packages": "packages of plugins"}.get(kind, kind)
        groups.setdefault((what, one.ok, "" if one.ok else one.details), []).append(one)
    gathered = []
    for (what, ok, _), group in groups.items():
        if len(group) == 1:
            gathered += group
            continue
        references = {one.reference for one in group} - {"-"}
        who = f"{len(references)} releases" if references else "-"
        details = group[0].details if what.startswith("data ") or not ok else f"{len(group)} are here"
        gathered.append(Finding(who, what, ok, details))
    return gathered


def _say_how_it_is(findings: list[Finding]) -> None:
    """The last lines: what is missing, and which commands get it."""
    from zoo_core.discovery.registry import default_registry

    missing = [one for one in findings if not one.ok]
    if not missing:
        talk("Everything is here.")
        return
    kinds = Counter(one.what for one in missing)
    talk(f"Not here: {', '.join(what if n == 1 else f'{what} (for {n} releases)' for what, n in kinds.items())}.")
    specs = {registration.spec.name: registration.spec for registration in default_registry().datasets()}
    data = [spec for name, spec in specs.items() if f"data {name}" in kinds]
    if public := [spec.name for spec in data if spec.published or spec.recipe is not None]:
        talk(f"With a network: zoo data get {' '.join(public)}")
    if own := [spec.name for spec in data if spec.name not in public]:
        talk(f"No public place has {' and '.join(own)}: set ZOO_MIRROR to a folder that does.")
    if weights := [one.reference for one in missing if one.what == "weights"]:
        talk(f"With a network: zoo pull {' '.join(weights)}")


def _packages() -> list[Finding]:
    """The distributions that a plugin requires and that are not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    from packaging.requirements import Requirement

    from zoo_core.discovery.registry import default_registry

    found = []
    for owner in sorted({"zoo-core", *(plugin.distribution for plugin in default_registry().plugins)}):
        missing = []
        try:
            requirements = distribution(owner).requires or []
        except PackageNotFoundError:
            requirements = []
        for text in requirements:
            requirement = Requirement(text)
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
                continue
            try:
                version = distribution(requirement.name).version
                if not requirement.specifier.contains(version, prereleases=True):
                    missing.append(f"{requirement} (here is {version})")
            except PackageNotFoundError:
                missing.append(str(requirement))
        found.append(Finding("-", f"packages of {owner}", not missing, ", ".join(missing) or "all installed"))
    return found


def _examine(reference: str) -> list[Finding]:
    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import ZooError
    from zoo_core.measuring.evaluation import recorded_metrics
    from zoo_core.weights.dependencies import locate_dependencies, locate_parent_of
    from zoo_core.weights.sources import locate

    registry = default_registry()
    found = []
    names: set[str] = set()
    what = "weights"
    try:
        located = locate(reference, registry)
        found.append(Finding(reference, "weights", True, located.source))
        names |= {entry.protocol.dataset for entry in recorded_metrics(located)}
        names |= {located.release.training["data"]} if "data" in located.release.training else set()
        what = "plugin"
        registry.model(located.release.zoo.model)
        what = "dependencies"
        for dependency, needed in locate_dependencies(located, reference, registry):
            registry.model(needed.release.zoo.model)
            found.append(Finding(reference, f"dependency {dependency.reference}", True, needed.source))
        what = "parent"
        for recorded, needed in locate_parent_of(located, reference, registry):
            kind = "parent" if recorded in located.release.ancestors else "dependency"
            found.append(Finding(reference, f"{kind} {recorded.reference}", True, needed.source))
    except ZooError as error:
        found.append(Finding(reference, what, False, error.message))
        names |= _measured_on(reference)
    for name in sorted(names):
        try:
            data = registry.open_dataset(name)
            sizes = ", ".join(f"{split} {data.size(split)}" for split in data.splits)
            found.append(Finding(reference, f"data {name}", True, sizes))
        except ZooError as error:
            found.append(Finding(reference, f"data {name}", False, error.message))
    return found


def _measured_on(reference: str) -> set[str]:
    """The data sets that a manifest names, if the release itself is not on this machine."""
    from zoo_core.discovery.registry import default_registry
    from zoo_core.errors import ZooError
    from zoo_core.weights.manifest import default_manifest
    from zoo_core.weights.reference import NameReference, parse_reference

    try:
        parsed = parse_reference(reference)
        if not isinstance(parsed, NameReference):
            return set()
        pinned = default_manifest(default_registry()).find(parsed.model, parsed.tag)
    except ZooError:
        return set()
    return {entry.protocol.dataset for entry in pinned.entry.metrics}
