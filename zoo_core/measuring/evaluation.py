"""Measuring a model on a data set."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple

import torch

from zoo_core.discovery.registry import Registry, default_registry, normalise
from zoo_core.errors import MetricFailed, UsageError, ZooError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.capability_table import CAPABILITIES
from zoo_core.interfaces.dataset import Dataset, Episodes
from zoo_core.interfaces.metric import Measurement, Metric
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.step import fields_after
from zoo_core.measuring.batches import evaluation_batches
from zoo_core.measuring.running import Running, failure
from zoo_core.notebook import html_table
from zoo_core.pictures.plots import save_plot
from zoo_core.processes import Processes
from zoo_core.releases.release import MetricEntry, Protocol
from zoo_core.steps.notation import plain_step
from zoo_core.torch_state import keeps_torch_state, use_threads_of
from zoo_core.weights.loading import load_located
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.sources import Located, locate


@torch.no_grad()
def measure(
    model: AnyModel,
    data: Dataset,
    split: str,
    metrics: Mapping[str, Metric],
    *,
    limit: int | None = None,
    batch: int | None = None,
    processes: Processes | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
    on_unmeasurable: Callable[[str, ZooError], None] = lambda name, why: None,
    required: bool = True,
    pictures: Path | None = None,
) -> dict[str, Measurement]:
    """Compute every metric over a split, or over `limit` examples of it that are chosen with seed 0, in one pass.

    Random input steps use the seed that they record. `batch` is how many examples are taken at a time; fewer need less
    memory. With several processes, each measures a part of the batches, and all get the result. A metric that cannot be
    measured here, or that stops with an error (`MetricFailed`), is left out, and `on_unmeasurable` is told why. The
    plots of metrics are written into the folder `pictures`, under the names of the metrics.

    Raises:
        ZooError: not one of the metrics can be had here, and that is `required`; or none of them draws, and pictures
            were asked for.
    """
    if pictures is not None and not any(metric.plotted for metric in metrics.values()):
        raise UsageError(f"nothing to draw: of {', '.join(metrics)} there is no picture")
    processes = processes or Processes(str(model.device))
    training = model.training
    size = data.size(split) if limit is None else min(limit, data.size(split))
    running = Running(metrics)
    model.eval()
    try:
        for name, metric in running.each():
            with running.noting(name, beginning=True):
                metric.begin(model, data, split, size)
        with _each_method_once(model):
            batches = evaluation_batches(model, data, split, size, batch) if running.metrics else ()
            done = 0
            for number, examples in enumerate(batches):
                if number % processes.count == processes.rank:
                    for name, metric in running.each():
                        with running.noting(name):
                            metric.update(model, examples)
                done += len(examples["index"])
                on_batch(done, size)
    finally:
        model.train(training)
    running.join(processes.gather(running))
    found = {}
    for name, metric in running.each():
        with running.noting(name):
            found[name] = metric.compute()
    if required and running.failed and not found:
        raise next(iter(running.failed.values()))
    for name, why in running.failed.items():
        on_unmeasurable(name, why)
    if pictures is not None and processes.is_main:
        _save_plots(running, model, pictures, f"{data.name} {split}, n = {size}")
    return found


def _save_plots(running: Running, model: AnyModel, folder: Path, protocol: str) -> None:
    """What the metrics plot, by their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, metric in running.each():
        if metric.plotted is not None:
            save_plot(metric, model, folder / f"{name}.png", title=f"{metric.plotted}: {protocol}")


@contextmanager
def _each_method_once(model: Model) -> Iterator[None]:
    """Several metrics may ask the model the same: it answers again what it said of the same x just before."""

    def remembering(method: Callable[..., Any]) -> Callable[..., Any]:
        asked: Any = None
        answer: Any = None

        @wraps(method)  # metrics look at the signature: a VAE's `encode` samples if it is given a generator
        def ask(x: Any, *more: Any, **options: Any) -> Any:
            nonlocal asked, answer
            if more or options:
                return method(x, *more, **options)
            if x is not asked:
                answer, asked = method(x), x
            return answer

        return ask

    methods = [spec.method for spec in CAPABILITIES if spec.exact and spec.name in model.capabilities]
    for name in methods:
        setattr(model, name, remembering(getattr(model, name)))
    try:
        yield
    finally:
        for name in methods:
            delattr(model, name)


def fitting_metrics(
    model: Model,
    registry: Registry,
    names: Sequence[str] = (),
    *,
    data: Dataset | None = None,
    recorded: Collection[str] = (),
    on_unmeasurable: Callable[[str, ZooError], None] = lambda name, why: None,
) -> dict[str, Metric]:
    """The named metrics, or all whose capability the model has and that can be measured on `data` (None: some data
    set); of those on request, only the `recorded` ones. One that was not named and cannot even be made is left out, and
    `on_unmeasurable` told why.

    Raises:
        UsageError: a named metric asks for a capability that the model lacks, or for other data; or none fits.
    """
    chosen = {}
    for name in names or [registration.spec.name for registration in registry.metrics()]:
        spec = registry.metric(name).spec
        if spec.requires not in model.capabilities:
            if names:
                raise UsageError(f"metric '{spec.name}' needs the capability {spec.requires}, which this model lacks")
            continue
        try:
            metric = registry.new_metric(spec.name)
        except Exception as error:
            why = failure(spec.name, registry.metric(name).plugin.distribution, error)
            if names:
                raise why from error
            on_unmeasurable(spec.name, why)
            continue
        if names:
            check_measurable(spec.name, metric, data)
        if names or (is_measurable(metric, data) and (not metric.on_request or spec.name in recorded)):
            chosen[spec.name] = metric
    if not chosen:
        raise UsageError("no installed metric fits what this model can do")
    return chosen


def is_measurable(metric: Metric, data: Dataset | None) -> bool:
    """Whether a metric and the data fit each other: both are about episodes, or both about examples."""
    return metric.episodes == isinstance(data, Episodes)


def check_measurable(name: str, metric: Metric, data: Dataset | None) -> None:
    """Raise a UsageError if a metric is about episodes and the data are examples, or the other way round."""
    if not is_measurable(metric, data):
        if metric.episodes:
            raise UsageError(f"metric '{name}' is measured over episodes, not on a data set", "Give --data episodes.")
        raise UsageError(f"metric '{name}' is measured on a data set, and there is none", "Name one: --data NAME.")


def entries(
    model: Model, data: Dataset, split: str, measured: Mapping[str, Measurement], registry: Registry
) -> list[MetricEntry]:
    """Measurements with their protocol, as a release and a manifest record them."""
    found = []
    for name, measurement in measured.items():
        protocol = Protocol(
            dataset=data.name,
            split=split,
            n=measurement.n,
            data_sha256=data.data_sha256(split),
            estimator=measurement.estimator,
            input=[plain_step(step) for step in model.input],
        )
        found.append(
            MetricEntry(
                metric=name,
                value=measurement.value,
                unit=registry.metric(name).spec.unit,
                stderr=measurement.stderr,
                tolerance=1e-4 * max(1.0, abs(measurement.value)),  # other processors round differently
                protocol=protocol,
            )
        )
    return found


class Check(NamedTuple):
    """A number that was measured now, beside the recorded one.

    Attributes:
        measured: the new number.
        recorded: the number that the release or a manifest records; None if there is none.
        verdict: "same", "different", "other data" or "not recorded".
        beside: further numbers that help to read it; see `Measurement`.
    """

    measured: MetricEntry
    recorded: MetricEntry | None
    verdict: str
    beside: Mapping[str, float] = {}


class Evaluation(NamedTuple):
    """What `evaluate` found.

    Attributes:
        located: the release, and where it is.
        checks: each number beside the recorded one.
        unmeasurable: the metrics that cannot be measured here, each with the reason.
        failed: the metrics that stopped with an error, each with the error.
    """

    located: Located
    checks: list[Check]
    unmeasurable: dict[str, str]
    failed: dict[str, str] = {}

    @property
    def metrics(self) -> list[MetricEntry]:
        """The numbers measured now."""
        return [check.measured for check in self.checks]

    def __repr__(self) -> str:
        return f"<{self.located.name}: {'; '.join(f'{c.measured.text()}, {c.verdict}' for c in self.checks)}>"

    def _repr_html_(self) -> str:
        rows = [[c.measured.text(), c.recorded.text() if c.recorded else "-", c.verdict] for c in self.checks]
        return html_table([self.located.name, "recorded", "verdict"], rows)


@keeps_torch_state
def evaluate(
    reference: str,
    *,
    data: str | None = None,
    split: str | None = None,
    metrics: Sequence[str] = (),
    limit: int | None = None,
    batch: int | None = None,
    data_file: Path | None = None,
    device: str = "cpu",
    pictures: Path | None = None,
    registry: Registry | None = None,
    manifest: Manifest | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Measure a release again, and compare with what it and the manifest record.

    Args:
        reference: as for `load`.
        data: the name of a data set; by default the one on which the release was measured, or otherwise trained.
        split: by default "test"; for a run that has not ended, "validation", because nothing is chosen on test.
        metrics: the names of metrics; by default all that fit what the model can do, slow ones only if recorded.
        limit: use only this many examples, chosen with seed 0; the result then has another protocol.
        batch: examples at a time, by default 100. Fewer need less memory; metrics with noise of their own then use
            other random numbers.
        data_file: the user's own file, for a data set that takes one.
        device: where to compute, such as "cpu" or "cuda".
        pictures: a folder for the plots of metrics: accuracy.png is the confusion matrix.
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.
        on_batch: called after each batch with two numbers: the examples done, and all examples.

    Raises:
        ZooError: there is no such release or no such data, or none of the metrics can be measured here.
    """
    unmeasurable: dict[str, str] = {}
    failed: dict[str, str] = {}

    def left_out(metric: str, why: ZooError) -> None:
        (failed if isinstance(why, MetricFailed) else unmeasurable)[metric] = why.message

    registry = registry or default_registry()
    located = locate(reference, registry, manifest, unfinished=True)
    split = split or ("test" if located.unfinished is None else "validation")
    recorded = recorded_metrics(located)
    name = data or next((entry.protocol.dataset for entry in recorded), located.release.training.get("data"))
    if name is None:
        raise UsageError(f"'{reference}' records no data that it was measured or trained on", "Give --data NAME.")
    processes = Processes(device)
    model = load_located(located, reference, device=str(processes.device), registry=registry, manifest=manifest)
    use_threads_of(model)
    dataset = registry.open_dataset(normalise(name), data_file)
    same = (dataset.name, split)
    here = [entry.metric for entry in recorded if (entry.protocol.dataset, entry.protocol.split) == same]
    chosen = fitting_metrics(model, registry, metrics, data=dataset, recorded=here, on_unmeasurable=left_out)
    check_fields(model, dataset)
    measured = measure(
        model,
        dataset,
        split,
        chosen,
        limit=limit,
        batch=batch,
        processes=processes,
        on_batch=on_batch,
        on_unmeasurable=left_out,
        pictures=pictures,
    )
    checks = [
        check(entry, recorded)._replace(beside=measured[entry.metric].beside)
        for entry in entries(model, dataset, split, measured, registry)
    ]
    return Evaluation(located, checks, unmeasurable, failed)


def recorded_metrics(located: Located) -> list[MetricEntry]:
    """The numbers that the manifest records, or else those of the release itself."""
    pinned = located.pinned.entry.metrics if located.pinned is not None else []
    return list(pinned or located.release.metrics)


def check(measured: MetricEntry, recorded: Sequence[MetricEntry]) -> Check:
    """The recorded number that `measured` can be compared with, and the result of the comparison."""
    same_name = [entry for entry in recorded if entry.metric == measured.metric]
    for entry in same_name:
        if entry.protocol == measured.protocol:
            close = abs(entry.value - measured.value) <= entry.tolerance
            return Check(measured, entry, "same" if close else "different")
    return Check(measured, same_name[0] if same_name else None, "other data" if same_name else "not recorded")


def check_fields(model: Model, data: Dataset) -> None:
    """Check that the data have what the model takes. Without a data set, the model's own source has it.

    Raises:
        UsageError: a field is missing, or of another shape, index, number of levels or classes, or has a value that the
            model would not leave out; or a name is taken.
    """
    if isinstance(data, Episodes):
        return
    fields = fields_after(model.input, data.features)
    if "index" in {*fields, *(field.index for field in fields.values())}:
        raise UsageError(f"data set '{data.name}' has a field 'index', where metrics find the places of the examples")
    for name, wanted in model.signature().items():
        field = fields.get(name)
        if field is None:
            raise UsageError(f"data set '{data.name}' has no field '{name}', which the model needs")
        if not field.fits(wanted) or (wanted.levels and field.levels != wanted.levels):
            found, needed = f"{field.shape}", f"{wanted.shape}"
            if wanted.levels:
                found += f" with {field.levels or 'any number of'} levels"
                needed += f" with {wanted.levels}"
            raise UsageError(f"data set '{data.name}' does not fit the model: '{name}' is {found}, not {needed}")
        if field.index != wanted.index:
            found, needed = (f"packed by '{f.index}'" if f.ragged else "one an example" for f in (field, wanted))
            raise UsageError(f"data set '{data.name}' does not fit the model: '{name}' is {found}, not {needed}")
        if wanted.classes and field.classes and field.classes != wanted.classes:
            found, needed = (", ".join(f.classes[:5]) + (" …" if len(f.classes) > 5 else "") for f in (field, wanted))
            raise UsageError(f"data set '{data.name}' has other classes than the model: {found}; not {needed}")
        for what, its, own in (("pad", field.pad, wanted.pad), ("ignore", field.ignore, wanted.ignore)):
            if its is not None and its != own:
                found, needed = f"has {what} = {its}", f"{what} = {own}"
                raise UsageError(f"data set '{data.name}' does not fit the model: '{name}' {found}, not {needed}")
