"""Muon against the singular value decomposition, Adam against torch's, and what a run asks of any optimizer."""

import copy
import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoo_core.interfaces.objectives import Optimizer
from zoo_core.training.muon import Muon, orthogonalised
from zoo_core.training.optimizers import LiveOptimizer


def matrix(shape: tuple[int, int], smallest: float) -> Tensor:
    """A matrix with singular values from 1 down to `smallest`."""
    generator = torch.Generator().manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape, generator=generator), full_matrices=False)
    spread: Tensor = u @ torch.diag(torch.logspace(0, torch.tensor(smallest).log10().item(), min(shape))) @ v
    return spread


@pytest.mark.parametrize("shape", [(8, 8), (4, 20), (20, 4), (1, 9), (9, 1)])
def test_a_step_keeps_the_singular_vectors_and_evens_out_the_values(shape: tuple[int, int]) -> None:
    gradient = 1e4 * matrix(shape, smallest=0.05)
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    within = u.T @ orthogonalised(gradient) @ v.T  # diagonal where the singular vectors are the same
    values = within.diagonal()
    assert values.min() > 0.6 and values.max() < 1.3
    assert (within - values.diag()).abs().max() < 0.05


def test_no_gradient_moves_nothing() -> None:
    assert torch.equal(orthogonalised(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.parametrize(
    ("shape", "filters", "matrices"),
    [
        ((12, 5), False, (1, 12, 5)),
        ((6, 3, 3, 3), True, (1, 6, 27)),
        ((30, 2, 3, 3), True, (1, 30, 18)),
        ((2, 3, 8, 4), False, (6, 8, 4)),
    ],
)
def test_one_step_is_as_long_as_the_rate_says(
    shape: tuple[int, ...], filters: bool, matrices: tuple[int, int, int]
) -> None:
    """Whatever the lengths of the gradients of a stack; a tall matrix moves by sqrt(m / n) more."""
    torch.manual_seed(0)
    parameter = nn.Parameter(torch.zeros(shape))
    lengths = torch.logspace(-2, 2, matrices[0]).view(-1, 1, 1)
    gradients = torch.randn(matrices) * lengths
    parameter.grad = gradients.view(shape).clone()
    Muon([parameter], lr=0.1, filters=[parameter] if filters else []).step()
    _, m, n = matrices
    for step, gradient in zip(parameter.detach().view(matrices), gradients, strict=True):
        values = torch.linalg.svdvals(step) / (0.1 * max(1, m / n) ** 0.5)
        assert values.min() > 0.6 and values.max() < 1.3
        assert (step * gradient).sum() < 0  # downhill


def test_momentum_looks_ahead() -> None:
    """Numbers by hand, for a row, which orthogonalisation only makes as long as 1 (about)."""
    torch.manual_seed(0)
    gradients = torch.randn(4, 1, 6)
    parameter = nn.Parameter(torch.ones(1, 6))
    optimizer, average, expected = (
        Muon([parameter], lr=0.1, momentum=0.8, weight_decay=0.5),
        torch.zeros(1, 6),
        torch.ones(1, 6),
    )
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        average = 0.8 * average + 0.2 * gradient
        expected = expected * (1 - 0.1 * 0.5) - 0.1 * orthogonalised(0.2 * gradient + 0.8 * average)
        assert torch.allclose(parameter, expected, atol=1e-6)


def test_vectors_and_numbers_go_by_adam() -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.randn(5)), nn.Parameter(torch.tensor(0.3)), nn.Parameter(torch.randn(2, 3, 1))]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    optimizers = Muon(ours, lr=0.05, weight_decay=0.5), torch.optim.Adam(theirs, lr=0.05)
    for _ in range(20):
        noise = torch.randn(5)
        for parameters, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            loss = ((parameters[0] - noise) ** 2).sum() + parameters[1] ** 4 + parameters[2].exp().sum()
            loss.backward()
            optimizer.step()
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, atol=1e-6)


def test_matrices_move_as_with_torch() -> None:
    """torch.optim.Muon has another mean of gradients, which is longer by 1 / (1 - momentum); length does not count."""
    torch.manual_seed(0)
    ours, theirs = (nn.Parameter(torch.eye(6, 4)) for _ in range(2))
    optimizers: list[Any] = [Muon([ours], lr=0.05), torch.optim.Muon([theirs], lr=0.05, weight_decay=0.0)]
    target = torch.randn(6, 4)
    for _ in range(10):
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = 2 * (parameter.detach() - target)
            optimizer.step()
    assert torch.allclose(ours, theirs, atol=0.02)
    assert (ours - torch.eye(6, 4)).abs().max() > 0.1


def test_the_memory_format_changes_nothing() -> None:
    torch.manual_seed(0)
    filters, gradient = torch.randn(8, 3, 3, 3), torch.randn(8, 3, 3, 3)
    moved = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        parameter = nn.Parameter(filters.clone(memory_format=memory_format))
        parameter.grad = gradient.clone(memory_format=memory_format)
        Muon([parameter], lr=0.1, filters=[parameter]).step()
        moved.append(parameter.detach())
    assert torch.equal(moved[0], moved[1])


def test_a_checkpoint_holds_all_that_decides_the_next_steps() -> None:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4, 1))
    x = torch.randn(6, 2, 3, 3)

    def go_on(model: Any, optimizer: LiveOptimizer) -> list[Tensor]:
        def closure() -> float:
            loss = (model(x) - 1).square().sum()
            loss.backward()
            return float(loss.detach())

        for _ in range(3):
            optimizer.step(closure, 0.0)
        return [parameter.detach().clone() for parameter in model.parameters()]

    declared = Optimizer(kind="muon", lr=0.03, options={"momentum": 0.9, "weight_decay": 0.1})
    optimizer = LiveOptimizer(model, declared)
    go_on(model, optimizer)
    tensors, plain = copy.deepcopy(optimizer.state()[0]), json.loads(json.dumps(optimizer.state()[1]))
    later = copy.deepcopy(model)
    expected = go_on(model, optimizer)
    resumed, fresh = LiveOptimizer(later, declared), copy.deepcopy(later)
    resumed.load_state(tensors, plain)
    assert all(torch.equal(a, b) for a, b in zip(go_on(later, resumed), expected, strict=True))
    other = go_on(fresh, LiveOptimizer(fresh, declared))
    assert not any(torch.equal(a, b) for a, b in zip(other, expected, strict=True))


def test_a_model_says_what_is_a_filter() -> None:
    """A convolution's weight is one matrix, any other parameter with more than two axes a stack."""
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Conv2d(4, 3, 2))
    model.stack = nn.Parameter(torch.zeros(3, 4, 2, 2))
    optimizer = LiveOptimizer(model, Optimizer(kind="muon", lr=1.0))
    before = model[0].weight.detach().clone()

    def closure() -> float:
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        return 0.0

    optimizer.step(closure, 0.0)
    for matrices in (model[0].weight - before).flatten(1), model.stack.flatten(0, 1):
        values = torch.linalg.svdvals(matrices.detach())
        assert values.min() > 0.6 and values.max() < 1.3
