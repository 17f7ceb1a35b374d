"""EoNADE: one network that is a NADE for every ordering, and the mixture of some of them.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    eonade.binarized-mnist: nll 91.33 ± 0.23 nats/example (binarized-mnist test), n = 10,000, exact; 1 run, 0.69 h

Follows Uria, Murray and Larochelle, "A deep and tractable density estimator", ICML 2014 (arXiv:1310.1757) [1]. The
network is told which values it has seen: with the values before i in an ordering in the set S,

    h_i = sigmoid(b + sum over j in S of (x_j W_j + M_j)),   logits_i = V_i h_i + c_i                   ([1], section 3)

It is trained on random sets, one for each example: d values that come first in a random ordering are seen, and all
others are to be predicted, from one hidden layer; D / (D - d) times their loss is an unbiased estimate of the loss over
all orderings ([1], section 3.1). As a density it is the mean over K fixed orderings, each of which costs a pass
([1], section 3.2).

Departs from [1]:
    * one hidden layer only
    * each example of a batch has a set of seen values of its own
    * the biases c begin at the frequencies of the train split
    * Adam with weight decay and averaged weights

Axes: B batch, D values, h hidden features, L logits a value, K orderings.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated

import torch
from msgspec import Meta
from torch import Generator, Tensor, nn

from zoo_autoregressive.counting import marginal_logits
from zoo_autoregressive.fast.eonade_recurrence import eonade_logits
from zoo_autoregressive.pixel_density import PixelConfig, logits_per_value
from zoo_autoregressive.sequence_density import SequenceDensity, SequenceState
from zoo_core import Dataset, Loss, Optimizer, Stage, linear_to_zero


class EoNADEConfig(PixelConfig, kw_only=True):
    """Size of the hidden layer, and the orderings that are averaged."""

    hidden: Annotated[int, Meta(ge=1, le=65536)] = 500  # h, features
    orderings: Annotated[int, Meta(ge=1, le=4096)] = 8  # K, of the density; training is for all
    ordering_seed: int = 0  # they are random


class EoNADE(SequenceDensity):
    """`order` is the ordering that forward passes and samples follow: the first of `orders`, unless `along` another."""

    Config = EoNADEConfig
    config: EoNADEConfig
    batch = 100
    optimizer = Optimizer(kind="adamw", lr=3e-3, options={"weight_decay": 0.01}, decay=linear_to_zero)
    ema = ("",)
    select_by = "loss"
    orders: Tensor

    def __init__(self, config: EoNADEConfig) -> None:
        super().__init__(config)
        d, h, logits = len(self.order), config.hidden, logits_per_value(config.levels)
        self.W = nn.Parameter(torch.empty(d, h))  # of the values; rows are values in raster order, as everywhere below
        self.M = nn.Parameter(torch.empty(d, h))  # of having seen them
        self.b = nn.Parameter(torch.zeros(h))
        self.V = nn.Parameter(torch.empty(d, logits, h))
        self.c = nn.Parameter(torch.zeros(d, logits))
        for weight, inputs in ((self.W, d), (self.M, d), (self.V, h)):
            nn.init.uniform_(weight, -(inputs**-0.5), inputs**-0.5)
        generator = torch.Generator().manual_seed(config.ordering_seed)
        orders = torch.stack([torch.randperm(d, generator=generator) for _ in range(config.orderings)])
        self.register_buffer("orders", orders, persistent=False)  # [K, D]
        self.order = orders[0]

    @contextmanager
    def along(self, order: Tensor) -> Iterator[None]:
        """Another ordering for a while."""
        before, self.order = self.order, order
        try:
            yield
        finally:
            self.order = before

    # --- 3.1 training for all orderings ---

    def stages(self) -> list[Stage]:
        return [Stage(name="marginals", share=0), Stage()]

    @torch.no_grad()
    def begin_stage(self, stage: str, data: Dataset) -> None:
        if stage == "marginals":  # as in AR: from zero, the biases of pixels that are nearly always black take long
            self.c[self.order] = marginal_logits(self, data).T.to(self.c)

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        """Which values each example shows, [n, D] bool: the first d of a random ordering, d uniform in 0 … D - 1."""
        d = len(self.order)
        rank = torch.rand(n, d, generator=generator).argsort(1)
        count = torch.randint(d, (n, 1), generator=generator)
        return {"seen": rank < count}

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Negative log-likelihood in nats over all orderings, estimated from one random set of seen values."""
        image, seen = batch["image"], batch["seen"]
        x = image.permute(0, 2, 3, 1).flatten(1)  # [B, D], raster order
        mask = seen.to(x.dtype)
        hidden = torch.sigmoid(torch.addmm(torch.addmm(self.b, x * mask, self.W), mask, self.M))  # [B, h]
        logits = torch.einsum("bh,dlh->bld", hidden, self.V) + self.c.T  # [B, L, D]
        losses = self.value_losses(logits, x).masked_fill(seen, 0).sum(1)  # [B]
        scale = x.shape[1] / (~seen).sum(1)
        return Loss((scale * losses).sum(), weight=x.shape[0])

    # --- 3.2 the density: a mixture of orderings ---

    def log_prob(self, x: Tensor) -> Tensor:
        """Exact log-likelihood of the mixture of the K orderings, in nats: x [B, C, H, W] -> [B]."""
        self.check_values(x)
        each = []
        for order in self.orders:
            with self.along(order):
                each.append(-self.value_losses(self(x), x).flatten(1).sum(1))
        return torch.stack(each).logsumexp(0) - math.log(len(self.orders))

    conditional_log_prob = None  # type: ignore[assignment]  # a mixture of orderings is no product of such factors

    def sequence_logits(self, x: Tensor) -> Tensor:
        """Along the ordering in use."""
        if self.plain:
            return self.recurrence(x)
        logits = eonade_logits(x, self.W[self.order], self.M[self.order], self.b, self.V[self.order])
        return logits + self.c[self.order].T

    def recurrence(self, x: Tensor) -> Tensor:
        """Value after value along the ordering: x [B, D] -> logits [B, L, D]."""
        a, logits = self.b.expand(x.shape[0], -1), []  # [B, h]
        for x_i, i in zip(x.T, self.order, strict=True):
            h_i = torch.sigmoid(a)
            logits.append(h_i @ self.V[i].T + self.c[i])  # [B, L]
            a = a + x_i[:, None] * self.W[i] + self.M[i]
        return torch.stack(logits, 2)

    # --- sampling ---

    def begin_sampling(self, n: int) -> "EoNADEState":
        return EoNADEState(self, n)

    def sample(
        self,
        n: int,
        *,
        generator: Generator | None = None,
        temperature: float = 1.0,
        progress: Callable[[float], None] | None = None,
    ) -> Tensor:
        """n images sampled from the mixture, [n, C, H, W]: each along one of the orderings."""
        c = self.config
        which = torch.randint(len(self.orders), (n,), generator=generator)
        uniforms = torch.rand(n, c.channels, c.height, c.width, generator=generator)
        x = torch.empty_like(uniforms).to(self.b)
        used = which.unique().tolist()
        for number, k in enumerate(used, start=1):
            with self.along(self.orders[k]):
                x[which == k] = self.sample_from(uniforms[which == k], temperature=temperature)
            if progress is not None:
                progress(number / len(used))
        return x

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        *,
        generator: Generator | None = None,
        temperature: float = 1.0,
        progress: Callable[[float], None] | None = None,
    ) -> Tensor:
        """x [B, C, H, W] with the places where `known` (bool, broadcastable) is False sampled given ALL known ones,
        wherever these are: along an ordering that begins with them.

        NOTE: this is the conditional of that one ordering, not of the mixture.
        """
        known = self._check_known(x, known)
        completed = x.clone()
        masks, group = known.flatten(1).unique(dim=0, return_inverse=True)
        for number in range(len(masks)):
            rows = group == number
            seen = known[rows][0].permute(1, 2, 0).flatten()[self.order]  # [D], in the first ordering
            with self.along(torch.cat([self.order[seen], self.order[~seen]])):
                completed[rows] = (
                    super().complete(x[rows], known[rows], generator=generator, temperature=temperature).to(completed)
                )
            if progress is not None:
                progress((number + 1) / len(masks))
        return completed


class EoNADEState(SequenceState):
    """Keeps the activations of every image."""

    def __init__(self, model: EoNADE, n: int) -> None:
        self.model, self.order = model, model.order.tolist()
        self.a = model.b.detach().repeat(n, 1)  # [B, h]

    def next_logits(self, i: int) -> Tensor:
        at = self.order[i]
        return torch.addmm(self.model.c[at, :, None], self.model.V[at], torch.sigmoid(self.a).T)  # [L, B]

    def take(self, i: int, value: Tensor) -> None:
        at = self.order[i]
        self.a = torch.addr(self.a, value, self.model.W[at]) + self.model.M[at]
