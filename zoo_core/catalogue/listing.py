"""What there is: every model of every plugin and every release of every manifest, read without torch."""

from fnmatch import fnmatchcase
from typing import NamedTuple

from zoo_core.discovery.registry import Registration, Registry, normalise, split_path, unknown
from zoo_core.discovery.specs import ModelSpec
from zoo_core.releases.release import MetricEntry
from zoo_core.weights.manifest import Manifest, Pinned, default_manifest, distribution_of, install_hint


class Listing(NamedTuple):
    """One row of `zoo list`: a model with one of its releases, or a model without any.

    Attributes:
        family: the name of the plugin, as in `family:model`; if it is not installed, the name of its distribution.
        reference: what `load` takes: MODEL or MODEL.TAG.
        model: the name of the model.
        tag: the tag of the release; None for a model without releases.
        default: True if the name of the model alone means this release.
        summary: what it is, in one line.
        task: what it is for, such as "classification".
        capabilities: what the model can do.
        plugin: the distribution of its plugin; if it is not installed, the requirement, with the version.
        install: the command that installs the plugin; None if it is installed.
        metrics: the measured numbers of the release.
    """

    family: str
    reference: str
    model: str
    tag: str | None
    default: bool
    summary: str
    task: str
    capabilities: tuple[str, ...]
    plugin: str
    install: str | None
    metrics: list[MetricEntry]

    def metric(self, name: str) -> MetricEntry | None:
        """The entry of a metric, if it was measured."""
        return next((entry for entry in self.metrics if entry.metric == name), None)


def list_models(
    pattern: str = "*",
    *,
    task: str | None = None,
    data: str | None = None,
    capability: str | None = None,
    sort: str | None = None,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
) -> list[str]:
    """The names of models and releases, as `load` and `info` take them.

    Args:
        pattern: a glob of names, such as "pixel*"; by default all.
        task: only models for this task, such as "density-estimation".
        data: only releases that were measured on this data set.
        capability: only models that can do this, such as "Sampler".
        sort: a metric: best first, and only those that have it; see `listings`.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.

    Raises:
        UnknownName: there is no such task, data set, capability or metric.
    """
    rows = listings(
        pattern, task=task, data=data, capability=capability, sort=sort, registry=registry, manifest=manifest
    )
    return [row.reference for row in rows]


def listings(
    pattern: str = "*",
    *,
    task: str | None = None,
    data: str | None = None,
    capability: str | None = None,
    sort: str | None = None,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
) -> list[Listing]:
    """The rows of `zoo list`: models and releases with their summaries and numbers.

    Args:
        pattern: a glob of names, such as "pixel*"; by default all.
        task: only models for this task, such as "density-estimation".
        data: only releases that were measured on this data set.
        capability: only models that can do this, such as "Sampler".
        sort: a metric: best first, and only rows that have it. Rows whose protocols differ are kept apart.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.

    Raises:
        UnknownName: there is no such task, data set, capability or metric.
    """
    from zoo_core.discovery.registry import default_registry

    registry = registry or default_registry()
    manifest = manifest or default_manifest(registry)
    rows: list[Listing] = []
    for registration in registry.models():
        releases: list[Pinned | None] = [*manifest.of_model(registration.spec.name)]
        default = manifest.default(registration.spec.name)
        rows += [
            _listing(registration, pinned, pinned is not None and pinned is default) for pinned in releases or [None]
        ]
    here = {row.model for row in rows}
    rows += [_not_installed(pinned) for pinned in manifest.pinned.values() if pinned.model not in here]

    _check_names(rows, registry, task, data, capability)
    wanted = normalise(pattern)
    rows = [row for row in rows if fnmatchcase(row.reference, wanted) or fnmatchcase(row.model, wanted)]
    if task is not None:
        rows = [row for row in rows if row.task == normalise(task)]
    if data is not None:
        rows = [row for row in rows if any(entry.protocol.dataset == normalise(data) for entry in row.metrics)]
    if capability is not None:
        rows = [row for row in rows if capability.lower() in {name.lower() for name in row.capabilities}]
    if sort is not None:
        sign = -1 if registry.metric(sort).spec.higher_is_better else 1
        measured = [(entry, row) for row in rows if (entry := row.metric(sort.replace("-", "_")))]
        measured.sort(key=lambda pair: (_protocol(pair[0]), sign * pair[0].value))
        return [row for _, row in measured]
    return sorted(rows, key=lambda row: (row.model, not row.default, row.reference))


def _check_names(
    rows: list[Listing], registry: Registry, task: str | None, data: str | None, capability: str | None
) -> None:
    """Tell a name that nothing has from one that only finds nothing."""
    tasks = {row.task for row in rows if row.task}  # where the plugin is not installed, it is not known
    if task is not None and normalise(task) not in tasks:
        raise unknown("task", task, tasks)
    datasets = {registration.spec.name for registration in registry.datasets()}
    datasets |= {entry.protocol.dataset for row in rows for entry in row.metrics}
    if data is not None and split_path(normalise(data))[0] not in datasets:
        raise unknown("data set", data, datasets)
    capabilities = [spec.name for spec in registry.capabilities()]
    if capability is not None and capability.lower() not in map(str.lower, capabilities):
        raise unknown("capability", capability, capabilities)


def releases_here(registry: Registry | None = None) -> list[str]:
    """The names of all releases whose plugin is installed."""
    return [row.reference for row in listings(registry=registry) if row.tag and not row.install]


def _protocol(entry: MetricEntry) -> str:
    protocol = entry.protocol
    return (
        f"{protocol.dataset} {protocol.split} {protocol.n} {protocol.data_sha256} {protocol.estimator} {protocol.input}"
    )


def _listing(registration: Registration[ModelSpec], pinned: Pinned | None, default: bool) -> Listing:
    spec = registration.spec
    return Listing(
        family=registration.plugin.name,
        reference=pinned.name if pinned else spec.name,
        model=spec.name,
        tag=pinned.tag if pinned else None,
        default=default,
        summary=pinned.entry.summary if pinned else spec.summary,
        task=spec.task,
        capabilities=spec.capabilities,
        plugin=registration.plugin.distribution,
        install=None,
        metrics=pinned.entry.metrics if pinned else [],
    )


def _not_installed(pinned: Pinned) -> Listing:
    return Listing(
        family=distribution_of(pinned.entry.plugin),
        reference=pinned.name,
        model=pinned.model,
        tag=pinned.tag,
        default=pinned.entry.default,
        summary=pinned.entry.summary,
        task="",
        capabilities=(),
        plugin=pinned.entry.plugin,
        install=install_hint(pinned.entry.plugin),
        metrics=pinned.entry.metrics,
    )
