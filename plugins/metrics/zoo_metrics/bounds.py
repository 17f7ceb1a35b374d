"""Lower bounds on a log-likelihood.

Kingma and Welling, "Auto-encoding variational Bayes", 2013 (arXiv:1312.6114) [1]; Burda et al., "Importance weighted
autoencoders", 2015 (arXiv:1509.00519) [2].

Axes: B batch.
"""

import math
from collections.abc import Mapping

import torch
from torch import Generator, Tensor

from zoo_core import AnyModel
from zoo_metrics.per_example import MeanOverExamples, seeded

ROWS = 500  # latents of an example that are drawn at once


class Elbo(MeanOverExamples):
    """Mean over the examples of the evidence lower bound ([1], equation 3), estimated with one latent for each."""

    requires = "LowerBound"
    estimator = "one code drawn for each example, seed 0"

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        return model.elbo(model.subject_of(batch), generator=seeded(batch["index"]))


class ImportanceWeightedNll(MeanOverExamples):
    """Mean over the examples of - log 1/k sum_j p(x, z_j) / q(z_j | x), k latents z_j drawn from q ([2], equation 8).

    It is at least -log p(x) in expectation, and comes down to it as k grows. Each x stands alone, with k of its own
    latents: no number depends on the other images of its batch.
    """

    requires = "LowerBound"
    on_request = True

    def __init__(self, k: int = 1000) -> None:
        super().__init__()
        self.k = k
        self.estimator = f"importance-weighted, k = {k}, seed 0"

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        x = model.subject_of(batch)
        return torch.stack([self.nll(model, x[i : i + 1], seeded(batch["index"][i:])) for i in range(len(x))])

    def nll(self, model: AnyModel, x: Tensor, generator: Generator) -> Tensor:
        """Of one x [1, …], in nats. The bound with k latents is the mean of their weights, so it can be computed in
        parts; of more than one latent each, because the bound with one latent may have its KL term in closed form."""
        parts = math.ceil(self.k / ROWS)
        sizes = [self.k * (part + 1) // parts - self.k * part // parts for part in range(parts)]
        bounds = [model.elbo(x, samples=size, generator=generator) + math.log(size) for size in sizes]  # [1] each
        return math.log(self.k) - torch.cat(bounds).double().logsumexp(0)
