"""The train split, for metrics that compare with it or learn from it."""

from collections.abc import Iterator

import torch
from torch import Tensor

from zoo_core import AnyModel, Dataset, UsageError, batches

BATCH = 500


def train_batches(model: AnyModel, data: Dataset, chosen: Tensor | None = None) -> Iterator[dict[str, Tensor]]:
    """The examples of the train split, or those at the places `chosen` [n], preprocessed, on the model's device.

    Raises:
        UsageError: there is no train split.
    """
    if "train" not in data.splits:
        raise UsageError(f"data set '{data.name}' has no train split")
    noise = torch.Generator().manual_seed(0)  # of a random input step
    return batches(model, data, "train", chosen, size=BATCH, generator=noise)
