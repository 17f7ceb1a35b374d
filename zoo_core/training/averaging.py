"""A moving average of the weights, which often generalises better than the last ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from zoo_core.interfaces.model import Model


class MovingAverage:
    """Averages the parameters of `model.ema`'s submodules; buffers are always the model's own."""

    def __init__(self, model: Model) -> None:
        self.decay = model.ema_decay
        self.live: dict[str, Tensor] = {
            f"{module}.{name}".lstrip("."): parameter
            for module in model.ema
            for name, parameter in model.get_submodule(module).named_parameters()
        }
        self.average = {name: parameter.detach().clone() for name, parameter in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after `step` steps; the ramp keeps the random start from lingering."""
        if not self.live:
            return
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.values()), list(self.live.values()), weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model with its averaged weights, for the time of a validation."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self.live.items():
            self.average[name], parameter.data = parameter.data, self.average[name]
