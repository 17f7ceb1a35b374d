"""Likelihoods of exact densities."""

import math
from collections.abc import Mapping

from torch import Tensor

from zoo_core import AnyModel
from zoo_metrics.per_example import MeanOverExamples


class NegativeLogLikelihood(MeanOverExamples):
    """Mean of -log p(x) over the examples, in nats."""

    requires = "Density"

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        return -model.log_prob(model.subject_of(batch))


class BitsPerDim(NegativeLogLikelihood):
    """Negative log-likelihood divided by the number of values of x, in bits."""

    def per_example(self, model: AnyModel, batch: Mapping[str, Tensor]) -> Tensor:
        return super().per_example(model, batch) / (batch[model.subject].shape[1:].numel() * math.log(2))
