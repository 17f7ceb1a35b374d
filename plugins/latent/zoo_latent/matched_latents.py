"""`MatchedAutoencoder`: autoencoders whose latents, over all images together, are made to follow a prior."""

from typing import Annotated, Any

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core import Condition
from zoo_latent.image_latents import CodesConfig, ImageAutoencoder
from zoo_latent.priors import PriorName, make_prior


class MatchedConfig(CodesConfig, kw_only=True):
    """The prior."""

    prior: PriorName = "gaussian"
    modes: Annotated[int, Meta(ge=1, le=1000)] = 10  # of a ring: Gaussians; of a swiss roll: pieces


class MatchedAutoencoder(ImageAutoencoder):
    """An encoder without noise, and a prior; also a Prior and a Sampler."""

    Config = MatchedConfig
    config: MatchedConfig

    def __init__(self, config: MatchedConfig) -> None:
        super().__init__(config)
        self.prior = make_prior(config.prior, config.latent, config.modes)

    def conditions(self) -> dict[str, Condition]:
        if self.prior.modes == 1:
            return {}
        help = "which mode of the prior they come from; where it saw labels, their class"
        return {"mode": Condition(kind="integer", low=0, high=self.prior.modes - 1, help=help)}

    def sample_prior(self, n: int, *, generator: Generator | None = None, **conditions: Any) -> Tensor:
        """n latents sampled from the prior, [n, Z]; with mode=3, all from that one of its modes."""
        mode = self.check_conditions(conditions).get("mode")
        modes = None if mode is None else torch.full((n,), mode)
        return self.prior.sample(n, mode=modes, generator=generator).to(self.device)

    def sample(self, n: int, *, generator: Generator | None = None, **conditions: Any) -> Tensor:
        """n images decoded from samples of the prior, [n, C, H, W]; with mode=3, of that mode."""
        return self.decode(self.sample_prior(n, generator=generator, **conditions))

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        """Draws of the prior, [n, Z]."""
        return {"prior": self.prior.sample(n, generator=generator)}


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss, from its logits for samples of the prior and for latents, both [B, 1] -> scalar."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """The encoder's loss: the non-saturating one, -log D(latent), from logits [B, 1] -> scalar."""
    return F.softplus(-fake).mean()
