"""How many numbers should a latent have? VAEs that differ in nothing else.

Kingma and Welling, "Auto-encoding variational Bayes", 2014 (arXiv:1312.6114), figures 2 and 5.
"""

from typing import Annotated, cast

import torch
from msgspec import Meta

from zoo_core import Report, Study
from zoo_latent.image_latents import Count
from zoo_latent.studies.bound_terms import SHOWN, bound_terms, images_of, show_images
from zoo_latent.vae import VAE


class LatentSize(Study, kw_only=True):
    data: str = "binarized-mnist"
    sizes: tuple[Count, ...] = (2, 5, 10, 20)  # latent dimensions
    hidden: tuple[Count, ...] = (256,)  # features of the layers of encoder and decoder
    epochs: Annotated[float, Meta(gt=0)] = 5

    def make(self, report: Report) -> None:
        data = report.registry.open_dataset(self.data)
        vaes = {
            size: cast(
                VAE,
                report.train(
                    f"z{size}",
                    "vae",
                    data=self.data,
                    epochs=self.epochs,
                    seed=self.seed,
                    config={"latent": size, "hidden": list(self.hidden)},
                ).model,
            )
            for size in self.sizes
        }
        x = images_of(vaes[self.sizes[0]], data, "validation", 10_000, self.seed)
        terms = {size: bound_terms(vae, x, self.seed) for size, vae in vaes.items()}
        layers = "-".join(map(str, self.hidden))
        report.say(
            f"VAEs with hidden layers {layers}, {self.epochs:g} epochs of {self.data}, the same seed and batches. "
            f"Numbers are means over {len(x):,} validation images in nats, with one draw an image. "
            "ELBO = E log p(x|z) - KL. A unit is active if the variance of its posterior mean over the images is more "
            "than 0.01."
        )
        report.table(
            ["latent dimensions", "ELBO", "E log p(x\\|z)", "KL", "active units"],
            [[size, t.elbo, t.reconstruction, t.kl.sum().item(), t.active] for size, t in terms.items()],
        )
        few = x[:SHOWN]
        rows = {f"z = {size}": vae for size, vae in vaes.items()}
        with torch.no_grad():
            back = {"image": few} | {name: vae.reconstruct(few) for name, vae in rows.items()}
            draws = {
                name: vae.sample(SHOWN, generator=torch.Generator().manual_seed(self.seed))
                for name, vae in rows.items()
            }
        with report.picture(
            "reconstructions",
            "Validation images, and what comes back from their latents.",
            rows=len(back),
            columns=SHOWN,
            size=0.8,
        ) as axes:
            show_images(axes, back)
        with report.picture(
            "samples", "Decoded from samples of N(0, I).", rows=len(draws), columns=SHOWN, size=0.8
        ) as axes:
            show_images(axes, draws)
