"""Comparing models: measured on the same examples, side by side, and tested example by example."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Annotated, Any, NamedTuple

import msgspec
import torch
from msgspec import Meta
from torch import Tensor

from zoo_core.discovery.registry import Registry, default_registry, normalise
from zoo_core.discovery.specs import MetricSpec
from zoo_core.errors import MetricFailed, NotComparable, UsageError, ZooError
from zoo_core.interfaces.any_model import AnyModel
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.metric import Measurement, Metric
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.record import Record
from zoo_core.interfaces.step import Step
from zoo_core.measuring.batches import evaluation_batches
from zoo_core.measuring.evaluation import check_fields, entries, is_measurable, measure, recorded_metrics
from zoo_core.measuring.summary import flop_counter
from zoo_core.notebook import html_table
from zoo_core.releases.release import MetricEntry
from zoo_core.steps.notation import plain_step, step_text
from zoo_core.torch_state import keeps_torch_state, torch_state_kept, use_threads_of
from zoo_core.weights.loading import load_located
from zoo_core.weights.manifest import Manifest
from zoo_core.weights.sources import Located, locate


class Difference(Record, kw_only=True):
    """A paired test: the number of this model minus that of the best one, over the same examples.

    What makes an example hard for one model makes it hard for the other too. This cancels in the differences, so their
    standard error is often far smaller than that of either number.

    Attributes:
        mean: the mean difference, in the unit of the metric.
        stderr: the standard error of the mean; None where there is none.
        p: the two-sided p value by the normal approximation, which is too small for fewer than about 30 examples; None
            where there is no standard error.
        n: how many examples.
        identical: whether both models have exactly the same number on every example.
    """

    mean: float
    stderr: Annotated[float, Meta(ge=0)] | None
    p: Annotated[float, Meta(ge=0, le=1)] | None
    n: int
    identical: bool


class Row(Record, kw_only=True):
    """One model of a comparison. FLOPs and speed are those of the first metric that all models have.

    Attributes:
        reference: what was asked for.
        name: MODEL.TAG if a manifest knows it, otherwise the name of the model.
        parameters: how many numbers its parameters hold.
        flops: floating-point operations for one example; see `count_flops`.
        examples_per_second: how fast it was, to compare with other rows only; None if there was only one batch.
        numbers: the measured numbers by metric, without those that ask for what the model cannot do.
        differences: the difference from the best model by metric, where a number is a mean over examples.
    """

    reference: str
    name: str
    parameters: int
    flops: int
    examples_per_second: float | None
    numbers: dict[str, MetricEntry]
    differences: dict[str, Difference] = {}


class Comparison(Record, kw_only=True):
    """A table with a row for each reference, all measured by the same protocol.

    Attributes:
        metrics: the names of the columns.
        rows: a row for each model, in the order of the references.
        best: for each metric that several models have, the number of the best row.
    """

    metrics: list[str]
    rows: list[Row]
    best: dict[str, int]

    def __repr__(self) -> str:
        return "\n".join(["\t".join(cells) for cells in (self._header(), *self._cells())])

    def _repr_html_(self) -> str:
        return html_table(self._header(), self._cells())

    def _header(self) -> list[str]:
        return ["model", "parameters", *self.metrics]

    def _cells(self) -> list[list[str]]:
        return [
            [row.reference, f"{row.parameters:,}", *(self._cell(number, metric) for metric in self.metrics)]
            for number, row in enumerate(self.rows)
        ]

    def _cell(self, number: int, metric: str) -> str:
        entry = self.rows[number].numbers.get(metric)
        return "-" if entry is None else entry.text() + " (best)" * (self.best.get(metric) == number)


@keeps_torch_state
def compare(
    references: Sequence[str],
    *,
    data: str | None = None,
    split: str = "test",
    metrics: Sequence[str] = (),
    limit: int | None = None,
    device: str = "cpu",
    registry: Registry | None = None,
    manifest: Manifest | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> Comparison:
    """Measure two or more releases on the same examples, and test each against the best.

    Each p value is that of a single test: among many models, some are small by chance.

    Args:
        references: as for `load`; the same one may be given twice.
        data: the name of a data set; by default the one on which all of them were measured.
        split: the name of its split.
        metrics: the names of metrics; by default all that fit what the models can do.
        limit: use only so many examples, chosen with seed 0.
        device: where to compute, such as "cpu" or "cuda".
        registry: the plugins; by default those that are installed.
        manifest: the published releases; by default those that the plugins list.
        on_batch: called after each batch with two numbers: the examples done and all examples, over all models.

    Raises:
        UsageError: a wrong name, fewer than two references, no metric that all models have, no data set that all
            record, or one that does not fit.
        NotComparable: the models would be measured by different protocols.
    """
    if len(references) < 2:
        raise UsageError("a comparison needs two references or more")
    registry = registry or default_registry()
    located = [locate(reference, registry, manifest, unfinished=True) for reference in references]
    dataset = registry.open_dataset(normalise(data or _recorded_data(references, located)))
    every = [registration.spec.name for registration in registry.metrics()]
    names = metrics or [name for name in every if not registry.new_metric(name).on_request]
    specs = list(dict.fromkeys(registry.metric(name).spec for name in names))
    candidates = []
    for reference, found in zip(references, located, strict=True):
        model = load_located(found, reference, device=device, registry=registry, manifest=manifest)
        _check_data(reference, model, dataset)
        fitting = [
            spec.name
            for spec in specs
            if spec.requires in model.capabilities and is_measurable(registry.new_metric(spec.name), dataset)
        ]
        candidates.append(_Candidate(reference, found.name, model, fitting))
    common = _common_metric(candidates, registry)
    _check_inputs(candidates)

    measured = []
    for number, candidate in enumerate(candidates):

        def report(done: int, size: int, number: int = number) -> None:
            on_batch(number * size + done, len(candidates) * size)

        with torch_state_kept(device):  # the next model may leave the number of threads to torch
            use_threads_of(candidate.model)
            measured.append(_measure(candidate, dataset, split, common, registry, limit, report))
    return _side_by_side(specs, measured)


@torch.no_grad()
def count_flops(model: AnyModel, data: Dataset, split: str, metric: Metric) -> int:
    """The floating-point operations that the capability behind `metric` takes for one example.

    Matrix products and convolutions, as `zoo summary` counts them; elementwise operations are not.
    """
    (batch,) = evaluation_batches(model, data, split, 1)
    metric.begin(model, data, split, min(2, data.size(split)))
    with flop_counter() as counter:
        metric.update(model, batch)
    return int(counter.get_total_flops())


def paired_difference(values: Tensor, best: Tensor) -> Difference:
    """The mean of `values - best`, [n] each, the same examples in the same order, and whether it could be chance.

    Under the hypothesis of no difference, mean / stderr is standard normal where n is large: p = erfc(|z| / sqrt(2)).
    """
    found, identical = Measurement.mean_of(values - best), torch.equal(values, best)
    p: float | None
    if identical:
        p = 1.0
    elif found.stderr is None:
        p = None
    else:
        p = math.erfc(abs(found.value) / found.stderr / math.sqrt(2)) if found.stderr else 0.0
    return Difference(mean=found.value, stderr=found.stderr, p=p, n=found.n, identical=identical)


class _Candidate(NamedTuple):
    """A model that takes part."""

    reference: str
    name: str
    model: AnyModel
    fitting: list[str]  # the metrics that it can be measured by


class _Measured(NamedTuple):
    """What was found of it, and the summands [n] of each metric that is a mean of examples."""

    row: Row
    examples: dict[str, Tensor]


class _Timed(Metric):
    """Another metric, and how fast it takes in what it is fed."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric
        self.__module__ = metric.__module__  # its errors are told as those of the metric
        self.rates: list[float] = []  # examples per second, of each batch

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:
        self.metric.begin(model, data, split, n)

    def update(self, model: AnyModel, batch: Mapping[str, Any]) -> None:
        began = time.perf_counter()
        self.metric.update(model, batch)
        self.rates.append(len(batch["index"]) / (time.perf_counter() - began))

    def merge(self, other: Metric) -> None:
        self.metric.merge(other)

    def compute(self) -> Measurement:
        return self.metric.compute()

    def examples_per_second(self) -> float | None:
        """The median over the batches, without the first, in which things are still being set up."""
        return median(self.rates[1:]) if len(self.rates) > 1 else None


def _recorded_data(references: Sequence[str], located: Sequence[Located]) -> str:
    """The data set that all releases record a number on."""
    recorded = [{entry.protocol.dataset for entry in recorded_metrics(found)} for found in located]
    common = set.intersection(*recorded)
    if len(common) == 1:
        return common.pop()
    said = [f"'{name}' on {' and '.join(sorted(on)) or 'none'}" for name, on in zip(references, recorded, strict=True)]
    raise UsageError(f"there is no one data set that all were measured on: {', '.join(said)}", "Give --data NAME.")


def _check_data(reference: str, model: Model, data: Dataset) -> None:
    try:
        check_fields(model, data)
    except UsageError as error:
        raise UsageError(f"'{reference}': {error.message}", error.hint) from None


def _common_metric(candidates: Sequence[_Candidate], registry: Registry) -> str:
    """The first metric that all models have; if there is one, a mean of examples, for it sees each of them."""
    common = [name for name in candidates[0].fitting if all(name in candidate.fitting for candidate in candidates)]
    if common:
        return min(common, key=lambda name: registry.new_metric(name).examples() is None)
    said = [f"'{candidate.reference}' has {', '.join(candidate.fitting) or 'none'}" for candidate in candidates]
    raise UsageError(f"there is no metric that all of these models have: {'; '.join(said)}")


def _check_inputs(candidates: Sequence[_Candidate]) -> None:
    """All models must see the same examples, so the steps between the data and the model must be the same."""
    first = candidates[0]
    for other in candidates[1:]:
        if other.model.input != first.model.input:
            raise NotComparable(
                f"'{first.reference}' and '{other.reference}' do not see the same examples: "
                f"the input of one is {_steps_text(first.model.input)}, of the other {_steps_text(other.model.input)}"
            )


def _steps_text(steps: Sequence[Step]) -> str:
    return " ".join(step_text(plain_step(step)) for step in steps) or "the data as it is"


def _measure(
    candidate: _Candidate,
    data: Dataset,
    split: str,
    common: str,
    registry: Registry,
    limit: int | None,
    on_batch: Callable[[int, int], None],
) -> _Measured:
    """All metrics of a model in one pass; FLOPs and speed are those of the common one."""
    model = candidate.model
    metrics = {name: registry.new_metric(name) for name in candidate.fitting}
    timed = _Timed(metrics[common])
    rest = {name: metric for name, metric in metrics.items() if name != common}
    # The timed one comes first: it is the one that asks the model, and others may get the same answer for nothing.
    found = measure(
        model,
        data,
        split,
        {common: timed, **rest},
        limit=limit,
        on_batch=on_batch,
        on_unmeasurable=_refuse_failures,
    )
    row = Row(
        reference=candidate.reference,
        name=candidate.name,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        flops=count_flops(model, data, split, registry.new_metric(common)),
        examples_per_second=timed.examples_per_second(),
        numbers={entry.metric: entry for entry in entries(model, data, split, found, registry)},
    )
    examples = {name: metric.examples() for name, metric in metrics.items()}
    return _Measured(row, {name: values for name, values in examples.items() if values is not None})


def _refuse_failures(metric: str, why: ZooError) -> None:
    """A metric that cannot be had of one model is an empty cell; one that breaks off is no comparison."""
    if isinstance(why, MetricFailed):
        raise why


def _side_by_side(specs: Sequence[MetricSpec], measured: Sequence[_Measured]) -> Comparison:
    """The rows as a table, with their differences from the best."""
    best = _best_rows(specs, [row for row, _ in measured])
    rows = []
    for number, (row, examples) in enumerate(measured):
        differences = {
            name: paired_difference(examples[name], measured[top].examples[name])
            for name, top in best.items()
            if name in examples and number != top
        }
        rows.append(msgspec.structs.replace(row, differences=differences))
    columns = [spec.name for spec in specs if any(spec.name in row.numbers for row in rows)]
    return Comparison(metrics=columns, rows=rows, best=best)


def _best_rows(specs: Sequence[MetricSpec], rows: Sequence[Row]) -> dict[str, int]:
    """The number of the best row, by metric that several have; the first of equals."""
    best = {}
    for spec in specs:
        entry_of = {number: row.numbers[spec.name] for number, row in enumerate(rows) if spec.name in row.numbers}
        if len(entry_of) < 2:
            continue
        ways = sorted({f"{entry.protocol.estimator}, n = {entry.protocol.n}" for entry in entry_of.values()})
        if len(ways) > 1:  # data, split and input are the same
            raise NotComparable(f"{spec.name} was not measured in one way: {' and '.join(ways)}")
        sign = -1 if spec.higher_is_better else 1
        badness = {number: sign * entry.value for number, entry in entry_of.items()}
        best[spec.name] = min(badness, key=lambda number: (math.isnan(badness[number]), badness[number]))
    return best
