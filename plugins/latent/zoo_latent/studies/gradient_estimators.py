"""Three ways to estimate the gradient of the ELBO in the encoder's weights, and how much each varies.

With q = q(z|x), z = mean + sqrt(variance) noise, and f = log p(x|z) + log p(z) - log q:

    analytic KL     d/dw [log p(x|z)] - d/dw KL(q || p), through z; the KL in closed form
    Monte Carlo KL  d/dw [f], through z
    score function  f d/dw [log q], z held fixed; E d/dw [log q] is 0, so that f may be lowered by a baseline

The first two are Kingma and Welling, "Auto-encoding variational Bayes", 2014 (arXiv:1312.6114), equations 7 and 6; the
last is Williams, 1992 (REINFORCE), in a VAE as by Mnih and Gregor, 2014 (arXiv:1402.0030). All have the same mean.
Axes: B batch, Z latent dimensions.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Annotated, NamedTuple, cast

import torch
from msgspec import Meta
from torch import Generator, Tensor

from zoo_core import Report, Study, create
from zoo_latent.image_latents import Count
from zoo_latent.likelihoods import kl_to_standard_normal
from zoo_latent.studies.bound_terms import images_of
from zoo_latent.vae import VAE

BASELINE_DRAWS = 20  # of f for each image, before the gradient is drawn
Surrogate = Callable[[VAE, Tensor, Generator], Tensor]


def analytic_kl(model: VAE, x: Tensor, generator: Generator) -> Tensor:
    """What the gradient is taken of: x [B, C, H, W] -> scalar, a mean over the images. The same for all below."""
    mean, log_variance = model.posterior(x)
    z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
    return (model.log_likelihood(x, z[:, None])[:, 0] - kl_to_standard_normal(mean, log_variance)).mean()


def monte_carlo_kl(model: VAE, x: Tensor, generator: Generator) -> Tensor:
    mean, log_variance = model.posterior(x)
    z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
    return log_weight(model, x, z, mean, log_variance).mean()


def score_function(model: VAE, x: Tensor, generator: Generator, baseline: Tensor | float = 0.0) -> Tensor:
    mean, log_variance = model.posterior(x)
    with torch.no_grad():
        z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
        f = log_weight(model, x, z, mean, log_variance)
    return ((f - baseline) * log_normal(z, mean, log_variance)).mean()


@torch.no_grad()
def expected_log_weight(model: VAE, x: Tensor, generator: Generator) -> Tensor:
    """The mean of some draws of f, [B]: a baseline that knows the image, and nothing of the draw that it is for."""
    mean, log_variance = model.posterior(x)
    total = torch.zeros(len(x))
    for _ in range(BASELINE_DRAWS):
        z = mean + (0.5 * log_variance).exp() * torch.randn(mean.shape, generator=generator)
        total += log_weight(model, x, z, mean, log_variance)
    return total / BASELINE_DRAWS


def log_weight(model: VAE, x: Tensor, z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """f = log p(x|z) + log p(z) - log q(z|x), [B] nats."""
    log_q = log_normal(z, mean, log_variance)
    return model.log_likelihood(x, z[:, None])[:, 0] + model.prior.log_prob(z) - log_q


def log_normal(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log N(z; mean, variance), [B, Z] each -> [B] nats."""
    squares = (z - mean).square() * (-log_variance).exp()
    return -0.5 * (squares + log_variance + math.log(2 * math.pi)).sum(1)


class Spread(NamedTuple):
    """Mean [W] and total variance of draws of a gradient of W weights."""

    mean: Tensor
    variance: float  # summed over the weights


def spread(model: VAE, x: Tensor, surrogate: Surrogate, draws: int, generator: Generator) -> Spread:
    """Of the gradient in the encoder's weights, over `draws` estimates with the same images."""
    weights = list(model.encoder.parameters())
    mean = squares = torch.zeros(sum(weight.numel() for weight in weights), dtype=torch.double)
    for k in range(draws):  # Welford's recurrence: sums of squares would cancel
        gradients = torch.autograd.grad(surrogate(model, x, generator), weights)
        gradient = torch.cat([g.flatten() for g in gradients]).double()
        change = gradient - mean
        mean = mean + change / (k + 1)
        squares = squares + change * (gradient - mean)
    return Spread(mean, (squares / (draws - 1)).sum().item())


class GradientEstimators(Study, kw_only=True):
    data: str = "binarized-mnist"
    latent: Annotated[int, Meta(ge=1)] = 20  # latent dimensions
    hidden: tuple[Count, ...] = (256,)  # features of the layers of encoder and decoder
    epochs: Annotated[float, Meta(gt=0)] = 2
    images: Annotated[int, Meta(ge=1)] = 100  # of the batch whose gradient is estimated
    draws: Annotated[int, Meta(ge=2)] = 300  # estimates of each kind

    def make(self, report: Report) -> None:
        data = report.registry.open_dataset(self.data)
        config = {"latent": self.latent, "hidden": list(self.hidden)}
        torch.manual_seed(self.seed)
        fresh = cast(VAE, create("vae", registry=report.registry, features=data.features, config=config))
        trained = report.train("vae", "vae", data=self.data, epochs=self.epochs, seed=self.seed, config=config).model
        x = images_of(trained, data, "validation", self.images, self.seed)
        report.say(
            f"The gradient of the ELBO in the encoder's weights, a mean over the same {len(x)} validation images of "
            f"{self.data}, {self.draws} estimates of each kind with one latent an image; before training and after "
            f"{self.epochs:g} epochs. The variance is summed over all weights, and given beside the squared length of "
            "the mean gradient (of analytic KL). The baseline is the mean of f over "
            f"{BASELINE_DRAWS} other draws for the same image. Where estimators have the same mean, the last column is "
            "about 1: the squared distance of the mean of the estimates from that of analytic KL, over what chance "
            "would make of it."
        )
        rows = []
        with report.picture("variance", "Total variance of a gradient estimate, logarithmic.", size=5) as axes:
            for k, (state, model) in enumerate((("fresh", fresh), ("trained", cast(VAE, trained)))):
                found = self.measured(model, x)
                exact = found["analytic KL"]
                signal = max(exact.mean.square().sum().item() - exact.variance / self.draws, 0.0)
                for name, (mean, variance) in found.items():
                    chance = (variance + exact.variance) / self.draws
                    apart = (mean - exact.mean).square().sum().item() / chance
                    same = mean is exact.mean
                    rows.append(
                        [state, name, variance, variance / signal if signal else math.inf, "-" if same else apart]
                    )
                places = [place + 0.4 * k for place in range(len(found))]
                axes[0, 0].barh(places, [v for _, v in found.values()], height=0.38, label=state)
                axes[0, 0].set_yticks([place - 0.2 for place in places], list(found))
            axes[0, 0].set(xscale="log", xlabel="total variance")
            axes[0, 0].invert_yaxis()
            axes[0, 0].legend()
        report.table(["weights", "estimator", "variance", "variance / squared mean", "distance of means"], rows)

    def measured(self, model: VAE, x: Tensor) -> dict[str, Spread]:
        """Each estimator's draws, all from the same noise."""
        baseline = expected_log_weight(model, x, torch.Generator().manual_seed(self.seed + 1))
        estimators: dict[str, Surrogate] = {
            "analytic KL": analytic_kl,
            "Monte Carlo KL": monte_carlo_kl,
            "score function": score_function,
            "score function, baseline": partial(score_function, baseline=baseline),
        }
        return {
            name: spread(model, x, surrogate, self.draws, torch.Generator().manual_seed(self.seed + 2 + k))
            for k, (name, surrogate) in enumerate(estimators.items())
        }
