"""One biased coin a pixel: log p(x) = sum_i x_i log p_i + (1 - x_i) log(1 - p_i), with p_i = sigmoid(logit_i).

The best density that sees no other pixel. Axes: B batch, C channels, H height, W width.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from zoo_core import Field, Model, Optimizer, Record, linear_to_zero


class CoinConfig(Record, kw_only=True):
    channels: Annotated[int, Meta(ge=1)] = 1
    height: Annotated[int, Meta(ge=1)] = 28  # pixels
    width: Annotated[int, Meta(ge=1)] = 28  # pixels


class Coin(Model):
    """Independent bits; capabilities Density and Sampler."""

    Config = CoinConfig
    config: CoinConfig

    def __init__(self, config: CoinConfig) -> None:
        super().__init__(config)
        self.logit = nn.Parameter(torch.zeros(config.channels, config.height, config.width))

    @classmethod
    def config_for(cls, features: Mapping[str, Field]) -> dict[str, Any]:
        return dict(zip(("channels", "height", "width"), features["image"].shape, strict=True))

    def signature(self) -> dict[str, Field]:
        return {"image": Field(kind="image", shape=tuple(self.logit.shape), range=(0.0, 1.0), levels=2)}

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-likelihood of each x [B, C, H, W], [B], in nats."""
        return -binary_cross_entropy_with_logits(self.logit.expand_as(x), x, reduction="none").flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n new images, [n, C, H, W]."""
        uniforms = torch.rand(n, *self.logit.shape, generator=generator, dtype=self.logit.dtype)
        return (uniforms < self.logit.sigmoid()).to(self.logit.dtype)

    def loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Negative log-likelihood in nats per image."""
        return -self.log_prob(batch["image"]).mean()

    def optimizers(self) -> dict[str, Optimizer]:
        return {"main": Optimizer(lr=0.1, decay=linear_to_zero)}
