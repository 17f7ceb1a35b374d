"""Independent values: each has its own distribution and knows nothing of the others.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    independent.binarized-mnist: nll 205.8 ± 0.45 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, under
        0.01 h

p(x) = prod_i p_i(x_i): the smallest density of images, n parameters for n bits, and the bar that every other model must
take. It is fitted in closed form, by counting (counting.py).

Axes: B batch, C channels, D values, G distributions: D, or C where they are shared; L logits a distribution.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from zoo_autoregressive.counting import CountedDensity, count_levels, counted_logits
from zoo_autoregressive.pixel_density import PixelConfig, logits_per_value
from zoo_autoregressive.sequence_density import SequenceState


class IndependentConfig(PixelConfig, kw_only=True):
    """What the data decides, and who has a distribution."""

    shared: bool = False  # one distribution a channel for all pixels; else one a value


class Independent(CountedDensity):
    """One Bernoulli, or one categorical distribution, a value."""

    Config = IndependentConfig
    config: IndependentConfig

    def __init__(self, config: IndependentConfig) -> None:
        super().__init__(config)
        count = config.channels if config.shared else len(self.order)
        self.logit = nn.Parameter(torch.zeros(logits_per_value(config.levels), count))  # [L, G]

    def value_logits(self) -> Tensor:
        """The logits of every value, [L, D]: value i is of channel i mod C."""
        return self.logit.repeat(1, len(self.order) // self.logit.shape[1])

    def sequence_logits(self, x: Tensor) -> Tensor:
        return self.value_logits().expand(x.shape[0], -1, -1)  # [B, L, D]

    def fit(self, batches: Iterable[Tensor]) -> None:
        self.logit.copy_(counted_logits(count_levels(batches, self.logit.shape[1], self.config.levels)))

    def begin_sampling(self, n: int) -> "IndependentState":
        return IndependentState(self, n)


class IndependentState(SequenceState):
    def __init__(self, model: Independent, n: int) -> None:
        self.logits_of, self.n = model.value_logits(), n

    def next_logits(self, i: int) -> Tensor:
        return self.logits_of[:, i, None].expand(-1, self.n)  # [L, B]

    def take(self, i: int, value: Tensor) -> None:
        pass
