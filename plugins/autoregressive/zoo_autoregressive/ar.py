"""AR(n): every value is a logistic regression on the n values before it.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    ar.binarized-mnist: nll 97.91 ± 0.23 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, 0.015 h

Frey, "Graphical models for machine learning and digital communication", 1998, chapter 2 (logistic autoregressive
networks) [1]. With n = D - 1 it is the fully visible sigmoid belief network. Where a Markov chain of order n has a
table of 2^n contexts, this has n weights: it cannot tell all contexts apart, and can so look much farther back.

The log-likelihood is concave, so training only has to go on for long enough; it begins at the independent model.

Axes: B batch, D values, L logits a value, n values before a value that it sees.
"""

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.counting import marginal_logits
from zoo_autoregressive.pixel_density import PixelConfig, logits_per_value
from zoo_autoregressive.sequence_density import SequenceDensity, SequenceState
from zoo_core import Dataset, Optimizer, Stage, linear_to_zero


class ARConfig(PixelConfig, kw_only=True):
    """How far back a value sees."""

    past: Annotated[int, Meta(ge=1, le=65536)] = 32  # n, values; more than there are means all


class AR(SequenceDensity):
    """Weights [L, D, n], the one for the value just before in the last place; no weight is shared between values."""

    Config = ARConfig
    config: ARConfig
    batch = 100
    optimizer = Optimizer(kind="adam", lr=1e-2, decay=linear_to_zero)
    ema = ("",)
    columns: Tensor

    def __init__(self, config: ARConfig) -> None:
        super().__init__(config)
        d, logits = len(self.order), logits_per_value(config.levels)
        n = min(config.past, max(d - 1, 1))
        self.weight = nn.Parameter(torch.zeros(logits, d, n))
        self.bias = nn.Parameter(torch.zeros(logits, d))
        # Weight m of value i belongs to value i - n + m, which is column i + m after n columns of zeros.
        columns = torch.arange(d)[:, None] + torch.arange(n)  # [D, n]
        self.register_buffer("columns", columns, persistent=False)

    def sequence_logits(self, x: Tensor) -> Tensor:
        logits, d, n = self.weight.shape
        band = self.weight.new_zeros(logits, d, n + d).scatter(2, self.columns.expand_as(self.weight), self.weight)
        matrix = band[..., n:]  # [L, D, D], zero on and above the diagonal
        return torch.einsum("bj,lij->bli", x, matrix) + self.bias

    def begin_sampling(self, n: int) -> "ARState":
        return ARState(self, n)

    def stages(self) -> list[Stage]:
        return [Stage(name="marginals", share=0), Stage()]

    @torch.no_grad()
    def begin_stage(self, stage: str, data: Dataset) -> None:
        if stage == "marginals":  # a bias that is -10 in the end would take long to come there
            self.bias.copy_(marginal_logits(self, data))


class ARState(SequenceState):
    def __init__(self, model: AR, n: int) -> None:
        self.model = model
        _, d, self.past = model.weight.shape
        self.values = model.weight.new_zeros(self.past + d, n)  # after as many zeros as a value looks back

    def next_logits(self, i: int) -> Tensor:
        return torch.addmm(self.model.bias[:, i, None], self.model.weight[:, i], self.values[i : i + self.past])

    def take(self, i: int, value: Tensor) -> None:
        self.values[self.past + i] = value
