"""RNADE: NADE for real numbers.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    rnade.digits-dequantized: nll -81.33 ± 0.86 nats/example (digits-dequantized test), n = 299, exact; 1 run, under
        0.01 h

Follows Uria, Murray and Larochelle, "RNADE: The real-valued neural autoregressive density-estimator", NeurIPS 2013
(arXiv:1306.0186) [1]. As in NADE all hidden layers share one weight matrix; number i is a mixture of K Gaussians:

    a_1 = b,   a_(i+1) = a_i + x_i W_i,   h_i = relu(rho_i a_i)                                        ([1], section 2)
    weights softmax(V_i^alpha h_i + c_i^alpha),   means V_i^mu h_i + c_i^mu,   widths exp(V_i^sigma h_i + c_i^sigma)

where rho_i keeps the growing sum of inputs from saturating the units.

Departs from [1]:
    * widths have a lower bound, since measurements are rounded
    * Adam, averaged weights and weight decay instead of stochastic gradients whose part for the means is multiplied by
      the widths

Axes: B batch, D numbers of one example, h hidden features, K components.
"""

import math
from typing import Annotated, NamedTuple

import torch
from msgspec import Meta
from torch import Tensor, nn

from zoo_autoregressive.vector_density import VectorConfig, VectorDensity, standard_normal
from zoo_core import Optimizer, linear_to_zero


class RNADEConfig(VectorConfig, kw_only=True):
    """Sizes of the network."""

    hidden: Annotated[int, Meta(ge=1, le=65536)] = 200  # h, features
    components: Annotated[int, Meta(ge=1, le=1024)] = 5  # K, Gaussians of one number
    narrowest: Annotated[float, Meta(gt=0)] = 0.1  # least width of a component, in standard deviations of the number
    weight_decay: Annotated[float, Meta(ge=0)] = 1.0  # of AdamW; tables are small


class Mixture(NamedTuple):
    """Gaussian mixtures, all [B, …, K]."""

    log_weights: Tensor
    means: Tensor
    widths: Tensor

    def log_prob(self, z: Tensor) -> Tensor:
        """[B, …] -> [B, …]."""
        distance = (z[..., None] - self.means) / self.widths
        logs = self.log_weights - self.widths.log() - 0.5 * (distance.square() + math.log(2 * math.pi))
        return logs.logsumexp(-1)


class RNADE(VectorDensity):
    """One hidden layer, the order of the columns."""

    Config = RNADEConfig
    config: RNADEConfig
    batch = 50
    ema = ("",)

    def __init__(self, config: RNADEConfig) -> None:
        super().__init__(config)
        options = {"weight_decay": config.weight_decay}
        self.optimizer = Optimizer(kind="adamw", lr=3e-3, options=options, clip=10.0, decay=linear_to_zero)
        d, h, k = config.dims, config.hidden, config.components
        self.W = nn.Parameter(torch.empty(d, h))
        self.b = nn.Parameter(torch.zeros(h))
        self.rho = nn.Parameter(1 / torch.arange(1, d + 1))  # after i inputs the sum is about that large
        self.V = nn.Parameter(torch.empty(d, 3 * k, h))  # alpha, mu, sigma
        self.c = nn.Parameter(torch.zeros(d, 3 * k))
        nn.init.normal_(self.W)
        nn.init.uniform_(self.b, -1, 1)
        nn.init.uniform_(self.V, -0.1 * h**-0.5, 0.1 * h**-0.5)
        nn.init.uniform_(self.c[:, k : 2 * k], -1.5, 1.5)  # means that differ

    def mixtures(self, z: Tensor) -> Mixture:
        """The distribution of every number given those before it: z [B, D] -> [B, D, K]."""
        d = z.shape[1]
        inputs = z[:, :, None] * self.W[:d]  # [B, D, h]
        a = self.b + inputs.cumsum(1) - inputs  # what came before
        return self._heads(torch.relu(self.rho[:d, None] * a), 0)

    def _heads(self, hidden: Tensor, first: int) -> Mixture:
        """The mixtures of the numbers from `first` on: [B, T, h] -> [B, T, K]."""
        own = slice(first, first + hidden.shape[1])
        alpha, mu, sigma = (torch.einsum("bth,tkh->btk", hidden, self.V[own]) + self.c[own]).chunk(3, -1)
        return Mixture(alpha.log_softmax(-1), mu, self.config.narrowest + sigma.exp())

    def forward(self, z: Tensor) -> Mixture:
        return self.mixtures(z)

    def standard_log_prob(self, z: Tensor) -> Tensor:
        return self.mixtures(z).log_prob(z).sum(1)

    def sample_next(self, z: Tensor, uniforms: Tensor) -> Tensor:
        i = z.shape[1]
        a = torch.addmm(self.b, z, self.W[:i])  # [B, h]
        log_weights, means, widths = (part[:, 0] for part in self._heads(torch.relu(self.rho[i] * a)[:, None], i))
        cumulative = log_weights.exp().cumsum(1)  # [B, K]
        component = (cumulative <= uniforms[:, :1]).sum(1, keepdim=True).clamp(max=cumulative.shape[1] - 1)  # [B, 1]
        chosen = means.gather(1, component)[:, 0], widths.gather(1, component)[:, 0]
        return chosen[0] + chosen[1] * standard_normal(uniforms[:, 1])
