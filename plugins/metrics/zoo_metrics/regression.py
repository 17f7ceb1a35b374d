"""Regression: how far predictions are from what they should be."""

from collections.abc import Mapping
from typing import Self

import msgspec
import torch
from torch import Tensor

from zoo_core import AnyModel, Dataset, Measurement, UsageError
from zoo_metrics.per_example import MeanOverExamples


class MeanSquaredError(MeanOverExamples):
    """The squared difference between prediction and target, averaged over the targets of an example, then over the
    examples; in the squares of their units.

    Beside it R^2, the share of the targets' variance that is explained: 1 for perfect, 0 for always saying the mean.
    """

    requires = "Regressor"

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[Tensor] = []  # [B, T] float64

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:
        if "target" not in data.features:
            raise UsageError("the data set has no field 'target', which a metric of regression needs")

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        target = batch["target"].double()
        self.targets.append(target.cpu())
        return (model.predict(model.subject_of(batch)).double() - target).square().mean(1)

    def merge(self, other: Self) -> None:
        super().merge(other)
        self.targets += other.targets

    def compute(self) -> Measurement:
        measured = super().compute()
        variance = torch.cat(self.targets).var(0, unbiased=False).mean().item()
        beside = {"r2": 1 - measured.value / variance} if variance > 0 else {}
        return msgspec.structs.replace(measured, beside=beside)
