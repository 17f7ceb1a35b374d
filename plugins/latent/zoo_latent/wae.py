"""Wasserstein autoencoders: small reconstruction error, under the constraint that latents follow a prior.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    wae-mmd.mnist: prior_mmd2 0.002773 MMD^2 (mnist test), n = 2,000, unbiased MMD^2, inverse multiquadratic kernels, 7
        scales, examples by seed 0; 1 run, 0.44 h
    wae-gan.mnist: prior_mmd2 0.001408 MMD^2 (mnist test), n = 2,000, unbiased MMD^2, inverse multiquadratic kernels, 7
        scales, examples by seed 0; 1 run, 0.33 h

Follows Tolstikhin, Bousquet, Gelly and Schoelkopf, "Wasserstein auto-encoders", 2018 (arXiv:1711.01558) [1]. Both
minimise ([1], equation 4)

    E ||x - decode(encode(x))||^2 + weight * D(latents, prior)

in which the squares are summed over an image. Unlike in a VAE it is all latents together that must follow the prior,
not those of each image. D is for

    wae-mmd  the squared maximum mean discrepancy, estimated from the batch ([1], algorithm 2);
    wae-gan  what a discriminator between latents and samples of the prior makes of it ([1], algorithm 1).

Departs from [1]:
    * ReLU networks without batch normalisation
    * wae-mmd keeps the average of the weights
    * the prior of wae-mmd counts more, for with weight 10 latents are still far from it when images are well
      reconstructed

Axes: B batch, Z latent dimensions.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from msgspec import Meta
from torch import Tensor

from zoo_core import Loss, Objective, Optimizer, linear_to_zero
from zoo_latent.image_latents import Count, squared_error
from zoo_latent.matched_latents import MatchedAutoencoder, MatchedConfig, discriminator_loss, generator_loss
from zoo_latent.networks import perceptron

Batches = Mapping[str, Mapping[str, Tensor]]
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)  # of the kernel, relative to N(0, I)


def imq_mmd2(latents: Tensor, draws: Tensor) -> Tensor:
    """Squared maximum mean discrepancy between the distributions of latents [n, Z] and draws [m, Z], unbiased: its
    expectation is zero where the two are the same, so it may be negative.

    The kernel is a sum of inverse multiquadrics, k(x, y) = C / (C + ||x - y||^2) with C = 2 Z, which is what
    ||x - y||^2 is on average for samples of N(0, I), and some multiples of it ([1], section 4).
    """
    n, m = len(latents), len(draws)
    base = 2 * latents.shape[1]
    within_latents, within_draws = _squared_distances(latents, latents), _squared_distances(draws, draws)
    between = _squared_distances(latents, draws)
    mmd2 = latents.new_zeros(())
    for scale in SCALES:
        c = base * scale
        # On the diagonal the kernel is 1: a point is not a second, independent draw (the U-statistic leaves it out).
        mmd2 = mmd2 + ((c / (c + within_latents)).sum() - n) / (n * (n - 1))
        mmd2 = mmd2 + ((c / (c + within_draws)).sum() - m) / (m * (m - 1))
        mmd2 = mmd2 - 2 * (c / (c + between)).mean()
    return mmd2


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """[n, Z], [m, Z] -> [n, m]. Differences, not products: these lose the small distances."""
    return (x[:, None] - y[None]).square().sum(2)


class WAEMMDConfig(MatchedConfig, kw_only=True):
    """How much the prior counts."""

    weight: Annotated[float, Meta(ge=0)] = 300.0  # of the MMD^2; lambda in the paper, where it is 10


class WAEMMD(MatchedAutoencoder):
    """Algorithm 2."""

    Config = WAEMMDConfig
    config: WAEMMDConfig
    batch = 256  # the more images, the better is the distance known
    optimizer = Optimizer(lr=1e-3, decay=linear_to_zero)
    ema = ("",)

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Squared error of an image, and weight times the MMD^2 between the latents of the batch and the prior."""
        x, n = batch["image"], len(batch["image"])
        z = self.encode(x)
        error = squared_error(self.decode(z), x)
        mmd2 = imq_mmd2(z.float(), batch["prior"]) if n > 1 else torch.zeros(())  # one image says nothing of it
        return Loss((error + self.config.weight * mmd2) * n, weight=n, parts={"error": error * n, "mmd2": mmd2 * n})


class WAEGANConfig(MatchedConfig, kw_only=True):
    """How much the prior counts, and the discriminator."""

    weight: Annotated[float, Meta(ge=0)] = 10.0  # of fooling the discriminator; lambda in the paper
    critic: tuple[Count, ...] = (256, 256)  # features of the discriminator's hidden layers


class WAEGAN(MatchedAutoencoder):
    """Algorithm 1."""

    Config = WAEGANConfig
    config: WAEGANConfig

    def __init__(self, config: WAEGANConfig) -> None:
        super().__init__(config)
        self.discriminator = perceptron([config.latent, *config.critic, 1])

    def optimizers(self) -> dict[str, Optimizer]:
        # The discriminator must be faster than the encoder: else the latents run in circles around the prior.
        betas = {"betas": (0.5, 0.999)}
        return {
            "discriminator": Optimizer(modules=("discriminator",), lr=1e-3, options=betas, decay=linear_to_zero),
            "autoencoder": Optimizer(modules=("encoder", "decoder"), lr=5e-4, options=betas, decay=linear_to_zero),
        }

    def objectives(self) -> list[Objective]:
        def discriminate(batches: Batches, shared: dict[str, Any]) -> Tensor:
            batch = batches["x"]
            shared["latent"] = self.encode(batch["image"])
            return discriminator_loss(self.discriminator(batch["prior"]), self.discriminator(shared["latent"].detach()))

        def autoencode(batches: Batches, shared: dict[str, Any]) -> Loss:
            x, z = batches["x"]["image"], shared["latent"]
            n, error, fooling = len(x), squared_error(self.decode(z), x), generator_loss(self.discriminator(z))
            value = error + self.config.weight * fooling
            return Loss(value * n, weight=n, parts={"error": error * n, "fooling": fooling * n})

        return [
            Objective(name="discriminate", optimizer="discriminator", loss=discriminate),
            Objective(name="autoencode", optimizer="autoencoder", loss=autoencode),
        ]
