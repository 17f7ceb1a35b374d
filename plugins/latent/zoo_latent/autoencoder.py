"""The autoencoder: a latent that images can be reconstructed from.

Published weights: number ± standard error over examples, runs with other seeds as mean ± deviation, hours of one run:

    autoencoder.mnist: reconstruction_mse 0.003212 ± 2.2e-05 squared error/value (mnist test), n = 10,000, exact; 1 run,
        0.67 h

Rumelhart, Hinton and Williams, "Learning internal representations by error propagation", 1986; deep ones: Hinton and
Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 2006. It minimises

    E ||x - decode(encode(x))||^2

and nothing else: no distribution of latents is part of it. With linear networks (`convolutions=[] hidden=[]
output=linear`) it finds the space that PCA finds.

To draw images, a distribution is fitted to the latents of the train split after training: a Gaussian, or a mixture of
several. Axes: B batch, Z latent dimensions, K components.
"""

import warnings
from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core import Loss, Optimizer, UsageError, linear_to_zero
from zoo_latent.image_latents import CodesConfig, ImageAutoencoder, squared_error

FLOOR = 1e-4  # added to the variances of a component, relative to the latents': it may not collapse onto a point


class AutoencoderConfig(CodesConfig, kw_only=True):
    """The size of a latent, and what is fitted to latents after training."""

    latent: Annotated[int, Meta(ge=1, le=4096)] = 32  # Z, latent dimensions
    components: Annotated[int, Meta(ge=1, le=1000)] = 10  # of the mixture fitted to latents; 1 is a single Gaussian


class Autoencoder(ImageAutoencoder):
    """An Encoder, Decoder and Reconstructor; a Sampler after `fit_prior`, which training ends with."""

    Config = AutoencoderConfig
    config: AutoencoderConfig
    optimizer = Optimizer(lr=1e-3, decay=linear_to_zero)
    ema = ("",)
    fitted: Tensor
    mixture_weights: Tensor
    mixture_means: Tensor
    mixture_scales: Tensor

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config)
        k, z = config.components, config.latent
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("mixture_weights", torch.zeros(k))
        self.register_buffer("mixture_means", torch.zeros(k, z))
        self.register_buffer("mixture_scales", torch.zeros(k, z, z))  # lower triangles L, covariance L L^T

    def loss(self, batch: Mapping[str, Tensor]) -> Loss:
        """Squared error of an image, summed over its values."""
        x = batch["image"]
        return Loss(squared_error(self.reconstruct(x), x) * len(x), weight=len(x))

    # --- drawing images ---

    def fit_posthoc(self, batches: Iterable[Mapping[str, Tensor]]) -> None:
        """`fit_prior` with the latents of all images."""
        with torch.no_grad():
            self.fit_prior(torch.cat([self.encode(batch["image"]) for batch in batches]))

    @torch.no_grad()
    def fit_prior(self, latents: Tensor, *, seed: int = 0) -> None:
        """Fit the distribution that `sample` draws latents from: latents [N, Z], such as those of a train split.

        Raises:
            UsageError: fewer latents than components, or latents of another size.
        """
        k, z = self.config.components, self.config.latent
        if latents.ndim != 2 or latents.shape[1] != z or len(latents) < max(k, 2):
            raise UsageError(
                f"a prior of {k} components needs latents [N, {z}], N >= {max(k, 2)}: {list(latents.shape)}"
            )
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        x = latents.double().cpu().numpy()
        floor = FLOOR * float(x.var(0).mean()) + 1e-12
        mixture = GaussianMixture(k, reg_covar=floor, random_state=seed)
        with warnings.catch_warnings():  # of two kinds: EM could go on a little, or there are fewer clusters than k
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(x)
        self.mixture_weights.copy_(torch.from_numpy(mixture.weights_))
        self.mixture_means.copy_(torch.from_numpy(mixture.means_))
        self.mixture_scales.copy_(torch.linalg.cholesky(torch.from_numpy(mixture.covariances_)))
        self.fitted.fill_(True)

    def sample(self, n: int, *, generator: Generator | None = None) -> Tensor:
        """n images decoded from draws of the fitted distribution of latents, [n, C, H, W].

        Raises:
            UsageError: nothing was fitted.
        """
        if not self.fitted:
            raise UsageError(
                "an autoencoder has no distribution of latents to draw from, and none was fitted to this one",
                "Fit one: model.fit_prior(model.encode(images)); 'zoo train' does when it ends.",
            )
        which = torch.multinomial(self.mixture_weights.cpu(), n, replacement=True, generator=generator)
        noise = torch.randn(n, self.config.latent, 1, generator=generator)
        z = self.mixture_means[which] + (self.mixture_scales[which] @ noise.to(self.device))[..., 0]
        return self.decode(z)
