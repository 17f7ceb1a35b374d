"""Muon: momentum whose every step is a matrix with nearly equal singular values.

K. Jordan, Y. Jin, V. Boza, J. You, F. Cesista, L. Newhouse and J. Bernstein, "Muon: An optimizer for hidden layers in
neural networks", 2024 (kellerjordan.github.io/posts/muon) [1]. torch.optim.Muon is the same for matrices only; filters
and biases are what it refuses.

A gradient has a few large singular values and many small ones; a step along it learns the directions of the large ones
and hardly any other. Steps of equal length along all of them need fewer steps.
"""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)  # x -> a x + b x^3 + c x^5, repeated, takes (0, 1] to about [0.7, 1.2] ([1])
ITERATIONS = 5
ADAM_BETAS, ADAM_EPS = (0.9, 0.999), 1e-8


class Muon(torch.optim.Optimizer):
    """Muon for matrices, Adam for vectors (biases, gains) and numbers, both with the same rate.

    A parameter [..., m, n] is a stack of matrices, each with a step of its own, and one [..., m, 1] is a vector. In
    groups with `filters`, a parameter [m, n_in, kH, kW] is one matrix [m, n_in kH kW].
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        *,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        filters: bool = False,
    ) -> None:
        """A step of a matrix has singular values of about `lr`; `weight_decay`, of matrices only, is times `lr`."""
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "filters": filters}
        super().__init__(params, defaults)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; the loss that `closure` returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                if parameter.ndim > 1 and (group["filters"] or parameter.shape[-1] > 1):
                    _muon(parameter, self.state[parameter], group)
                else:
                    _adam(parameter, self.state[parameter], group["lr"])
        return loss


def orthogonalised(matrix: Tensor) -> Tensor:
    """U V' of the singular value decomposition U S V', nearly: [..., m, n] -> same, singular values about 1 ([1]).

    Directions whose singular value is below a thousandth of the matrix's norm stay shorter.
    """
    a, b, c = QUINTIC
    tall = matrix.shape[-2] > matrix.shape[-1]
    x: Tensor = matrix.bfloat16()  # rounding errors do not add up: each iteration corrects those before
    x = x.mT if tall else x
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrix.dtype)


def _muon(parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
    assert parameter.grad is not None
    if not state:
        state["momentum"] = torch.zeros_like(parameter)
    average = state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
    ahead = parameter.grad.lerp(average, group["momentum"])  # Nesterov's
    update = orthogonalised(ahead.flatten(1) if group["filters"] else ahead)
    m, n = update.shape[-2:]
    parameter.mul_(1 - group["lr"] * group["weight_decay"])
    # A tall matrix has more outputs than inputs to make them of: a longer step moves each of them as far ([1]).
    parameter.add_(update.view_as(parameter), alpha=-group["lr"] * max(1, m / n) ** 0.5)


def _adam(parameter: Tensor, state: dict[str, Any], lr: float) -> None:
    """Kingma and Ba, 2014 (arXiv:1412.6980), algorithm 1."""
    assert parameter.grad is not None
    if not state:
        state |= {"step": 0, "mean": torch.zeros_like(parameter), "square": torch.zeros_like(parameter)}
    state["step"] += 1
    for moment, now, beta in (("mean", parameter.grad, ADAM_BETAS[0]), ("square", parameter.grad**2, ADAM_BETAS[1])):
        state[moment].lerp_(now, 1 - beta)
    mean = state["mean"] / (1 - ADAM_BETAS[0] ** state["step"])
    square = state["square"] / (1 - ADAM_BETAS[1] ** state["step"])
    parameter.sub_(mean / (square.sqrt() + ADAM_EPS), alpha=lr)
