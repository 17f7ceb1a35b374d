"""Each model's file opens with what its published weights reach, and with what it does otherwise than its paper."""

import ast
from importlib.util import find_spec
from pathlib import Path

from zoo_core import default_registry
from zoo_core.releases.release import MetricEntry, ReleaseConfig, read_release
from zoo_core.weights.manifest import Pinned, read_manifest
from zoo_core.weights.reference import PackageReference, parse_reference

MANIFESTS = Path(__file__).parents[1] / "weights_manifest"


def pinned() -> list[Pinned]:
    return [one for path in sorted(MANIFESTS.glob("*.toml")) for one in read_manifest(path)]


def file_of(model: str) -> Path:
    found = find_spec(default_registry().model(model).spec.target.partition(":")[0])
    assert found is not None and found.origin is not None
    return Path(found.origin)


def opening(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def shipped(one: Pinned) -> ReleaseConfig | None:
    """The release, where it is part of a package."""
    for reference in map(parse_reference, one.entry.sources):
        if isinstance(reference, PackageReference):
            found = find_spec(reference.package)
            assert found is not None and found.origin is not None
            return read_release(Path(found.origin).parent / reference.path)
    return None


def claim(name: str, metric: MetricEntry, release: ReleaseConfig | None) -> str:
    """The first number of a release with its protocol; how often it was trained, and for how long."""
    protocol, again = metric.protocol, metric.reproduce
    steps = " and ".join(str(step["step"]) for step in protocol.input)
    text = f"{name}: {metric.text()}, n = {protocol.n:,}, {protocol.estimator}{f', after {steps}' if steps else ''}; "
    text += "1 run" if again is None else f"1 run, and {again.seeds} more with mean {again.mean:.4g} ± {again.std:.2g}"
    if release is not None:
        hours, processes = release.training["wall_seconds"] / 3600, release.training["processes"]
        text += f", {f'{hours:.2g}' if hours >= 0.01 else 'under 0.01'} h"
        text += f" with {processes} processes" if processes > 1 else ""
    return text


def test_the_claims_in_a_models_file_are_those_of_the_manifest() -> None:
    """A new release fails here with the line that its model's file must have."""
    missing = []
    for one in pinned():
        line = claim(one.name, one.entry.metrics[0], shipped(one))
        path = file_of(one.model)
        if line not in " ".join(opening(path).split()):
            missing.append(f"{path.name}: {line}")
    assert not missing, "\n".join(missing)


def test_no_file_claims_what_no_manifest_records() -> None:
    names = {one.name for one in pinned()}
    for path in {file_of(one.model) for one in pinned()}:
        for line in opening(path).splitlines():
            name, colon, _ = line.strip().partition(": ")
            if colon and "." in name and name.partition(".")[0] in {one.model for one in pinned()}:
                assert name in names, f"{path.name} claims {name}"


def test_what_follows_a_paper_lists_where_it_departs_from_it() -> None:
    for path in {file_of(one.model) for one in pinned()}:
        text = opening(path)
        if "\nFollows " in text:
            assert "Departs from [1]:\n    * " in text, path.name
