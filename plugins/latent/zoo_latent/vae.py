"""The variational autoencoder.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    vae.binarized-mnist: elbo -93.12 ± 0.25 nats/example (binarized-mnist test), n = 10,000, one code drawn for each
        example, seed 0; 1 run, 1.1 h

Follows Kingma and Welling, "Auto-encoding variational Bayes", 2014 (arXiv:1312.6114) [1]:

    p(z) = N(0, I),   p(x|z) from the decoder,   q(z|x) = N(mean(x), variance(x)) from the encoder

    log p(x) >= ELBO(x) = E_q [log p(x|z)] - KL(q(z|x) || p(z))                                    ([1], equation 3)

trained with one sample z = mean + sqrt(variance) noise, through which the gradient flows: the reparameterisation trick
([1], section 2.4). The KL term is 1/2 sum over Z of mean^2 + variance - 1 - log variance ([1], appendix B; in
likelihoods.py). The importance-weighted bound is tighter the more samples it has (Burda et al., 2016, arXiv:1509.00519
[2], equation 8):

    log p(x) >= E log 1/K sum over k of p(x, z_k) / q(z_k|x)

The decoder's p(x|z) is a Bernoulli distribution for every value, for images of black and white, or a Gaussian whose
standard deviation is learned or fixed, one for all values.

Departs from [1]:
    * the average of the weights is kept
    * Adam in place of Adagrad, ReLU in place of tanh, any number of layers; the log variance is kept within 20 of 0
    * `beta` weighs the KL term (Higgins et al., 2017), and its weight may rise from zero at the beginning of training

Axes: B batch, D values of an image, Z latent dimensions, K draws.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from msgspec import Meta
from torch import Generator, Tensor, nn

from zoo_core import Loss, Optimizer, UsageError, linear_to_zero
from zoo_latent.image_latents import CodesConfig, Count, ImageAutoencoder
from zoo_latent.likelihoods import bernoulli_log_likelihood, gaussian_log_likelihood, kl_to_standard_normal
from zoo_latent.priors import Gaussian

ROWS = 4000  # draws that are decoded at a time; no result depends on it


class VAEConfig(CodesConfig, kw_only=True):
    """The decoder's distribution and the weight of the KL term."""

    latent: Annotated[int, Meta(ge=1, le=4096)] = 50  # Z, latent dimensions
    convolutions: tuple[Count, ...] = ()  # features of each, stride 2; [] for none
    hidden: tuple[Count, ...] = (500, 500)  # features of the fully connected layers between image or maps and latent
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"  # of a value given the latent
    sigma: Annotated[float, Meta(gt=0)] | None = None  # of a Gaussian decoder, in units of pixel values; null: learned
    beta: Annotated[float, Meta(ge=0)] = 1.0  # weight of the KL term
    warm_up: Annotated[float, Meta(ge=0, le=1)] = 0.0  # part of training in which that weight rises from 0


# --- 2.4 the reparameterisation trick ---


def reparameterise(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """A sample of N(mean, variance) as a function of both: three tensors of one shape, or that broadcast."""
    return mean + (0.5 * log_variance).exp() * noise


class VAE(ImageAutoencoder):
    """An Encoder (of means), Decoder, Reconstructor, Prior, Sampler and LowerBound. It is no Density: its likelihood is
    only known from below."""

    Config = VAEConfig
    config: VAEConfig
    optimizer = Optimizer(lr=1e-3, decay=linear_to_zero)
    ema = ("",)

    def __init__(self, config: VAEConfig) -> None:
        super().__init__(config)
        if config.likelihood == "bernoulli" and (config.output == "linear" or config.sigma is not None):
            raise UsageError("output=linear and sigma belong to a Gaussian decoder", "Set likelihood=gaussian.")
        self.prior = Gaussian(config.latent)
        self.kl_weight = config.beta
        if config.likelihood == "gaussian":
            log_sigma = torch.tensor(math.log(config.sigma or 0.1))
            self.log_sigma = nn.Parameter(log_sigma, requires_grad=config.sigma is None)

    @property
    def encoder_outputs(self) -> int:
        return 2 * self.config.latent  # mean and log variance

    # --- 2.2 the bound ---

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z|x): x [B, C, H, W] -> [B, Z] each."""
        self.check_images(x)
        out = self.encoder(x)
        mean, log_variance = (out.float() if out.dtype == torch.bfloat16 else out).chunk(2, 1)
        return mean, log_variance.clamp(-20, 20)  # e^20 and beyond: training has diverged

    def log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x|z): x [B, C, H, W], z [B, K, Z] -> [B, K] nats."""
        raw = self.raw(z.flatten(0, 1)).flatten(1).unflatten(0, z.shape[:2])  # [B, K, D]
        x = x.flatten(1)[:, None]  # [B, 1, D]
        if self.config.likelihood == "bernoulli":
            return bernoulli_log_likelihood(raw, x)
        mean = raw if self.config.output == "linear" else torch.sigmoid(raw)
        return gaussian_log_likelihood(mean, self.log_sigma, x)

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Negative ELBO of an image in nats, with one draw, and the KL term times its weight."""
        x = batch["image"]
        mean, log_variance = self.posterior(x)
        z = reparameterise(mean, log_variance, batch["noise"])
        kl = kl_to_standard_normal(mean, log_variance).sum()
        surprisal = -self.log_likelihood(x, z[:, None]).sum()
        weight = self.kl_weight if self.training else self.config.beta  # epochs are compared with the full weight
        return Loss(surprisal + weight * kl, weight=len(x), parts={"reconstruction": surprisal, "kl": kl})

    def random_inputs(self, stream: str, n: int, generator: Generator) -> dict[str, Tensor]:
        """The noise of each image's draw, [n, Z]."""
        return {"noise": torch.randn(n, self.config.latent, generator=generator)}

    def on_progress(self, progress: float) -> None:
        risen = min(1.0, progress / self.config.warm_up) if self.config.warm_up else 1.0
        self.kl_weight = self.config.beta * risen

    def elbo(self, x: Tensor, *, samples: int = 1, generator: Generator | None = None) -> Tensor:
        """Lower bound on log p(x): x [B, C, H, W] -> [B] nats.

        With one sample the ELBO, its KL term in closed form; with K the importance-weighted bound of K draws ([2]).
        Noise is made image by image, so that the bounds of a data set do not depend on how it is cut into batches.
        Images are encoded once; memory is that of a few thousand decoded draws.
        """
        if samples < 1:
            raise UsageError(f"samples must be at least 1, got {samples}")
        mean, log_variance = self.posterior(x)
        together = max(1, ROWS // samples)  # images
        parts = zip(x.split(together), mean.split(together), log_variance.split(together), strict=True)
        return torch.cat([self._bound(*part, samples, generator) for part in parts])

    def _bound(
        self, x: Tensor, mean: Tensor, log_variance: Tensor, samples: int, generator: Generator | None
    ) -> Tensor:
        """As `elbo`, for images whose draws are decoded together or, if they are too many, in several rounds."""
        total = mean.new_full((len(x),), -math.inf)
        for start in range(0, samples, ROWS):
            draws = min(ROWS, samples - start)
            noise = torch.stack([torch.randn(draws, self.config.latent, generator=generator) for _ in x])
            noise = noise.to(mean)  # [B, K, Z]
            z = reparameterise(mean[:, None], log_variance[:, None], noise)
            log_likelihood = self.log_likelihood(x, z)  # [B, K]
            if samples == 1:
                return log_likelihood[:, 0] - kl_to_standard_normal(mean, log_variance)
            # log p(z) - log q(z|x); the constants of the two densities are the same.
            log_ratio = 0.5 * (noise.square() - z.square()).sum(2) + 0.5 * log_variance.sum(1, keepdim=True)
            total = torch.logaddexp(total, (log_likelihood + log_ratio).logsumexp(1))
        return total - math.log(samples)

    # --- latents and images ---

    def encode(self, x: Tensor, *, generator: Generator | None = None) -> Tensor:
        """The mean of q(z|x), or with a generator a draw from it: x [B, C, H, W] -> [B, Z]."""
        mean, log_variance = self.posterior(x)
        if generator is None:
            return mean
        return reparameterise(mean, log_variance, torch.randn(mean.shape, generator=generator).to(mean))

    def sample_prior(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n latents from N(0, I), [n, Z]."""
        return self.prior.sample(n, generator=generator).to(self.device)

    def sample(self, n: int, *, generator: Generator | None = None, temperature: float = 1.0) -> Tensor:
        """n images decoded from N(0, temperature^2 I): the mean of every value, [n, C, H, W] in [0, 1]."""
        if not temperature > 0:
            raise UsageError(f"temperature must be greater than 0, got {temperature}")
        return self.decode(temperature * self.sample_prior(n, generator=generator))
