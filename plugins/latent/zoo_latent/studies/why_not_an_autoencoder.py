"""Is an autoencoder a generative model? It and a VAE, both decoded from N(0, I).

They share data, networks and the size of latents; the VAE adds noise to latents, and the KL term. An autoencoder's loss
does not say where latents lie: most samples of N(0, I) are latents that its decoder has never seen. Axes: n images, Z
latent dimensions.
"""

from typing import Annotated, Literal, cast

import torch
from msgspec import Meta
from torch import Tensor

from zoo_core import AnyModel, Report, Study, ZooError, batches
from zoo_latent.autoencoder import Autoencoder
from zoo_latent.image_latents import Count
from zoo_latent.studies.bound_terms import SHOWN, images_of, show_images
from zoo_latent.vae import VAE
from zoo_latent.wae import imq_mmd2

POINTS = 1000  # latents that are compared with as many samples of N(0, I)


class WhyNotAnAutoencoder(Study, kw_only=True):
    data: str = "mnist"
    latent: Annotated[int, Meta(ge=2)] = 8  # latent dimensions
    hidden: tuple[Count, ...] = (256,)  # features of the layers of encoder and decoder
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"  # of the VAE's decoder; Gaussian: sigma is learned
    components: Annotated[int, Meta(ge=1)] = 10  # of the mixture fitted to the autoencoder's latents
    epochs: Annotated[float, Meta(gt=0)] = 5
    images: Annotated[int, Meta(ge=2)] = 2000  # that are drawn, and compared with as many of the validation split

    def make(self, report: Report) -> None:
        networks = {"latent": self.latent, "hidden": list(self.hidden), "convolutions": []}
        how = {"data": self.data, "epochs": self.epochs, "seed": self.seed}
        plain = report.train("autoencoder", "autoencoder", config={**networks, "components": self.components}, **how)
        vae = report.train("vae", "vae", config={**networks, "likelihood": self.likelihood}, **how)
        report.say(
            f"An autoencoder and a VAE with {self.latent} latent dimensions, hidden layers "
            f"{'-'.join(map(str, self.hidden))}, {self.epochs:g} epochs of {self.data}, the same seed and batches; the "
            f"VAE's decoder is {self.likelihood.capitalize()}. All that follows is on validation images."
        )
        self.show_latents(report, plain.model, cast(VAE, vae.model))
        self.show_samples(report, plain.model, vae.model)

    @torch.no_grad()
    def show_latents(self, report: Report, autoencoder: AnyModel, vae: VAE) -> None:
        """Where the latents of both lie, beside N(0, I)."""
        x = images_of(autoencoder, report.registry.open_dataset(self.data), "validation", POINTS, self.seed)
        draw = torch.Generator().manual_seed(self.seed)
        normal, other = torch.randn(2, len(x), self.latent, generator=draw)
        latents = {"autoencoder": autoencoder.encode(x), "VAE": vae.encode(x, generator=draw), "N(0, I)": other}
        rows = []
        with report.picture(
            "latents",
            "The first two principal components of the latents; circles hold 39% and 86% of N(0, I).",
            columns=2,
            size=3.6,
        ) as axes:
            for name, z in latents.items():
                deviations = z.std(0).sort().values
                rows.append([name, deviations[0].item(), deviations[-1].item(), imq_mmd2(z, normal).item()])
            for name, ax in zip(latents, axes[0], strict=False):
                ax.plot(*two_components(latents[name]).T.numpy(), ".", markersize=3)
                turn = torch.linspace(0, 2 * torch.pi, 100)
                for radius in (1, 2):
                    ax.plot((radius * turn.cos()).numpy(), (radius * turn.sin()).numpy(), "k")
                ax.set(title=name, aspect="equal")
        report.say(
            f"Latents of {len(x):,} images, of the VAE drawn from q(z|x): the smallest and the largest standard "
            "deviation of a number, and the unbiased MMD^2 between the latents and samples of N(0, I). The last row is "
            "of other samples of N(0, I): what chance makes of zero."
        )
        report.table(["latents", "smallest deviation", "largest", "MMD^2 to N(0, I)"], rows)

    def show_samples(self, report: Report, autoencoder: AnyModel, vae: AnyModel) -> None:
        """What is decoded from N(0, I), and for the autoencoder from a mixture fitted to its latents."""
        fitted = {name: buffer.clone() for name, buffer in autoencoder.named_buffers()}
        samples, rows = {}, []

        def add(name: str, model: AnyModel) -> None:
            samples[name] = model.sample(SHOWN, generator=torch.Generator().manual_seed(self.seed))
            rows.append([name, *self.distance(report, model)])

        with torch.no_grad():
            use_standard_normal(cast(Autoencoder, autoencoder))
            add("autoencoder, N(0, I)", autoencoder)
            autoencoder.load_state_dict(fitted, strict=False)
            add("autoencoder, mixture", autoencoder)
            add("VAE, N(0, I)", vae)
        with report.picture(
            "samples", "Images decoded from draws of latents.", rows=len(samples), columns=SHOWN, size=0.8
        ) as axes:
            show_images(axes, samples)
        report.say(
            f"The mixture has {self.components} Gaussians, fitted to the autoencoder's latents of the train split. The "
            f"Fréchet distance is that between {self.images:,} decoded draws and as many validation images, in the "
            "features of `digit-classifier`; the floor is that between as many train images and the same."
        )
        report.table(["decoded from", "Fréchet distance", "floor"], rows)

    @torch.no_grad()
    def distance(self, report: Report, model: AnyModel) -> tuple[float | str, float | str]:
        """`frechet_classifier` of the model's samples, and its floor; why not, if it cannot be had."""
        data = report.registry.open_dataset(self.data)
        n = min(self.images, data.size("validation"))
        try:
            metric = report.registry.new_metric("frechet_classifier")
            metric.begin(model, data, "validation", n)
        except ZooError as error:
            return f"({error})", "-"
        order = torch.randperm(data.size("validation"), generator=torch.Generator().manual_seed(self.seed))
        for batch in batches(model, data, "validation", order[:n], size=500):
            metric.update(model, batch)
        found = metric.compute()
        return found.value, found.beside.get("train against the split", "-")


def use_standard_normal(model: Autoencoder) -> None:
    """Let the model draw latents from N(0, I)."""
    model.mixture_weights.zero_()[0] = 1
    model.mixture_means.zero_()
    model.mixture_scales.copy_(torch.eye(model.config.latent))


def two_components(z: Tensor) -> Tensor:
    """Latents [n, Z] about zero, in the two directions in which they vary most, [n, 2]."""
    _, _, directions = torch.linalg.svd(z - z.mean(0), full_matrices=False)
    plane: Tensor = directions[:2].T
    return z @ plane
