"""Priors: support, moments, densities that integrate to one, modes that are drawn alike."""

import math
from itertools import product

import pytest
import torch

from zoo_core import UsageError
from zoo_latent.priors import Gaussian, Ring, SwissRoll, Uniform, make_prior

N = 20_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("prior", [Gaussian(3), Uniform(3), Ring(10), SwissRoll(10)], ids=lambda p: type(p).__name__)
def test_draws_have_the_shape_and_come_from_the_generator_alone(prior):
    draws = prior.sample(50, generator=generator())
    assert draws.shape == (50, prior.size)
    assert torch.equal(draws, prior.sample(50, generator=generator()))
    assert not torch.equal(draws, prior.sample(50, generator=generator(1)))


def test_moments_and_support_of_gaussian_and_box():
    z = Gaussian(4).sample(N, generator=generator())
    assert z.mean(0).abs().max() < 0.03
    assert (torch.cov(z.T) - torch.eye(4)).abs().max() < 0.05
    u = Uniform(4).sample(N, generator=generator())
    assert u.abs().max() <= 1
    assert (torch.cov(u.T) - torch.eye(4) / 3).abs().max() < 0.02


def test_every_mode_of_the_ring_is_drawn_equally_often_and_lies_where_it_should():
    prior = Ring(10)
    z = prior.sample(N, generator=generator())
    angle = torch.atan2(z[:, 1], z[:, 0])
    nearest = (angle / (2 * math.pi / 10)).round().long() % 10
    counts = torch.bincount(nearest, minlength=10)
    assert ((counts - N / 10).abs() < 5 * math.sqrt(N / 10)).all()
    mode = torch.arange(10).repeat_interleave(2000)
    means = prior.sample(N, mode=mode, generator=generator()).view(10, 2000, 2).mean(1)
    angles = 2 * math.pi * torch.arange(10) / 10
    assert (means - 2 * torch.stack([angles.cos(), angles.sin()], 1)).abs().max() < 0.05


def test_the_swiss_roll_is_a_spiral_as_dense_outside_as_inside():
    prior = SwissRoll(10)
    z = prior.sample(N, generator=generator())
    radius = z.norm(dim=1)
    assert radius.max() < 3 + 6 * 0.1
    # On the spiral radius = 3 t and the angle is 4 pi t: unwound, what is left over is the noise.
    turns = (torch.atan2(z[:, 1], z[:, 0]) / (2 * math.pi)) % 1
    whole = (radius / 3 * 2 - turns).round()
    distance = radius - 3 * (whole + turns) / 2
    far = radius > 1
    assert distance[far].abs().mean() < 0.12
    assert distance[far].std() < 0.15
    mode = torch.arange(10).repeat_interleave(2000)
    lengths = prior.sample(N, mode=mode, generator=generator()).norm(dim=1).view(10, 2000).mean(1)
    assert (lengths.diff() > 0).all()  # pieces follow each other outwards
    assert ((z.norm(dim=1) < 3 * math.sqrt(0.5)).float().mean() - 0.5).abs() < 0.03  # t^2 is uniform


@pytest.mark.parametrize("prior", [Gaussian(2), Uniform(2), Ring(7)], ids=lambda p: type(p).__name__)
def test_densities_integrate_to_one(prior):
    side = torch.linspace(-5.975, 5.975, 240, dtype=torch.double)  # middles of cells
    cell = (side[1] - side[0]).item() ** 2
    grid = torch.cartesian_prod(side, side)
    assert abs(prior.log_prob(grid).exp().sum().item() * cell - 1) < 0.01


def test_the_density_of_the_ring_is_that_of_its_draws():
    prior = Ring(5)
    z = prior.sample(200_000, generator=generator()).double()
    side = torch.linspace(-0.095, 0.095, 20, dtype=torch.double)  # middles of cells
    for x, y in product((-1.0, 0.5, 2.0), (0.0, 1.9)):
        inside = ((z - torch.tensor([x, y])).abs() < 0.1).all(1).double().mean().item() / 0.04
        box = torch.cartesian_prod(side + x, side + y)
        assert abs(prior.log_prob(box).exp().mean().item() - inside) < 0.015


def test_a_plane_prior_for_longer_codes_is_refused():
    with pytest.raises(UsageError, match="latent is 8"):
        make_prior("swiss-roll", 8, 10)
