"""EoNADE: every ordering a density, the mixture of them, training for all of them."""

import math

import pytest
import torch
from torch import Tensor

from zoo_autoregressive.eonade import EoNADE, EoNADEConfig
from zoo_autoregressive.fast import eonade_recurrence
from zoo_autoregressive.nade import NADE, NADEConfig
from zoo_core import Field, TensorDataset
from zoo_core.interfaces.capabilities import Conditionals
from zoo_core.testing import check_batch_independence, check_calibration, check_noise, check_normalisation, randomise

SIZES = [{"height": 2, "width": 3}, {"channels": 3, "height": 1, "width": 2, "levels": 3}]


def small(**config: int) -> EoNADE:
    return randomise(EoNADE(EoNADEConfig(**({"height": 2, "width": 3, "hidden": 4, "orderings": 3} | config)))).double()


def images(model: EoNADE, n: int = 3) -> Tensor:
    c = model.config
    levels = torch.randint(c.levels, (n, c.channels, c.height, c.width), generator=torch.Generator().manual_seed(0))
    return levels.double() / (c.levels - 1)


def hidden_by_loops(model: EoNADE, x: list[float], seen: list[int]) -> list[float]:
    weights = {name: parameter.tolist() for name, parameter in model.named_parameters()}
    units = []
    for unit in range(model.config.hidden):
        a = weights["b"][unit]
        for j in seen:
            a += x[j] * weights["W"][j][unit] + weights["M"][j][unit]
        units.append(1 / (1 + math.exp(-a)))
    return units


def logits_by_loops(model: EoNADE, hidden: list[float], i: int) -> list[float]:
    V, c = model.V[i].tolist(), model.c[i].tolist()
    return [bias + sum(v * h for v, h in zip(row, hidden, strict=True)) for row, bias in zip(V, c, strict=True)]


def log_softmax_by_loops(logits: list[float]) -> list[float]:
    logits = [0.0, *logits] if len(logits) == 1 else logits
    total = math.log(sum(map(math.exp, logits)))
    return [logit - total for logit in logits]


@pytest.mark.parametrize("block", [1, 4, 16])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_likelihood_equals_loops_over_orderings_values_and_units(sizes, block, monkeypatch):
    monkeypatch.setattr(eonade_recurrence, "BLOCK", block)
    model = small(**sizes)
    for image, found in zip(images(model), model.log_prob(images(model)).tolist(), strict=True):
        x = image.permute(1, 2, 0).flatten().tolist()
        p = 0.0
        for order in model.orders.tolist():
            total = 0.0
            for place, i in enumerate(order):
                logs = log_softmax_by_loops(logits_by_loops(model, hidden_by_loops(model, x, order[:place]), i))
                total += logs[round(x[i] * (model.config.levels - 1))]
            p += math.exp(total) / len(model.orders)
        assert found == pytest.approx(math.log(p), abs=1e-10)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_mixture_is_a_density(sizes):
    model = small(**sizes)
    check_calibration(model)
    check_batch_independence(model)
    check_normalisation(model)
    for order in model.orders:
        with model.along(order):
            x = images(model, 1)
            gradient_order = model.order.tolist()
            x = torch.rand_like(x).requires_grad_()
            for i, logits in enumerate(model(x).permute(0, 3, 4, 2, 1).flatten(0, 3)):
                (gradient,) = torch.autograd.grad(logits.sum(), x, retain_graph=True)
                seen = (gradient[0].permute(1, 2, 0).flatten() != 0).nonzero()[:, 0].tolist()
                assert sorted(seen) == sorted(gradient_order[: gradient_order.index(i)])


def test_the_seed_of_the_orderings_is_all_that_decides_them():
    first, same, other = (small(ordering_seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.orders, same.orders) and not torch.equal(first.orders, other.orders)
    assert all(sorted(order) == list(range(6)) for order in first.orders.tolist() + other.orders.tolist())
    x = images(first)
    assert torch.equal(first.log_prob(x), same.log_prob(x)) and not torch.equal(first.log_prob(x), other.log_prob(x))


def test_noise_is_not_predicted():
    check_noise(EoNADE(EoNADEConfig(height=6, width=6, hidden=8, orderings=2)))


def test_the_loss_is_an_unbiased_estimate_over_all_orderings():
    """For three bits all orderings, and all sets that training can draw, can be summed."""
    model = small(height=1, width=3, orderings=1)
    x = images(model, 1)
    orders = [torch.tensor(o) for o in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))]
    exact, estimates = [], []
    for order in orders:
        with model.along(order):
            exact.append(model.value_losses(model(x), x).sum().item())
        for count in range(3):
            seen = torch.argsort(order)[None] < count
            estimates.append(model.loss({"image": x, "seen": seen}).value.item())
    assert sum(estimates) / 18 == pytest.approx(sum(exact) / 6, abs=1e-10)


@pytest.mark.parametrize("levels", [2, 3])
def test_training_begins_at_the_frequencies_of_the_train_split(levels):
    """In raster order, as W and V are, not in that of the first ordering."""
    model = EoNADE(EoNADEConfig(channels=2, height=2, width=3, levels=levels, hidden=4))
    x = torch.randint(levels, (50, 2, 2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    x[:, 1, 0, 2] = 0

    class Data(TensorDataset):
        name = "few"

        def __init__(self) -> None:
            field = Field(kind="image", shape=(2, 2, 3), levels=levels)
            super().__init__({"image": field}, {"train": {"image": x}})

    model.begin_stage("marginals", Data())
    found = (model.c if levels > 2 else torch.cat([torch.zeros_like(model.c), model.c], 1)).softmax(1)
    values = x.permute(0, 2, 3, 1).flatten(1)  # [N, D], raster order
    counts = torch.stack([(values == level).sum(0) for level in range(levels)], 1)
    torch.testing.assert_close(found, (counts + 0.5) / (50 + levels / 2))


def test_training_draws_sets_of_every_size_alike():
    seen = small().random_inputs("x", 60_000, torch.Generator().manual_seed(0))["seen"]
    sizes = torch.bincount(seen.sum(1), minlength=7) / len(seen)
    torch.testing.assert_close(sizes, torch.tensor([1.0] * 6 + [0.0]) / 6, rtol=0, atol=0.01)
    torch.testing.assert_close(seen.double().mean(0), torch.full((6,), 2.5 / 6).double(), rtol=0, atol=0.01)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_sampling_along_an_ordering_follows_its_logits(sizes):
    model = small(**sizes)
    c = model.config
    shape = (50, c.channels, c.height, c.width)
    uniforms = torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for order in model.orders:
        with model.along(order), torch.no_grad():
            x = model.sample_from(uniforms)
            logits = model(x)
        if c.levels == 2:
            assert torch.equal(x == 1, uniforms < torch.sigmoid(logits[:, 0]))
        else:
            level = (torch.softmax(logits, 1).cumsum(1) <= uniforms[:, None]).sum(1).clamp(max=c.levels - 1)
            assert torch.equal((x * (c.levels - 1)).round().long(), level)


def test_samples_are_of_the_mixture():
    model = small(height=1, width=3)
    x = model.sample(40_000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(x, model.sample(40_000, generator=torch.Generator().manual_seed(0)))
    for cell in x.unique(dim=0):
        expected = model.log_prob(cell[None]).exp().item()
        found = (x == cell).flatten(1).all(1).double().mean().item()
        assert found == pytest.approx(expected, abs=5 * math.sqrt(expected / 40_000))


def test_completion_sees_what_is_known_wherever_it_is():
    model = small(height=1, width=3)
    known = torch.tensor([[[[True, False, True]]], [[[False, True, True]]]])
    x = torch.tensor([[[[1.0, 0, 1]]], [[[0, 1.0, 0]]]], dtype=torch.float64)
    drawn = model.complete(
        x.repeat_interleave(20_000, 0), known.repeat_interleave(20_000, 0), generator=torch.Generator().manual_seed(0)
    )
    for k, (row, seen, place) in enumerate([([1, 0, 1], [0, 2], 1), ([0, 1, 0], [1, 2], 0)]):
        part = drawn[20_000 * k : 20_000 * (k + 1)].flatten(1)
        assert (part[:, seen] == torch.tensor(row)[seen]).all()
        (logit,) = logits_by_loops(model, hidden_by_loops(model, row, seen), place)
        assert part[:, place].mean().item() == pytest.approx(1 / (1 + math.exp(-logit)), abs=0.02)


def test_parameter_count():
    model = EoNADE(EoNADEConfig(hidden=10, height=4, width=5))
    assert sum(parameter.numel() for parameter in model.parameters()) == 2 * 20 * 10 + 10 + 20 * 11


def test_a_mixture_has_no_likelihood_of_single_values():
    assert isinstance(NADE(NADEConfig()), Conditionals)
    assert not isinstance(small(), Conditionals)
