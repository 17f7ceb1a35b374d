"""Likelihoods of exact densities."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics import MeanMetric

from zoo_core import Measurement, Metric, Model


class NegativeLogLikelihood(Metric):
    """Mean of -log p(x) over the examples, in nats, with the standard error of that mean."""

    requires = "Density"

    def __init__(self) -> None:
        # Sums in float64: a float32 sum of 10,000 likelihoods is off in the digit that tables print.
        self.mean, self.mean_square = MeanMetric().set_dtype(torch.float64), MeanMetric().set_dtype(torch.float64)
        self.n = 0

    def update(self, model: Model, batch: Mapping[str, Tensor]) -> None:
        nll = self.per_example(model, batch["image"]).double().cpu()
        self.mean.update(nll)
        self.mean_square.update(nll**2)
        self.n += len(nll)

    def per_example(self, model: Model, x: Tensor) -> Tensor:
        """The summand of each x, [B]."""
        return -model.log_prob(x)

    def merge(self, other: "NegativeLogLikelihood") -> None:
        self.mean.merge_state(other.mean)
        self.mean_square.merge_state(other.mean_square)
        self.n += other.n

    def compute(self) -> Measurement:
        mean = self.mean.compute().item()
        variance = max(self.mean_square.compute().item() - mean**2, 0.0) * self.n / max(self.n - 1, 1)
        return Measurement(value=mean, stderr=math.sqrt(variance / self.n), n=self.n, estimator="exact")


class BitsPerDim(NegativeLogLikelihood):
    """Negative log-likelihood divided by the number of values of x, in bits."""

    def per_example(self, model: Model, x: Tensor) -> Tensor:
        return super().per_example(model, x) / (x[0].numel() * math.log(2))
