"""Measuring a model on a data set."""

from collections.abc import Callable

import torch

from zoo_core.discovery.registry import Registry
from zoo_core.errors import UsageError
from zoo_core.interfaces import capabilities
from zoo_core.interfaces.dataset import Dataset
from zoo_core.interfaces.metric import Measurement, Metric
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.preprocessing import evaluation_generator

BATCH = 100  # examples at a time; no result depends on it


@torch.no_grad()
def measure(
    model: Model,
    data: Dataset,
    split: str,
    metrics: dict[str, Metric],
    *,
    limit: int | None = None,
    on_batch: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Measurement]:
    """Every metric over the split, or its first `limit` examples, in one pass.

    Random input steps make one draw, from the seed that they record.
    """
    training, device = model.training, next(model.parameters()).device
    size = data.size(split) if limit is None else min(limit, data.size(split))
    generator = evaluation_generator(model.input)
    model.eval()
    try:
        for start in range(0, size, BATCH):
            indices = torch.arange(start, min(start + BATCH, size))
            batch = model.preprocess(data.batch(split, indices), generator=generator)
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            for metric in metrics.values():
                metric.update(model, batch)
            on_batch(int(indices[-1]) + 1, size)
    finally:
        model.train(training)
    return {name: metric.compute() for name, metric in metrics.items()}


def fitting_metrics(model: Model, registry: Registry, names: tuple[str, ...] = ()) -> dict[str, Metric]:
    """The named metrics, or all whose capability the model has.

    Raises:
        UsageError: a named metric asks for a capability that the model lacks, or none fits.
    """
    chosen = {}
    for name in names or [offer.spec.name for offer in registry.metrics()]:
        spec = registry.metric(name).spec
        if isinstance(model, capabilities.PROTOCOLS[spec.requires]):
            chosen[spec.name] = registry.new_metric(spec.name)
        elif names:
            raise UsageError(f"metric '{spec.name}' needs the capability {spec.requires}, which this model lacks")
    if not chosen:
        raise UsageError("no installed metric fits what this model can do")
    return chosen
