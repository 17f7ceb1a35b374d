"""What is measured: which examples of a split, and how a model gets them."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from zoo_core.interfaces.batches import batches, packed_fields, part_of, to_device
from zoo_core.interfaces.dataset import Dataset, Episodes
from zoo_core.interfaces.model import Model

BATCH = 100  # examples at a time; no result depends on it, but for the draws of metrics that have their own noise


def chosen_examples(data: Dataset, split: str, n: int) -> Tensor:
    """Which examples of a split are measured: all, or n of them chosen with seed 0, because many splits are sorted.

    Args:
        data: the data set.
        split: the name of the split.
        n: how many examples are wanted.

    Returns:
        Their places in the split, ascending, [n] int64.
    """
    if n >= data.size(split):
        return torch.arange(data.size(split))
    return torch.randperm(data.size(split), generator=torch.Generator().manual_seed(0))[:n].sort().values


def evaluation_batches(
    model: Model, data: Dataset, split: str, size: int, batch: int | None = None
) -> Iterator[dict[str, Any]]:
    """`size` examples of a split in order, as `zoo_core.batches` returns them, with the same random inputs each time.

    `batch` is how many there are at a time, by default 100. The random numbers do not depend on it: where there are
    any, a hundred examples are prepared at once and then cut, so that there are never more at a time.
    """
    batch = batch or BATCH
    draws = type(model).random_inputs is not Model.random_inputs or any(
        s.evaluation_seed is not None for s in model.input
    )
    packed = packed_fields({**data.features, **model.signature()})
    for prepared in _prepared(model, data, split, size, BATCH if draws else batch):
        n = len(prepared["index"])
        if n <= batch:
            yield prepared
        else:
            yield from (part_of(prepared, slice(i, min(i + batch, n)), packed) for i in range(0, n, batch))


def _prepared(model: Model, data: Dataset, split: str, size: int, batch: int) -> Iterator[dict[str, Any]]:
    """As `evaluation_batches`; what is drawn depends on `batch`."""
    draws = torch.Generator().manual_seed(0)
    stream = next(iter(model.streams(0.0)))
    for examples in batches(model, data, split, chosen_examples(data, split, size), size=batch):
        drawn = {} if isinstance(data, Episodes) else model.random_inputs(stream, len(examples["index"]), draws)
        yield examples | to_device(drawn, model.device)
