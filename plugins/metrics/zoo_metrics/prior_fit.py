"""How far the latents of the data are from the prior: the squared maximum mean discrepancy.

Gretton et al., "A kernel two-sample test", 2012 (JMLR 13) [1]; the kernel is that of Tolstikhin et al., "Wasserstein
auto-encoders", 2017 (arXiv:1711.01558) [2]. Axes: n latents, m prior draws, Z latent dimensions.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Self

import torch
from torch import Generator, Tensor

from zoo_core import AnyModel, Dataset, Measurement, Metric, UsageError, chosen_examples
from zoo_metrics.per_example import seeded

N, SEED = 2000, 0
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
SPLITS = 200
ROWS = 64  # of a kernel matrix at once, so that they stay in the processor's cache


class PriorMmd(Metric):
    """The unbiased estimate of MMD^2 between the latents of n examples and n samples of the prior.

    The n examples are drawn from the split with a seed: its first ones may all be of one class. Zero is expected where
    the latents follow the prior, and an estimate may be below. Beside it stands the spread of the null, the standard
    deviation of the estimate between n prior draws and n others: what is within three of it is indistinguishable.

    Where the encoder is a distribution, as in a VAE, a latent is a draw from it: the means alone are narrower than the
    prior. Such a model's `encode` takes a `generator`, without which it gives the mean.
    """

    requires = "Prior"

    def __init__(self) -> None:
        self.chosen = torch.empty(0, dtype=torch.int64)  # places in the split
        self.prior = torch.empty(0, 0)  # [n, Z] float64
        self.size = self.null_sd = math.nan
        self.latents: list[Tensor] = []  # [B, Z] float64, one a batch

    def begin(self, model: AnyModel, data: Dataset, split: str, n: int) -> None:
        if not hasattr(model, "encode"):
            raise UsageError("the model has a prior and no encoder")
        if n < 2:
            raise UsageError("an unbiased estimate needs two examples or more")
        generator, used = torch.Generator().manual_seed(SEED), min(N, n)
        self.chosen = chosen_examples(data, split, n)[torch.randperm(n, generator=generator)[:used]]
        pool = model.sample_prior(2 * used, generator=generator).flatten(1).cpu().double()
        self.prior = pool[:used]
        self.size = squared_size(self.prior)
        self.null_sd = null_estimates(pool, self.size, generator).std().item()

    def update(self, model: AnyModel, batch: Mapping[str, Tensor]) -> None:
        mine = torch.isin(batch["index"].cpu(), self.chosen)
        if mine.any():
            x = model.subject_of(batch)
            encode: Callable[..., Tensor] = model.encode
            has_noise = "generator" in inspect.signature(encode).parameters
            noise = {"generator": seeded(batch["index"])} if has_noise else {}
            self.latents.append(encode(x[mine.to(x.device)], **noise).flatten(1).cpu().double())

    def merge(self, other: Self) -> None:
        self.latents += other.latents

    def compute(self) -> Measurement:
        if not self.latents:
            raise UsageError("no example was measured")
        latents = torch.cat(self.latents)
        return Measurement(
            value=mmd2(latents, self.prior, self.size),
            stderr=None,
            n=len(latents),
            estimator=f"unbiased MMD^2, inverse multiquadratic kernels, {len(SCALES)} scales, examples by seed {SEED}",
            beside={"null sd": self.null_sd},
        )


def squared_size(prior: Tensor) -> float:
    """The mean squared distance between two samples of the prior, from draws [m, Z]: of N(0, s^2 I) it is 2 Z s^2."""
    return 2 * prior.var(0).sum().item()


def mmd2(x: Tensor, y: Tensor, size: float) -> float:
    """The U-statistic of MMD^2 ([1], equation 3) between x [n, Z] and y [m, Z], float64. It is zero in expectation
    where both come from one distribution; the pairs of a point with itself would make it positive, and are left out."""
    within_x, within_y, between = kernel(x, x, size), kernel(y, y, size), kernel(x, y, size)
    n, m = between.shape
    within = (within_x.sum() - within_x.trace()) / (n * (n - 1)) + (within_y.sum() - within_y.trace()) / (m * (m - 1))
    return (within - 2 * between.mean()).item()


def null_estimates(pool: Tensor, size: float, generator: Generator) -> Tensor:
    """`mmd2` between the halves of a pool [2 n, Z] float64 of draws from one distribution, for 200 random ways to halve
    it, [200] ([1], section 5). One kernel matrix serves them all."""
    n = len(pool) // 2
    pairs = kernel(pool, pool, size).fill_diagonal_(0)  # [2 n, 2 n]
    mine = (torch.rand(2 * n, SPLITS, generator=generator).argsort(0) < n).double()  # 1 in the first half, [2 n, 200]
    to_mine = pairs @ mine
    between = ((1 - mine) * to_mine).sum(0)
    within = pairs.sum() - 2 * between
    return within / (n * (n - 1)) - 2 * between / n**2


def kernel(x: Tensor, y: Tensor, size: float) -> Tensor:
    """Inverse multiquadratics summed over scales, sum_s C / (C + |x - y|^2) with C = s size ([2], section 4): [n, m].

    NOTE: [2] takes size = 2 Z s^2, for a Gaussian prior; the mean squared distance is the same for that one, and says
    for every prior what is near and what is far.
    """
    return torch.cat([_kernel_rows(rows, y, size) for rows in x.split(ROWS)])


def _kernel_rows(x: Tensor, y: Tensor, size: float) -> Tensor:
    squared = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T).clamp_(min=0)  # [n, m]
    total = torch.zeros_like(squared)
    for scale in SCALES:
        total += (squared / (scale * size) + 1).reciprocal_()
    return total
