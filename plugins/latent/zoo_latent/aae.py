"""The adversarial autoencoder: latents that a discriminator cannot tell from samples of a prior.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    aae.mnist: prior_mmd2 0.004312 MMD^2 (mnist test), n = 2,000, unbiased MMD^2, inverse multiquadratic kernels, 7
        scales, examples by seed 0; 1 run, 0.1 h
    aae.mnist-ring: prior_mmd2 0.004887 MMD^2 (mnist test), n = 2,000, unbiased MMD^2, inverse multiquadratic kernels, 7
        scales, examples by seed 0; 1 run, 0.074 h
    aae.mnist-swiss-roll: prior_mmd2 0.007802 MMD^2 (mnist test), n = 2,000, unbiased MMD^2, inverse multiquadratic
        kernels, 7 scales, examples by seed 0; 1 run, 0.075 h

Follows Makhzani et al., "Adversarial autoencoders", 2015 (arXiv:1511.05644) [1]. In every step, with the same batch
([1], section 2):

    1. reconstruction: encoder and decoder lower the squared error of decode(encode(x));
    2. discrimination: the discriminator learns to say "real" to samples of the prior and "fake" to latents;
    3. regularisation: the encoder alone learns to make it say "real" to latents (the non-saturating loss).

The prior need not have a density: it is only drawn from. With `conditioned`, the discriminator also sees a label, one
hot: of a latent that of its image, of a draw the mode that it comes from, so that each class gets a mode of its own
([1], section 2.3).

Departs from [1]:
    * 500 features a layer by default, not 1000
    * the encoder is deterministic
    * Adam in place of stochastic gradients
    * the discriminator has a gradient penalty on samples of the prior (R1: Mescheder, Geiger and Nowozin, 2018,
      arXiv:1801.04406, equation 9) [2], and learns at a higher rate than the encoder; without either, the latents run
      in circles around the prior

Axes: B batch, Z latent dimensions, K modes.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core import Field, Objective, Optimizer, UsageError, linear_to_zero
from zoo_latent.image_latents import Count, squared_error
from zoo_latent.matched_latents import MatchedAutoencoder, MatchedConfig, discriminator_loss, generator_loss
from zoo_latent.networks import perceptron

Batches = Mapping[str, Mapping[str, Tensor]]


class AAEConfig(MatchedConfig, kw_only=True):
    """The networks are fully connected, as in the paper; and the discriminator."""

    convolutions: tuple[Count, ...] = ()  # features of each, stride 2; [] for none
    hidden: tuple[Count, ...] = (500, 500)  # features of the fully connected layers between image or maps and latent
    critic: tuple[Count, ...] = (256, 256)  # features of the discriminator's hidden layers
    penalty: Annotated[float, Meta(ge=0)] = 0.1  # gamma of [2]; 0 for none, as in [1]
    conditioned: bool = False  # whether it is told which mode a draw, and which class an image is of


class AAE(MatchedAutoencoder):
    """Makhzani et al., section 2."""

    Config = AAEConfig
    config: AAEConfig

    def __init__(self, config: AAEConfig) -> None:
        super().__init__(config)
        if config.conditioned and self.prior.modes == 1:
            raise UsageError(f"the {config.prior} prior has no modes for classes", "Set prior=ring or swiss-roll.")
        told = self.prior.modes if config.conditioned else 0
        self.discriminator = perceptron([config.latent + told, *config.critic, 1])

    def signature(self) -> dict[str, Field]:
        label = {"label": Field(kind="label", dtype="int64")} if self.config.conditioned else {}
        return super().signature() | label

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        """Draws of the prior, [n, Z], and where the discriminator is told, their modes [n]."""
        if not self.config.conditioned:
            return super().random_inputs(stream, n, generator)
        mode = torch.randint(self.prior.modes, (n,), generator=generator)
        return {"prior": self.prior.sample(n, mode=mode, generator=generator), "mode": mode}

    def optimizers(self) -> dict[str, Optimizer]:
        # The discriminator must be faster than the encoder: else the latents run in circles around the prior.
        lr, betas = 5e-4, {"betas": (0.5, 0.999)}
        return {
            "autoencoder": Optimizer(modules=("encoder", "decoder"), lr=lr, decay=linear_to_zero),
            "discriminator": Optimizer(modules=("discriminator",), lr=4 * lr, options=betas, decay=linear_to_zero),
            "encoder": Optimizer(modules=("encoder",), lr=lr, options=betas, decay=linear_to_zero),
        }

    def objectives(self) -> list[Objective]:
        def reconstruct(batches: Batches, shared: dict[str, Any]) -> Tensor:
            x = batches["x"]["image"]
            return squared_error(self.reconstruct(x), x)

        def discriminate(batches: Batches, shared: dict[str, Any]) -> Tensor:
            batch = batches["x"]
            shared["latent"] = self.encode(batch["image"])  # by the encoder as the first objective left it
            drawn = batch["prior"].detach().requires_grad_()
            with torch.autocast(drawn.device.type, enabled=False):  # second derivatives need full precision
                real = self.discriminate(drawn, batch.get("mode"))
            loss = discriminator_loss(real, self.discriminate(shared["latent"].detach(), batch.get("label")))
            return loss + self.config.penalty / 2 * squared_slope(real, drawn) if self.config.penalty else loss

        def regularise(batches: Batches, shared: dict[str, Any]) -> Tensor:
            return generator_loss(self.discriminate(shared["latent"], batches["x"].get("label")))

        return [
            Objective(name="reconstruct", optimizer="autoencoder", loss=reconstruct),
            Objective(name="discriminate", optimizer="discriminator", loss=discriminate),
            Objective(name="regularise", optimizer="encoder", loss=regularise),
        ]

    def discriminate(self, z: Tensor, mode: Tensor | None) -> Tensor:
        """How much the discriminator takes latents for samples of the prior: z [B, Z], mode [B] -> logits [B, 1].

        Raises:
            UsageError: a mode, or the label of an image, that the prior does not have.
        """
        if self.config.conditioned:
            assert mode is not None  # samples of the prior have one, and images a label
            if mode.max() >= self.prior.modes:
                raise UsageError(
                    f"the prior has {self.prior.modes} modes, and there is a label {mode.max().item()}",
                    "Set modes to the number of classes.",
                )
            z = torch.cat([z, F.one_hot(mode, self.prior.modes).to(z)], 1)
        logits: Tensor = self.discriminator(z)
        return logits


def squared_slope(judged: Tensor, z: Tensor) -> Tensor:
    """The mean over the batch of |d judged / d z|^2, from judged [B, 1] and the z [B, Z] it was computed from."""
    (slope,) = torch.autograd.grad(judged.sum(), z, create_graph=True)
    return slope.square().sum(1).mean()
