"""NADE: the neural autoregressive distribution estimator.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    nade.binarized-mnist: nll 86.57 ± 0.22 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, 0.11 h
    nade.mnist-dynamic: nll 84.09 ± 0.21 nats/example (mnist test), n = 10,000, exact, after binarize; 1 run, 0.92 h

Follows Larochelle and Murray, "The Neural Autoregressive Distribution Estimator", AISTATS 2011 [1]. Each value has a
hidden layer of its own, and all these layers share one weight matrix, so that the next one costs one addition:

    a_1 = b,   h_i = sigmoid(a_i),   logits_i = V_i h_i + c_i,   a_(i+1) = a_i + x_i W_i        ([1], section 2)

which is O(D h) for a whole image. `recurrence` is this, value by value, and `model.plain = True` runs it. Otherwise
the same is computed for a batch in blocks of values, in fast/nade_recurrence.py. Sampling is in sampling/nade.py.

Departs from [1]:
    * any ordering, by default the raster; [1] has a random one
    * more than two levels have a softmax
    * Adam with weight decay and averaged weights instead of plain stochastic gradients

Axes: B batch, D values in the model's order, h hidden features, L logits a value.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.fast.nade_recurrence import nade_logits
from zoo_autoregressive.pixel_density import PixelConfig, logits_per_value
from zoo_autoregressive.sampling.nade import NADEState, sample_bits
from zoo_autoregressive.sequence_density import SequenceDensity
from zoo_core import Optimizer, linear_to_zero


class NADEConfig(PixelConfig, kw_only=True):
    """Size of the hidden layer, and the order in which the values come."""

    hidden: Annotated[int, Meta(ge=1, le=65536)] = 500  # h, features
    ordering: Literal["raster", "reverse", "random"] = "raster"
    ordering_seed: int = 0  # of a random ordering


class NADE(SequenceDensity):
    """One hidden layer, one ordering ([1], figure 1)."""

    Config = NADEConfig
    config: NADEConfig
    batch = 100
    # Without weight decay it overfits: it learns the bits of the train split by heart.
    optimizer = Optimizer(kind="adamw", lr=1e-2, options={"weight_decay": 0.03}, decay=linear_to_zero)
    ema = ("",)

    def __init__(self, config: NADEConfig) -> None:
        super().__init__(config)
        d, h, logits = len(self.order), config.hidden, logits_per_value(config.levels)
        self.W = nn.Parameter(torch.empty(d, h))
        self.b = nn.Parameter(torch.zeros(h))
        self.V = nn.Parameter(torch.empty(d, logits, h))
        self.c = nn.Parameter(torch.zeros(d, logits))
        nn.init.uniform_(self.W, -(d**-0.5), d**-0.5)
        nn.init.uniform_(self.V, -(h**-0.5), h**-0.5)
        if config.ordering == "reverse":
            self.order = self.order.flip(0)
        elif config.ordering == "random":
            self.order = torch.randperm(d, generator=torch.Generator().manual_seed(config.ordering_seed))

    def sequence_logits(self, x: Tensor) -> Tensor:
        if self.plain:
            return self.recurrence(x)
        logits = nade_logits(x, self.W, self.b, self.V) + self.c  # [B, D, L]
        return logits.transpose(1, 2)

    def recurrence(self, x: Tensor) -> Tensor:
        """Value after value, as in [1], section 2: x [B, D] -> logits [B, L, D]."""
        a, logits = self.b.expand(x.shape[0], -1), []  # [B, h]
        for x_i, W_i, V_i, c_i in zip(x.T, self.W, self.V, self.c, strict=True):
            h_i = torch.sigmoid(a)
            logits.append(h_i @ V_i.T + c_i)  # [B, L]
            a = a + x_i[:, None] * W_i
        return torch.stack(logits, 2)

    def begin_sampling(self, n: int) -> NADEState:
        return NADEState(self, n)

    def sample_values(
        self,
        uniforms: Tensor,
        given: Tensor | None,
        known: Tensor | None,
        temperature: float,
        progress: Callable[[float], None],
    ) -> Tensor:
        if self.plain or self.config.levels > 2:
            return super().sample_values(uniforms, given, known, temperature, progress)
        # A value is 1 if u < sigmoid(logit / temperature), that is, if its logit is above this: no sigmoid for each
        # value, [C, H, W, B]. Nothing is above +inf, and everything is above -inf: known values stay as they are.
        thresholds = torch.logit(uniforms) * temperature
        if given is not None and known is not None:
            thresholds = torch.where(known, (0.5 - given) * torch.inf, thresholds)
        sequence = thresholds.permute(1, 2, 0, 3).flatten(0, 2)[self.order] - self.c  # [D, B]
        bits = sample_bits(self, sequence, progress)[torch.argsort(self.order)]
        c = self.config
        return torch.unflatten(bits, 0, (c.height, c.width, c.channels)).permute(2, 0, 1, 3)
