"""Log-likelihoods of images given what a decoder says of them, and the divergence of the latents.

Axes: D values of an image, Z latent dimensions; what stands before them may be anything that broadcasts.
"""

import math
from typing import Any

import torch
from torch import Tensor


class _BernoulliLogLikelihood(torch.autograd.Function):
    """sum over d of x_d l_d - log(1 + e^l_d), with one temporary and one logarithm for many values.

    With s = sigmoid(|l|), which is at least 1/2:  log(1 + e^l) = max(l, 0) - log s. So up to 64 of them are multiplied
    before the logarithm is taken, and no product comes near the smallest float.
    """

    @staticmethod
    def forward(ctx: Any, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(logits, x)
        linear = torch.mul(logits, x - 0.5)
        total = linear.sum(-1)
        work = torch.abs(logits, out=linear) if linear.shape == logits.shape else logits.abs()
        total -= 0.5 * work.sum(-1)  # max(l, 0) = (l + |l|) / 2
        product = work.sigmoid_()
        for _ in range(6):
            if product.shape[-1] % 2:
                break
            left, right = product.chunk(2, -1)
            product = left * right
        return total + product.log().sum(-1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        logits, x = ctx.saved_tensors
        return (x - logits.sigmoid()) * gradient[..., None], None


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """sum over d of log Bernoulli(x_d; sigmoid(l_d)): logits [..., D], x [..., D] in [0, 1] -> [...] nats."""
    nats: Tensor = _BernoulliLogLikelihood.apply(logits, x)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return nats


def gaussian_log_likelihood(mean: Tensor, log_sigma: Tensor, x: Tensor) -> Tensor:
    """sum over d of log N(x_d; mean_d, sigma^2) with one sigma: mean [..., D], x [..., D] -> [...] nats."""
    d = x.shape[-1]
    squares = (x - mean).square().sum(-1)
    return -0.5 * squares * (-2 * log_sigma).exp() - d * (log_sigma + 0.5 * math.log(2 * math.pi))


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)): both [..., Z] -> [...] nats (Kingma and Welling, 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
