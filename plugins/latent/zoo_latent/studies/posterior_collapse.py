"""Units of a latent that carry nothing: their posterior is the prior, whatever the image.

Bowman et al., "Generating sentences from a continuous space", 2016 (arXiv:1511.06349), section 3.1, let the weight of
the KL term rise from zero so that the decoder comes to need the latent first; Higgins et al., "beta-VAE", ICLR 2017,
weigh the term with more than one.
"""

from itertools import product
from typing import Annotated, cast

import torch
from msgspec import Meta

from zoo_core import Report, Study
from zoo_latent.image_latents import Count
from zoo_latent.studies.bound_terms import SHOWN, bound_terms, images_of, show_images
from zoo_latent.vae import VAE

Weight = Annotated[float, Meta(ge=0)]


class PosteriorCollapse(Study, kw_only=True):
    data: str = "binarized-mnist"
    betas: tuple[Weight, ...] = (1.0, 4.0, 30.0)  # weights of the KL term
    warm_ups: tuple[Annotated[float, Meta(ge=0, le=1)], ...] = (0.0, 0.5)  # parts of training in which it rises
    latent: Annotated[int, Meta(ge=1)] = 20  # latent dimensions
    hidden: tuple[Count, ...] = (256,)  # features of the layers of encoder and decoder
    epochs: Annotated[float, Meta(gt=0)] = 4

    def make(self, report: Report) -> None:
        data = report.registry.open_dataset(self.data)
        runs = {
            (beta, warm_up): report.train(
                f"beta{beta:g}-warm{warm_up:g}",
                "vae",
                data=self.data,
                epochs=self.epochs,
                seed=self.seed,
                config={"latent": self.latent, "hidden": list(self.hidden), "beta": beta, "warm_up": warm_up},
            )
            for beta, warm_up in product(self.betas, self.warm_ups)
        }
        vaes = {case: cast(VAE, run.model) for case, run in runs.items()}
        x = images_of(next(iter(vaes.values())), data, "validation", 10_000, self.seed)
        terms = {case: bound_terms(vae, x, self.seed) for case, vae in vaes.items()}
        report.say(
            f"VAEs with {self.latent} latent dimensions and hidden layers {'-'.join(map(str, self.hidden))}, "
            f"{self.epochs:g} epochs of {self.data}, the same seed and batches. The loss is -E log p(x|z) + beta KL; "
            "beta is the weight at the end, and with warm-up it rises from 0 in the first part of training. Numbers "
            f"are means over {len(x):,} validation images in nats, with one draw an image; the ELBO is that of "
            "beta = 1 for all. A unit is active if the variance of its posterior mean over the images is more than "
            "0.01."
        )
        report.table(
            ["beta", "warm-up", "ELBO", "E log p(x\\|z)", "KL", "active units"],
            [
                [f"{beta:g}", f"{warm_up:.0%}", t.elbo, t.reconstruction, t.kl.sum().item(), t.active]
                for (beta, warm_up), t in terms.items()
            ],
        )
        top = 1.05 * max(t.kl.max().item() for t in terms.values())
        with report.picture("units", "KL of each unit, sorted, in nats.", columns=len(self.warm_ups), size=3.6) as axes:
            for ax, warm_up in zip(axes[0], self.warm_ups, strict=True):
                for beta in self.betas:
                    kl = terms[beta, warm_up].kl.sort(descending=True).values
                    ax.plot(range(1, self.latent + 1), kl.numpy(), marker=".", label=f"beta = {beta:g}")
                ax.set(title=f"warm-up {warm_up:.0%}", xlabel="unit", ylim=(-0.03 * top, top))
            axes[0, 0].legend()
        with report.picture(
            "training", "KL of the training batches over the epochs, in nats.", columns=len(self.betas)
        ) as axes:
            for ax, beta in zip(axes[0], self.betas, strict=True):
                for warm_up in self.warm_ups:
                    curve = runs[beta, warm_up].curve
                    nats = [row["train"]["kl"] for row in curve]
                    ax.plot([row["epoch"] for row in curve], nats, marker=".", label=f"warm-up {warm_up:.0%}")
                ax.set(title=f"beta = {beta:g}", xlabel="epoch")
            axes[0, 0].legend()
        few, without = x[:SHOWN], self.warm_ups[0]
        with torch.no_grad():
            back = {f"beta = {beta:g}": vaes[beta, without].reconstruct(few) for beta in self.betas}
        with report.picture(
            "reconstructions",
            f"Validation images, and what comes back from their latents; warm-up {without:.0%}.",
            rows=1 + len(back),
            columns=SHOWN,
            size=0.8,
        ) as axes:
            show_images(axes, {"image": few} | back)
