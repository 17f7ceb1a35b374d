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


class Muon(torch.optim.Adam):
    """Muon for matrices, Adam for vectors (biases, gains) and numbers, both with the same rate.

    A parameter [..., m, n] is a stack of matrices, each with a step of its own, and one [..., m, 1] is a vector. A
    filter bank [m, n_in, kH, kW] is one matrix [m, n_in kH kW].
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        *,
        filters: Iterable[Tensor] = (),
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        """A step of a matrix has singular values of about `lr`; `weight_decay`, of matrices only, is times `lr`.

        `filters` are those of `params` that are weights of convolutions.
        """
        super().__init__(params, lr)
        self.filters = {id(parameter) for parameter in filters}
        self.momentum, self.weight_decay = momentum, weight_decay

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step; the loss that `closure` returns. Gradients of matrices are used up."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and self._is_matrix(parameter):
                    self._move(parameter, parameter.grad, group["lr"])
                    parameter.grad = None  # Adam passes over what has none
        super().step()
        return loss

    def _is_matrix(self, parameter: Tensor) -> bool:
        return parameter.ndim > 1 and (parameter.shape[-1] > 1 or id(parameter) in self.filters)

    def _move(self, parameter: Tensor, gradient: Tensor, lr: float) -> None:
        state: dict[str, Any] = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        average = state["momentum"].lerp_(gradient, 1 - self.momentum)
        ahead = gradient.lerp(average, self.momentum)  # Nesterov's
        update = orthogonalised(ahead.flatten(1) if id(parameter) in self.filters else ahead)
        m, n = update.shape[-2:]
        parameter.mul_(1 - lr * self.weight_decay)
        # A tall matrix has more outputs than inputs to make them of: a longer step moves each of them as far ([1]).
        parameter.add_(update.view_as(parameter), alpha=-lr * max(1, m / n) ** 0.5)


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
