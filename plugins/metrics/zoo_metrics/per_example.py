"""Metrics that are the mean of one number per example, and noise that belongs to an example."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import torch
from torch import Generator, Tensor

from zoo_core import AnyModel, Measurement, Metric


class MeanOverExamples(Metric):
    """The mean of `per_example`, with the standard error of that mean.

    It keeps the number of every example (80 kB for 10,000), so that two models can be compared example by example.
    """

    estimator = "exact"

    def __init__(self) -> None:
        self.seen: list[Tensor] = []  # [B] float64, one a batch

    @abstractmethod
    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        """The summand of each example of a batch, [B]."""

    def update(self, model: AnyModel, batch: Mapping[str, Tensor]) -> None:
        self.seen.append(self.per_example(model, batch).detach().cpu().double())

    def merge(self, other: Self) -> None:
        self.seen += other.seen

    def examples(self) -> Tensor:
        return torch.cat(self.seen) if self.seen else torch.empty(0, dtype=torch.float64)

    def compute(self) -> Measurement:
        return Measurement.mean_of(self.examples(), self.estimator)


def seeded(index: Tensor) -> Generator:
    """The noise for the examples at the places `index` [B] of a split: the same whichever process draws it."""
    return torch.Generator().manual_seed(int(index[0]))
