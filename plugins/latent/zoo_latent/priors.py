"""Priors: distributions of latents that can be drawn from.

A prior has `size` (Z, how many dimensions a latent has) and `modes` (how many numbered parts it consists of; 1 if it is
one piece), and `sample`. A density, `log_prob`, is optional: to match a prior, an adversarial or a Wasserstein
autoencoder only ever samples from it (Makhzani et al., 2015, arXiv:1511.05644, section 2).
"""

import math
from typing import Literal, Protocol

import torch
from torch import Generator, Tensor

from zoo_core import UsageError

PriorName = Literal["gaussian", "uniform", "ring", "swiss-roll"]


class Prior(Protocol):
    """What a model needs to know of the distribution that its latents should follow."""

    size: int  # Z
    modes: int

    def sample(self, n: int, *, mode: Tensor | None = None, generator: Generator | None = None) -> Tensor:
        """n latents, [n, Z]; `mode` [n] int64 says from which part each comes, by default from any, all alike."""


class Gaussian:
    """N(0, I)."""

    modes = 1

    def __init__(self, size: int) -> None:
        self.size = size

    def sample(self, n: int, *, mode: Tensor | None = None, generator: Generator | None = None) -> Tensor:
        return torch.randn(n, self.size, generator=generator)

    def log_prob(self, z: Tensor) -> Tensor:
        """[n, Z] -> [n] nats."""
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)


class Uniform:
    """Uniform in the box [-1, 1]^Z."""

    modes = 1

    def __init__(self, size: int) -> None:
        self.size = size

    def sample(self, n: int, *, mode: Tensor | None = None, generator: Generator | None = None) -> Tensor:
        return 2 * torch.rand(n, self.size, generator=generator) - 1

    def log_prob(self, z: Tensor) -> Tensor:
        """[n, Z] -> [n] nats; -inf outside the box."""
        inside = (z.abs() <= 1).all(-1)
        return torch.where(inside, -self.size * math.log(2.0), -math.inf)


class Ring:
    """Mixture of Gaussians in the plane, all of the same weight, with their means on a circle. Each is long in the
    direction of the centre and narrow across it (Makhzani et al., figure 4)."""

    size = 2
    radius, along, across = 2.0, 0.5, 0.15  # of the circle; standard deviations towards the centre and across

    def __init__(self, modes: int) -> None:
        self.modes = modes

    def sample(self, n: int, *, mode: Tensor | None = None, generator: Generator | None = None) -> Tensor:
        mode = torch.randint(self.modes, (n,), generator=generator) if mode is None else mode
        noise = torch.randn(n, 2, generator=generator)
        angle = 2 * math.pi / self.modes * mode
        outwards = torch.stack([angle.cos(), angle.sin()], 1)  # [n, 2]
        sideways = torch.stack([-angle.sin(), angle.cos()], 1)
        return (self.radius + self.along * noise[:, :1]) * outwards + self.across * noise[:, 1:] * sideways

    def log_prob(self, z: Tensor) -> Tensor:
        """[n, 2] -> [n] nats."""
        angle = 2 * math.pi / self.modes * torch.arange(self.modes, dtype=z.dtype)
        along = z[:, :1] * angle.cos() + z[:, 1:] * angle.sin()  # [n, modes]
        across = z[:, 1:] * angle.cos() - z[:, :1] * angle.sin()
        squares = ((along - self.radius) / self.along).square() + (across / self.across).square()
        return (-0.5 * squares).logsumexp(1) - math.log(2 * math.pi * self.along * self.across * self.modes)


class SwissRoll:
    """A spiral of two turns in the plane, as dense at its end as at its beginning, with a little Gaussian noise. Its
    modes are pieces of the same length of time (Makhzani et al., figure 4)."""

    size = 2
    radius, turns, noise = 3.0, 2.0, 0.1

    def __init__(self, modes: int) -> None:
        self.modes = modes

    def sample(self, n: int, *, mode: Tensor | None = None, generator: Generator | None = None) -> Tensor:
        mode = torch.randint(self.modes, (n,), generator=generator) if mode is None else mode
        # A piece of the spiral at time t has a length proportional to t, so t^2 is uniform.
        t = ((mode + torch.rand(n, generator=generator)) / self.modes).sqrt()  # [n]
        angle = 2 * math.pi * self.turns * t
        spiral = self.radius * t[:, None] * torch.stack([angle.cos(), angle.sin()], 1)  # [n, 2]
        return spiral + self.noise * torch.randn(n, 2, generator=generator)


def make_prior(name: PriorName, size: int, modes: int) -> Prior:
    """The prior of that name over latents of `size` numbers.

    Raises:
        UsageError: a prior of the plane for latents of another size.
    """
    if name == "gaussian":
        return Gaussian(size)
    if name == "uniform":
        return Uniform(size)
    if size != 2:
        raise UsageError(f"the {name} prior lies in the plane, and latent is {size}", "Set latent=2, or another prior.")
    return Ring(modes) if name == "ring" else SwissRoll(modes)
