"""Independent values: each has its own distribution and knows nothing of the others.

p(x) = prod_i p_i(x_i): the smallest density of images, n parameters for n bits, and the bar that every other model must
take. The maximum of its likelihood is in closed form, by counting.

Axes: B batch, D values, L logits a value.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from zoo_autoregressive.counting import CountedDensity, counted_logits
from zoo_autoregressive.pixel_density import PixelConfig
from zoo_autoregressive.sequence_density import SequenceDrawing, logits_per_value


class IndependentConfig(PixelConfig, kw_only=True):
    """What the data decides is all there is."""


class Independent(CountedDensity):
    """One Bernoulli, or one categorical distribution, a value."""

    Config = IndependentConfig

    def __init__(self, config: IndependentConfig) -> None:
        super().__init__(config)
        self.logit = nn.Parameter(torch.zeros(logits_per_value(config.levels), len(self.order)))  # [L, D]

    def sequence_logits(self, x: Tensor) -> Tensor:
        return self.logit.expand(len(x), -1, -1)  # [B, L, D]

    def fit(self, batches: Iterable[Tensor]) -> None:
        levels = self.config.levels
        d = len(self.order)
        counts = torch.zeros(d * levels, dtype=torch.int64, device=self.order.device)
        for x in batches:
            cell = torch.arange(d, device=x.device) * levels + x  # [B, D], of value i and its level
            counts += torch.bincount(cell.flatten(), minlength=len(counts))
        self.logit.copy_(counted_logits(counts.view(d, levels)))

    def begin_drawing(self, n: int) -> "IndependentDrawing":
        return IndependentDrawing(self, n)


class IndependentDrawing(SequenceDrawing):
    def __init__(self, model: Independent, n: int) -> None:
        self.model, self.n = model, n

    def next_logits(self, i: int) -> Tensor:
        return self.model.logit[:, i, None].expand(-1, self.n)  # [L, B]

    def take(self, i: int, value: Tensor) -> None:
        pass
