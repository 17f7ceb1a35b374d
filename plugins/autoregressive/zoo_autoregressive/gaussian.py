"""One Gaussian with full covariance: every number is linear in those before it, plus noise of one size.

Published weights, and what each measures; hours of training on CPUs:

    gaussian.digits-dequantized: nll -48.86 ± 1.3 nats/example (digits-dequantized test), n = 299, exact; 1 run, under
        0.01 h

log p(x) = - |L^-1 (x - mean)|^2 / 2 - log det L - D / 2 log 2 pi, with the Cholesky factor L L^T of the covariance. Row
i of L says how number i follows from the noise of the numbers before it: the model that others must beat.
The maximum of its likelihood is in closed form.

Axes: B batch, D numbers of one example.
"""

import math

import torch
from torch import Tensor, nn

from zoo_autoregressive.vector_density import VectorConfig, VectorDensity, standard_normal
from zoo_core import Dataset, Stage

RIDGE = 1e-6  # added to the variances of the standardised numbers, so that L exists where one follows from the others


class GaussianConfig(VectorConfig, kw_only=True):
    """What the data decides is all there is."""


class Gaussian(VectorDensity):
    """Mean and covariance of the train split."""

    Config = GaussianConfig
    config: GaussianConfig
    optimizer = None  # it has a closed form

    def __init__(self, config: GaussianConfig) -> None:
        super().__init__(config)
        self.factor = nn.Parameter(torch.eye(config.dims))  # L [D, D], of the standardised numbers

    def standard_log_prob(self, z: Tensor) -> Tensor:
        factor = self.factor.tril()
        noise = noise_of(z, factor)  # [D, B]
        return -0.5 * (noise.square() + math.log(2 * math.pi)).sum(0) - factor.diagonal().abs().log().sum()

    def sample_next(self, z: Tensor, uniforms: Tensor) -> Tensor:
        i = z.shape[1]
        noise = noise_of(z, self.factor[:i, :i].tril())  # [i, B]
        return self.factor[i, :i] @ noise + self.factor[i, i] * standard_normal(uniforms[:, 0])

    def stages(self) -> list[Stage]:
        return [Stage(name="standardise", share=0)]

    @torch.no_grad()
    def begin_stage(self, stage: str, data: Dataset) -> None:
        super().begin_stage(stage, data)
        rows = torch.cat([(batch["vector"] - self.mean) / self.std for batch in self.train_batches(data)]).double()
        covariance = rows.T @ rows / len(rows)  # [D, D]
        covariance.diagonal().add_(RIDGE)
        self.factor.copy_(torch.linalg.cholesky(covariance))


def noise_of(z: Tensor, factor: Tensor) -> Tensor:
    """L^-1 z, the noise that numbers follow from: z [B, D], the lower triangle L [D, D] -> [D, B]."""
    if not torch.compiler.is_compiling():
        solved: Tensor = torch.linalg.solve_triangular(factor, z.T, upper=False)
        return solved
    noise = z.new_zeros(0, z.shape[0])  # a program is made of operations that every format has: number after number
    for i in range(factor.shape[0]):
        rest = z[:, i] - factor[i, :i] @ noise  # [B], what the noise before it leaves of number i
        noise = torch.cat([noise, (rest / factor[i, i])[None]])  # [i + 1, B]
    return noise
