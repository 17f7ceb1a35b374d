"""`SequenceDensity`: autoregressive models that read an image as one sequence of D values, blind to its two dimensions.

Axes: B batch, D = H * W * C values in the model's order, L logits a value: 1 for two levels, else their number.
"""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from zoo_autoregressive.pixel_density import PixelConfig, PixelDensity


class SequenceState(ABC):
    """A sequence that is being sampled. The values come in the model's order, so it is enough to count them."""

    step = 0

    @abstractmethod
    def next_logits(self, i: int) -> Tensor:
        """The logits of value i given all before it, [L, B]."""

    @abstractmethod
    def take(self, i: int, value: Tensor) -> None:
        """The value [B] in [0, 1] that was sampled for it."""

    def logits(self, row: int, column: int, channel: int) -> Tensor:
        return self.next_logits(self.step)

    def put(self, row: int, column: int, channel: int, value: Tensor) -> None:
        self.take(self.step, value)
        self.step += 1


class SequenceDensity(PixelDensity):
    """Writes `sequence_logits` and `begin_sampling`; a model with another order than the raster's sets `order`."""

    order: Tensor
    cpu_threads = 1  # many small operations: a second thread costs more than it gives

    def __init__(self, config: PixelConfig) -> None:
        super().__init__(config)
        d = config.height * config.width * config.channels
        self.register_buffer("order", torch.arange(d), persistent=False)  # the value that comes k-th, raster numbers

    @abstractmethod
    def sequence_logits(self, x: Tensor) -> Tensor:
        """Logits of every value given those before it: x [B, D] -> [B, L, D]."""

    @abstractmethod
    def begin_sampling(self, n: int) -> SequenceState:
        """The state from which n sequences are sampled."""

    def to_sequence(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D], in the model's order."""
        return x.permute(0, 2, 3, 1).flatten(1).index_select(1, self.order)

    def forward(self, x: Tensor) -> Tensor:
        c = self.config
        logits = self.sequence_logits(self.to_sequence(x)).index_select(2, torch.argsort(self.order))  # [B, L, D]
        logits = torch.unflatten(logits, 2, (c.height, c.width, c.channels))
        return logits.permute(0, 1, 4, 2, 3)  # [B, L, C, H, W]

    def generation_order(self) -> list[tuple[int, int, int]]:
        raster = super().generation_order()
        return [raster[k] for k in self.order.tolist()]
