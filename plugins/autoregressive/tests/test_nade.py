"""NADE: the equations, the fast recurrence and its backward pass, orderings, and the checks of every density."""

import importlib.util
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from zoo_autoregressive.fast import nade_recurrence
from zoo_autoregressive.fast.nade_recurrence import nade_logits
from zoo_autoregressive.nade import NADE, NADEConfig
from zoo_core import RecordError
from zoo_core.testing import (
    check_batch_independence,
    check_calibration,
    check_causality,
    check_density,
    check_noise,
    check_normalisation,
    check_sampler,
    randomise,
)

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "nade.py"
ORDERINGS = ["raster", "reverse", "random"]


def small(hidden: int = 4, **config: object) -> NADE:
    return randomise(NADE(NADEConfig(**({"height": 3, "width": 4} | config), hidden=hidden)))


def noise(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def images(model: NADE, n: int = 3) -> Tensor:
    c = model.config
    levels = (noise(n, c.channels, c.height, c.width) * c.levels).floor()
    return levels / (c.levels - 1)


# --- the equations --------------------------------------------------------------------------------------------------


def logits_by_loops(model: NADE, x: Tensor) -> Tensor:
    """[C, H, W] -> [1 or levels, C, H, W]: every hidden unit by itself, from all values before it."""
    c = model.config
    places = [(k, i, j) for i in range(c.height) for j in range(c.width) for k in range(c.channels)]
    places = [places[number] for number in model.order.tolist()]
    weights = {name: parameter.detach().tolist() for name, parameter in model.named_parameters()}
    logits = torch.empty(model.V.shape[1], *x.shape, dtype=x.dtype)
    for i, place in enumerate(places):
        hidden = []
        for unit in range(c.hidden):
            a = weights["b"][unit] + sum(weights["W"][j][unit] * x[places[j]].item() for j in range(i))
            hidden.append(torch.sigmoid(torch.tensor(a, dtype=x.dtype)).item())
        for level in range(len(logits)):
            products = [v * h for v, h in zip(weights["V"][i][level], hidden, strict=True)]
            logits[(level, *place)] = weights["c"][i][level] + sum(products)
    return logits


@pytest.mark.parametrize("ordering", ORDERINGS)
@pytest.mark.parametrize(
    "sizes",
    [
        {"height": 5, "width": 7},  # more than one block
        {"height": 3, "width": 2, "levels": 4},
        {"height": 1, "width": 1},
        {"channels": 3, "height": 2, "width": 2, "levels": 3},
    ],
    ids=str,
)
def test_logits_equal_loops_over_values_and_units(sizes, ordering):
    model = small(ordering=ordering, **sizes).double()
    x = images(model)
    torch.testing.assert_close(model(x), torch.stack([logits_by_loops(model, each) for each in x]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("block", [1, 3, 7, 100])
def test_no_result_depends_on_the_size_of_a_block(block, monkeypatch):
    model = small(height=4, width=5).double()
    x = images(model)
    before = model(x), torch.autograd.grad(model.log_prob(x).sum(), list(model.parameters()))
    monkeypatch.setattr(nade_recurrence, "BLOCK", block)
    after = model(x), torch.autograd.grad(model.log_prob(x).sum(), list(model.parameters()))
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)


def test_hidden_units_that_are_far_off_and_weights_in_half_precision_can_be_drawn_from():
    model = small().float()
    with torch.no_grad():
        model.b.fill_(-1000)  # exp(1000) is infinite
        model.W.zero_()
        model.c.fill_(0.5)
    drawn = model.sample_from(noise(2000, 1, 3, 4).float())
    assert drawn.mean().item() == pytest.approx(1 / (1 + math.exp(-0.5)), abs=0.01)
    assert set(model.bfloat16().sample_from(noise(20, 1, 3, 4)).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("levels", [2, 3])
def test_the_backward_pass_equals_finite_differences(levels, monkeypatch):
    monkeypatch.setattr(nade_recurrence, "BLOCK", 3)
    x = noise(3, 7)
    logits = 1 if levels == 2 else levels
    shapes = ((7, 4), (4,), (7, logits, 4))
    W, b, V = ((noise(*shape) - 0.5).mul(4).requires_grad_() for shape in shapes)
    bits = x.round()
    assert 0 < bits.sum() < bits.numel()
    torch.autograd.gradcheck(lambda *weights: nade_logits(bits, *weights), (W, b, V))
    torch.autograd.gradcheck(nade_logits, (x.requires_grad_(), W, b, V))  # no value is exactly 0


def test_single_precision_is_close_to_double():
    torch.manual_seed(0)
    model = NADE(NADEConfig(hidden=50))
    x = (torch.rand(5, 1, 28, 28) < 0.2).float()
    single = model.log_prob(x)
    torch.testing.assert_close(single.double(), model.double().log_prob(x.double()), rtol=1e-6, atol=0)


# --- the checks -----------------------------------------------------------------------------------------------------


def test_the_model_is_a_density_and_its_sampler_exact():
    check_density(lambda **sizes: NADE(NADEConfig(hidden=5, **sizes)))


@pytest.mark.parametrize("ordering", ["reverse", "random"])
def test_another_ordering_is_a_density_too(ordering):
    for sizes in ({"height": 3, "width": 3}, {"channels": 3, "height": 1, "width": 2, "levels": 3}):
        model = small(ordering=ordering, **sizes)
        check_calibration(model)
        check_batch_independence(model)
        check_normalisation(model)
    check_noise(small(ordering=ordering, height=6, width=6))


@pytest.mark.parametrize("ordering", ["reverse", "random"])
def test_with_another_ordering_a_value_sees_those_that_come_before_it_in_that_order(ordering):
    model = small(ordering=ordering).double()
    x = noise(1, 1, 3, 4).requires_grad_()
    rank = torch.argsort(model.order)
    for i, logit in enumerate(model(x).flatten()):
        (gradient,) = torch.autograd.grad(logit, x, retain_graph=True)
        assert torch.equal(gradient.flatten() != 0, rank < rank[i])


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("ordering", ["reverse", "random"])
def test_sampling_in_another_ordering_follows_the_likelihood(ordering, levels):
    model = small(ordering=ordering, levels=levels).double()
    uniforms = noise(50, 1, 3, 4)
    x = model.sample_from(uniforms)
    with torch.no_grad():
        logits = model(x)
    p = torch.sigmoid(logits).flip(1) if levels == 2 else torch.softmax(logits, 1)
    if levels == 2:
        assert torch.equal(x == 1, uniforms < p[:, 0])
    else:
        level = ((p.cumsum(1) <= uniforms[:, None]).sum(1)).clamp(max=levels - 1)
        assert torch.equal((x * (levels - 1)).round().long(), level)


def test_completion_of_the_end_is_exact_for_the_reverse_ordering():
    model = small(ordering="reverse", height=2, width=2).double()
    known = torch.tensor([[False, False], [True, True]])
    x = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64).expand(20_000, 1, 2, 2)
    drawn = model.complete(x, known, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn[..., 1, :], x[..., 1, :])
    tops = [torch.tensor([[a, b], [1, 0]]).view(1, 1, 2, 2).double() for a in (0, 1) for b in (0, 1)]
    p = torch.softmax(torch.cat([model.log_prob(top) for top in tops]), 0)
    found = torch.stack([(drawn == top).all(3).all(2).all(1).double().mean() for top in tops])
    torch.testing.assert_close(found, p.detach(), rtol=0, atol=0.015)


def test_orderings_differ():
    assert NADE(NADEConfig(ordering="raster")).order.tolist() == list(range(784))
    assert NADE(NADEConfig(ordering="reverse")).order.tolist() == list(range(784))[::-1]
    first, same, other = (NADE(NADEConfig(ordering="random", ordering_seed=s)).order for s in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert sorted(first.tolist()) == list(range(784))


def test_parameter_count():
    count = sum(parameter.numel() for parameter in NADE(NADEConfig(hidden=500)).parameters())
    assert count == 784 * 500 + 500 + 784 * 501


def test_a_bad_config_is_refused():
    with pytest.raises(RecordError, match="ordering"):
        NADEConfig(ordering="spiral")


@pytest.mark.skipif(not BENCHMARK.exists(), reason="the benchmarks are not part of an installed package")
def test_the_design_that_the_benchmark_compares_with_computes_the_same():
    spec = importlib.util.spec_from_file_location("benchmark_nade", BENCHMARK)
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    model = small(height=5, width=7).double()
    x = images(model)
    probabilities, values = module.ValueByValue(model, torch.sigmoid)(x.flatten(1))
    torch.testing.assert_close(probabilities, torch.sigmoid(model(x)).flatten(1))
    assert torch.equal(values, x.flatten(1))


# --- the checks can fail: mistakes that have been made in public code -------------------------------------------------


class SeesItself(NADE):
    """The value is added before its logits are asked for."""

    def sequence_logits(self, x: Tensor) -> Tensor:
        logits = nade_logits(nn.functional.pad(x, (0, 1)), *self._shifted())[:, 1:] + self.c
        return logits.transpose(1, 2)

    def _shifted(self) -> tuple[Tensor, Tensor, Tensor]:
        pad = nn.functional.pad
        return pad(self.W, (0, 0, 0, 1)), self.b, pad(self.V, (0, 0, 0, 0, 1, 0))


class Probabilities(NADE):
    """Hands probabilities to a loss that takes logits."""

    def sequence_logits(self, x: Tensor) -> Tensor:
        return torch.sigmoid(super().sequence_logits(x))


class RasterSampling(NADE):
    """Draws in raster order, whatever the ordering of the weights."""

    def generation_order(self) -> list[tuple[int, int, int]]:
        return sorted(super().generation_order(), key=lambda place: place[1:])


def test_a_value_that_sees_itself_is_found():
    model = randomise(SeesItself(NADEConfig(height=3, width=3, hidden=4)))
    with pytest.raises(AssertionError, match="depend on itself"):
        check_causality(model)
    with pytest.raises(AssertionError, match="512 examples sum to"):
        check_normalisation(model)
    with pytest.raises(AssertionError, match="on fresh noise, whose entropy"):
        check_noise(SeesItself(NADEConfig(height=6, width=6, hidden=8)), lr=0.1)


def test_probabilities_taken_for_logits_are_found():
    model = randomise(Probabilities(NADEConfig(height=3, width=3, hidden=4)))
    check_normalisation(model)  # still a density, only not the one that was meant
    with pytest.raises(AssertionError, match="with zero weights the NLL is"):
        check_calibration(model)
    with pytest.raises(AssertionError, match="disagrees with the logits"):
        check_sampler(model)


def test_sampling_in_the_wrong_order_is_found():
    model = randomise(RasterSampling(NADEConfig(height=3, width=3, levels=3, hidden=4, ordering="reverse")))
    with pytest.raises(AssertionError, match="disagrees with the logits"):
        check_sampler(model)
