"""Densities of real numbers: RNADE from its equations and by integration, the Gaussian against its closed form."""

import math
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from zoo_autoregressive.gaussian import Gaussian, GaussianConfig
from zoo_autoregressive.rnade import RNADE, Mixture, RNADEConfig
from zoo_autoregressive.vector_density import VectorDensity, standard_normal
from zoo_core import Field, RecordError, TensorDataset, UsageError, create, default_registry
from zoo_core.testing import randomise
from zoo_core.training.loop import Loop


class Rows(TensorDataset):
    """Rows of correlated numbers, of different sizes and means."""

    name: ClassVar[str] = "random-rows"

    def __init__(self, n: int = 500, dims: int = 4) -> None:
        generator = torch.Generator().manual_seed(0)
        mixing = torch.randn(dims, dims, generator=generator)
        rows = torch.randn(n, dims, generator=generator) @ mixing * torch.tensor([1.0, 10, 0.1, 3][:dims]) + 5
        super().__init__({"vector": Field(kind="vector", shape=(dims,))}, {"train": {"vector": rows}})
        self.rows = rows


def rnade(dims: int = 4, std: float = 0.7, seed: int = 0, **config: Any) -> RNADE:
    """Random weights, and a mean and a spread that are not those of standardised numbers."""
    model = RNADE(RNADEConfig(**({"dims": dims, "hidden": 5, "components": 3} | config)))
    return placed(randomise(model, std=std, seed=seed))


def gaussian(dims: int = 4) -> Gaussian:
    model = randomise(Gaussian(GaussianConfig(dims=dims)))
    with torch.no_grad():
        model.factor.copy_(model.factor.tril(-1) + torch.eye(dims) * 0.6)
    return placed(model)


def placed(model: VectorDensity) -> Any:
    model.mean.copy_(torch.arange(model.config.dims) - 1.5)
    model.std.copy_(1 + torch.arange(model.config.dims) / 2)
    model.fitted.fill_(True)
    return model.double()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


BUILDERS = [rnade, gaussian]


# --- the equations --------------------------------------------------------------------------------------------------


def log_prob_by_loops(model: RNADE, x: list[float]) -> float:
    """Of one row, unit by unit and component by component."""
    weights = {name: parameter.detach().tolist() for name, parameter in model.named_parameters()}
    h, k, total = model.config.hidden, model.config.components, 0.0
    z = [(value - mean) / std for value, mean, std in zip(x, model.mean.tolist(), model.std.tolist(), strict=True)]
    for i in range(len(x)):
        hidden = []
        for unit in range(h):
            a = weights["b"][unit] + sum(z[j] * weights["W"][j][unit] for j in range(i))
            hidden.append(max(0.0, weights["rho"][i] * a))
        heads = [
            sum(v * unit for v, unit in zip(weights["V"][i][row], hidden, strict=True)) + weights["c"][i][row]
            for row in range(3 * k)
        ]
        alpha, mu, sigma = heads[:k], heads[k : 2 * k], [model.config.narrowest + math.exp(s) for s in heads[2 * k :]]
        p = sum(
            math.exp(a)
            / sum(map(math.exp, alpha))
            * math.exp(-0.5 * ((z[i] - m) / s) ** 2)
            / (s * math.sqrt(2 * math.pi))
            for a, m, s in zip(alpha, mu, sigma, strict=True)
        )
        total += math.log(p) - math.log(model.std[i].item())
    return total


@pytest.mark.parametrize("dims", [1, 4])
def test_rnade_equals_loops_over_numbers_units_and_components(dims):
    model = rnade(dims)
    x = noise(5, dims)
    expected = [log_prob_by_loops(model, row) for row in x.tolist()]
    assert model.log_prob(x).tolist() == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("build", BUILDERS)
def test_the_density_of_two_numbers_integrates_to_one(build):
    for seed in range(3):
        model = build(2) if build is gaussian else rnade(2, seed=seed)
        grid = torch.linspace(-40, 40, 801, dtype=torch.float64)  # steps of 0.1, and no component is narrower
        x = torch.cartesian_prod(grid, grid)
        with torch.no_grad():
            total = sum(part.exp().sum().item() for part in map(model.log_prob, x.split(100_000)))
        assert total * 0.1**2 == pytest.approx(1, abs=1e-4)


def test_with_zero_weights_every_number_is_normal():
    """All components are then the same: no mean, and a width of exp(0) beyond the narrowest."""
    model, x = rnade(std=0, narrowest=0.25), noise(5, 4)
    expected = torch.distributions.Normal(model.mean, 1.25 * model.std).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_prob(x), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("build", BUILDERS)
def test_rows_do_not_depend_on_each_other(build):
    model, x = build(), noise(5, 4)
    alone = torch.cat([model.log_prob(row[None]) for row in x])
    torch.testing.assert_close(model.log_prob(x), alone, rtol=0, atol=1e-10)


def test_a_mixture_depends_on_the_numbers_before_it_and_on_no_other():
    model = rnade()
    z = noise(1, 4).requires_grad_()
    mixtures = model.mixtures(z)
    for i in range(4):
        total = sum(part[0, i].mul(torch.arange(1, 4)).sum() for part in mixtures)
        (gradient,) = torch.autograd.grad(total, z, retain_graph=True)
        assert (gradient[0] != 0).tolist() == [j < i for j in range(4)]


def test_the_gaussian_is_that_of_torch():
    model, x = gaussian(), noise(6, 4)
    factor = torch.diag(model.std) @ model.factor.tril()
    expected = torch.distributions.MultivariateNormal(model.mean, scale_tril=factor).log_prob(x)
    torch.testing.assert_close(model.log_prob(x), expected, rtol=0, atol=1e-10)


def test_the_fitted_gaussian_has_mean_and_covariance_of_the_train_split():
    data, model = Rows(), Gaussian(GaussianConfig(dims=4))
    model.begin_stage("standardise", data)
    rows = data.rows.double()
    covariance = (rows - rows.mean(0)).T @ (rows - rows.mean(0)) / len(rows)
    factor = torch.diag(model.std.double()) @ model.factor.double()
    torch.testing.assert_close(model.mean.double(), rows.mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(factor @ factor.T, covariance, rtol=1e-4, atol=1e-4)


# --- sampling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", BUILDERS)
def test_the_distribution_function_of_samples_is_uniform(build):
    """Each number's distribution function given those before it, from log_prob alone, is uniform over samples."""
    model = build(2)
    x = model.sample(400, generator=torch.Generator().manual_seed(0)).double()
    grid = torch.linspace(-40, 40, 4001, dtype=torch.float64)  # steps of 0.02
    ranks = []
    with torch.no_grad():
        for row in x:
            density = model.log_prob(torch.stack([row[:1].expand(len(grid)), grid], 1)).exp()
            ranks.append((density[grid <= row[1]].sum() / density.sum()).item())
    ranks.sort()
    distance = max(max(abs(rank - k / 400), abs(rank - (k + 1) / 400)) for k, rank in enumerate(ranks))
    assert distance < 1.63 / math.sqrt(400)  # Kolmogorov's 1 % point


@pytest.mark.parametrize("build", BUILDERS)
def test_sampling_uses_the_mixtures_that_the_likelihood_uses(build):
    """The drawn numbers, and one pass on them, give the uniforms back."""
    model = build()
    uniforms = torch.rand(50, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z = (model.sample_from(uniforms) - model.mean) / model.std
    if build is gaussian:
        found = torch.linalg.solve_triangular(model.factor.tril(), z.T, upper=False).T
        torch.testing.assert_close(found, standard_normal(uniforms[..., 0]), rtol=1e-8, atol=1e-8)
        return
    mixtures = model.mixtures(z)
    component = (mixtures.log_weights.exp().cumsum(-1) <= uniforms[..., :1]).sum(-1, keepdim=True)
    mean, width = (part.gather(-1, component)[..., 0] for part in (mixtures.means, mixtures.widths))
    torch.testing.assert_close((z - mean) / width, standard_normal(uniforms[..., 1]), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("build", BUILDERS)
def test_completion_keeps_what_is_known_and_continues_a_beginning(build):
    model = build()
    sampled = model.sample(6, generator=torch.Generator().manual_seed(0))
    for count in range(5):
        known = torch.arange(4) < count
        start = torch.where(known, sampled, torch.full_like(sampled, 99.0))
        found = model.complete(start, known, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(found, sampled)
        assert torch.equal(found[:, known], sampled[:, known])


# --- training -------------------------------------------------------------------------------------------------------


def test_training_standardises_and_beats_a_gaussian_where_numbers_are_not_gaussian():
    class Ring(Rows):
        name = "ring"

        def __init__(self) -> None:
            angle = 2 * math.pi * torch.rand(1000, generator=torch.Generator().manual_seed(0))
            super().__init__(dims=2)
            self.rows = 100 + 7 * torch.stack([angle.cos(), angle.sin()], 1)
            self.rows = self.rows + torch.randn(self.rows.shape, generator=torch.Generator().manual_seed(1))
            self.stored = {"train": {"vector": self.rows}}

    data = Ring()
    torch.manual_seed(0)
    model, baseline = create("rnade", features=data.features, config={"hidden": 30}), Gaussian(GaussianConfig(dims=2))
    baseline.begin_stage("standardise", data)
    loop = Loop(model, data, seed=0, steps=400)
    while loop.progress < 1:
        loop.step()
    torch.testing.assert_close(model.mean, data.rows.mean(0))
    torch.testing.assert_close(model.std, data.rows.std(0, correction=0))
    with torch.no_grad():
        assert model.log_prob(data.rows).mean() > baseline.log_prob(data.rows).mean() + 0.3


def test_the_weight_decay_is_that_of_the_optimizer():
    """With a learning rate of 1/1000 one step leaves so much of a weight that the loss does not depend on."""
    model = RNADE(RNADEConfig(dims=4, hidden=5, components=3, weight_decay=20))
    unused = model.W[3].detach().clone()  # no number comes after the last
    Loop(model, Rows(), seed=0, steps=1, lr=1e-3).step()
    torch.testing.assert_close(model.W[3].detach(), unused * (1 - 1e-3 * 20))


def nats_below_the_truth(model: VectorDensity, steps: int = 200) -> float:
    """Trained on fresh standard normal numbers: how far the NLL of others lies below that of the distribution that they
    came from, in standard errors of the difference."""
    generator = torch.Generator().manual_seed(0)
    model.fitted.fill_(True)  # mean 0, standard deviation 1
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        (-model.log_prob(torch.randn(64, model.config.dims, generator=generator)).mean()).backward()
        optimizer.step()
    x = torch.randn(4000, model.config.dims, generator=generator)
    with torch.no_grad():
        gain = (model.log_prob(x) - torch.distributions.Normal(0, 1).log_prob(x).sum(1)).double()
    return (gain.mean() / gain.std() * math.sqrt(len(gain))).item()


class SeesItself(RNADE):
    """The number is added before its mixture is asked for."""

    def mixtures(self, z: Tensor) -> Mixture:
        a = self.b + (z[:, :, None] * self.W).cumsum(1)
        return self._heads(torch.relu(self.rho[:, None] * a), 0)


@pytest.mark.parametrize(
    ("build", "leaks"),
    [
        (lambda: RNADE(RNADEConfig(dims=6, hidden=20)), False),
        (lambda: Gaussian(GaussianConfig(dims=6)), False),
        (lambda: SeesItself(RNADEConfig(dims=6, hidden=20)), True),
    ],
    ids=["rnade", "gaussian", "one that sees itself"],
)
def test_noise_is_predicted_by_a_leak_only(build, leaks):
    torch.manual_seed(0)
    assert (nats_below_the_truth(build()) > 4) == leaks


@pytest.mark.parametrize("name", ["wine", "breast-cancer", "digits-dequantized"])
def test_the_tables_have_splits_that_are_pinned(name):
    data = default_registry().open_dataset(name)
    parts = [data.batch(split, torch.arange(data.size(split)))["vector"] for split in data.splits]
    rows = torch.cat(parts)
    assert rows.dtype == torch.float32 and rows.isfinite().all()
    assert rows.shape[1:] == data.features["vector"].shape
    assert len(parts[1]) == len(parts[2]) == len(rows) // 6
    assert len(rows) == {"wine": 178, "breast-cancer": 569, "digits-dequantized": 1797}[name]


@pytest.mark.parametrize("build", [lambda: RNADE(RNADEConfig(dims=3)), lambda: Gaussian(GaussianConfig(dims=3))])
def test_an_unfitted_model_says_so(build):
    model = build()
    for use in (lambda: model.log_prob(torch.zeros(1, 3)), lambda: model.sample(1)):
        with pytest.raises(UsageError, match="does not know the mean and the spread"):
            use()


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match=r"rows must be \[B, 4\], got \[2, 3\]"):
        rnade().log_prob(noise(2, 3))
    with pytest.raises(UsageError, match="needs rows of real numbers"):
        RNADE.config_for({"image": Field(kind="image", shape=(1, 8, 8))})
    with pytest.raises(UsageError, match=r"known must broadcast to \[2, 4\], got \[3\]"):
        rnade().complete(noise(2, 4), torch.tensor([True, True, False]))
    with pytest.raises(UsageError, match="known must be a bool tensor"):
        rnade().complete(noise(2, 4), torch.ones(4))
    with pytest.raises(UsageError, match="x and known go together"):
        rnade().sample_from(torch.rand(2, 4, 2), x=noise(2, 4))
    with pytest.raises(RecordError, match="components"):
        RNADEConfig(components=0)


def test_parameter_count():
    d, h, k = 13, 50, 10
    model = RNADE(RNADEConfig(dims=d, hidden=h, components=k))
    assert sum(p.numel() for p in model.parameters()) == d * h + h + d + 3 * d * k * (h + 1)
