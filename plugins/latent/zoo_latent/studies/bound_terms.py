"""What the studies of VAEs measure and show: the two terms of the bound, units that are in use, rows of images.

Axes: N images, C channels, H height, W width, Z latent dimensions.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from zoo_core import Dataset, Model, batches
from zoo_latent.likelihoods import kl_to_standard_normal
from zoo_latent.vae import VAE

SHOWN = 10  # images in a row
ACTIVE = 0.01  # Burda et al., 2016 (arXiv:1509.00519), section 5.2


class BoundTerms(NamedTuple):
    """ELBO = reconstruction - the sum of kl, in nats, means over images."""

    reconstruction: float  # log p(x|z) of one draw
    kl: Tensor  # [Z], of each unit
    active: int  # units whose posterior mean has a variance over the images of more than ACTIVE

    @property
    def elbo(self) -> float:
        return self.reconstruction - self.kl.sum().item()


def images_of(model: Model, data: Dataset, split: str, n: int, seed: int) -> Tensor:
    """At most n images of a split, drawn with the seed and preprocessed, [N, C, H, W]."""
    chosen = torch.randperm(data.size(split), generator=torch.Generator().manual_seed(seed))[:n]
    (batch,) = batches(model, data, split, chosen, size=n, generator=torch.Generator().manual_seed(seed))
    images: Tensor = batch["image"]
    return images


@torch.no_grad()
def bound_terms(model: VAE, x: Tensor, seed: int) -> BoundTerms:
    """Of images x [N, C, H, W]."""
    generator = torch.Generator().manual_seed(seed)
    likelihoods, means, kls = [], [], []
    for part in x.split(500):
        mean, log_variance = model.posterior(part)
        z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
        likelihoods.append(model.log_likelihood(part, z[:, None]))
        means.append(mean)
        kls.append(kl_to_standard_normal(mean[..., None], log_variance[..., None]))  # [B, Z]
    active = torch.cat(means).var(0) > ACTIVE
    return BoundTerms(torch.cat(likelihoods).double().mean().item(), torch.cat(kls).double().mean(0), int(active.sum()))


def show_images(axes: Any, rows: dict[str, Tensor]) -> None:
    """Rows of images [N, C, H, W], each with its name on the left, on matplotlib axes [rows, N]."""
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for ax, image in zip(line, images, strict=True):
            ax.imshow(image.permute(1, 2, 0).clamp(0, 1).numpy(), cmap="gray", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
