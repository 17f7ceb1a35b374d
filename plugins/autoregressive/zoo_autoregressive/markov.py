"""Markov chain of order k over the values of an image: p(x) = prod_i p(x_i | x_(i-1) … x_(i-k)).

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    markov.binarized-mnist: nll 145.4 ± 0.26 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, under 0.01 h
    markov.binarized-mnist-8: nll 138.3 ± 0.27 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, under 0.01
        h

Every value has a table of its own with one distribution for each context, the last k values before it. Of order 1 and
for n bits these are 2n - 1 parameters: two for every bit, and one for the first, which has nothing before it. It is
fitted in closed form, by counting (counting.py); the tables grow as 2^k.

Axes: B batch, D values, L logits a value, T contexts of all values together.
"""

from collections.abc import Iterable
from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.counting import CountedDensity, counted_logits
from zoo_autoregressive.pixel_density import PixelConfig, logits_per_value
from zoo_autoregressive.sequence_density import SequenceState
from zoo_core import RecordError

LARGEST_TABLE = 2**26  # numbers


class MarkovConfig(PixelConfig, kw_only=True):
    """The order of the chain."""

    order: Annotated[int, Meta(ge=1, le=24)] = 1  # k, how many values before it a value sees

    def __post_init__(self) -> None:
        super().__post_init__()
        values = self.height * self.width * self.channels
        if self.levels ** min(self.order, values) * values * (self.levels - 1) > LARGEST_TABLE:
            raise RecordError(
                f"order {self.order} with {self.levels} levels and {values} values needs more than {LARGEST_TABLE:,} "
                "numbers, choose a smaller order"
            )


class Markov(CountedDensity):
    """A table [L, T]. The contexts of value i are `start[i]` plus its last k values read as one number, the latest
    value as the lowest digit: what lies before the first value reads as 0, so value i has levels^min(i, k) of them.
    """

    Config = MarkovConfig
    config: MarkovConfig
    start: Tensor

    def __init__(self, config: MarkovConfig) -> None:
        super().__init__(config)
        sizes = torch.tensor([config.levels ** min(i, config.order) for i in range(len(self.order))])  # [D]
        self.register_buffer("start", sizes.cumsum(0) - sizes, persistent=False)
        self.logit = nn.Parameter(torch.zeros(logits_per_value(config.levels), int(sizes.sum())))  # [L, T]

    def contexts(self, x: Tensor) -> Tensor:
        """Of every value, which context it has: level numbers [B, D] -> [B, D], in [0, T)."""
        k, d = self.config.order, x.shape[1]
        context = self.start.expand_as(x).clone()
        for back in range(1, min(k, d - 1) + 1):
            context[:, back:] += x[:, :-back] * self.config.levels ** (back - 1)
        return context

    def sequence_logits(self, x: Tensor) -> Tensor:
        return self.logit[:, self.contexts(self.to_levels(x))].transpose(0, 1)  # [B, L, D]

    def fit(self, batches: Iterable[Tensor]) -> None:
        levels = self.config.levels
        counts = torch.zeros(self.logit.shape[1] * levels, dtype=torch.int64, device=self.order.device)
        for x in batches:
            cell = self.contexts(x) * levels + x  # [B, D]
            counts += torch.bincount(cell.flatten(), minlength=len(counts))
        self.logit.copy_(counted_logits(counts.view(-1, levels)))

    def begin_sampling(self, n: int) -> "MarkovState":
        return MarkovState(self, n)


class MarkovState(SequenceState):
    """Keeps the last k values as one number."""

    def __init__(self, model: Markov, n: int) -> None:
        self.model = model
        self.past = torch.zeros(n, dtype=torch.int64, device=model.order.device)  # [B]
        self.contexts = model.config.levels ** min(model.config.order, len(model.order))

    def next_logits(self, i: int) -> Tensor:
        return self.model.logit[:, self.model.start[i] + self.past]  # [L, B]

    def take(self, i: int, value: Tensor) -> None:
        self.past = (self.past * self.model.config.levels + self.model.to_levels(value)) % self.contexts
