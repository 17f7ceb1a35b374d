"""Torch's optimizers by the names that models declare, and their state as named tensors and plain numbers."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from zoo_core.errors import UsageError
from zoo_core.interfaces.model import Model
from zoo_core.interfaces.objectives import Optimizer
from zoo_core.training.muon import Muon

KINDS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
    "muon": Muon,
    "lbfgs": torch.optim.LBFGS,
}
FUSED = ("adam", "adamw", "sgd")  # one pass over all parameters, several times faster on a CPU
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
SCRATCH = ("al",)  # L-BFGS fills it anew in every step


class LiveOptimizer:
    """A declared optimizer with the parameters that it moves.

    Attributes:
        declared: what the model says of it.
        parameters: by their name in the model, each once.
    """

    def __init__(self, model: Model, declared: Optimizer, lr: float | None = None) -> None:
        """`lr` overrules the declared one.

        Raises:
            UsageError: no such kind, or a learning rate that is not positive.
        """
        self.declared = declared if lr is None else replace(declared, lr=lr)
        if self.declared.kind not in KINDS:
            raise UsageError(f"no optimizer '{declared.kind}'", f"There are: {', '.join(KINDS)}.")
        if not (self.declared.lr > 0 and math.isfinite(self.declared.lr)):
            raise UsageError(f"--lr must be greater than 0, got {self.declared.lr}")
        self.parameters: dict[str, nn.Parameter] = {
            f"{module}.{name}".lstrip("."): parameter
            for module in declared.modules
            for name, parameter in model.get_submodule(module).named_parameters()
        }
        options = dict(self.declared.options)
        if self.declared.kind in FUSED and all(p.device.type == "cpu" for p in self.parameters.values()):
            options.setdefault("fused", not options.keys() & {"foreach", "differentiable"})
        if self.declared.kind == "muon":
            options["filters"] = [
                parameter
                for name, parameter in self.parameters.items()
                if isinstance(model.get_submodule(name.rpartition(".")[0]), CONVOLUTIONS)
            ]
        self.torch = KINDS[self.declared.kind](list(self.parameters.values()), lr=self.declared.lr, **options)

    def step(self, closure: Callable[[], float], progress: float) -> None:
        """One step; `closure` sets the gradients and returns the loss, and L-BFGS calls it several times."""
        for group in self.torch.param_groups:
            group["lr"] = self.declared.lr * self.declared.decay(progress)
        self.torch.step(closure)
        for parameter in self.parameters.values():
            parameter.grad = None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain values, by `parameter/key`, and `parameter/key/number` where torch keeps a list."""
        tensors: dict[str, Tensor] = {}
        plain: dict[str, Any] = {}
        for name, parameter in self.parameters.items():
            for key, value in self.torch.state.get(parameter, {}).items():
                if isinstance(value, Tensor):
                    tensors[f"{name}/{key}"] = value
                elif isinstance(value, list) and key not in SCRATCH:
                    plain[f"{name}/{key}"] = {"length": len(value)}
                    tensors |= {f"{name}/{key}/{number}": item for number, item in enumerate(value)}
                elif key not in SCRATCH:
                    plain[f"{name}/{key}"] = value
        return tensors, plain

    def load_state(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Take back what `state` gave."""

        def copied(place: str, device: torch.device) -> Tensor:
            tensor = tensors[place]
            return tensor.to(device if tensor.ndim else "cpu", copy=True)  # counters stay on the CPU

        for place, value in plain.items():
            name, key = place.split("/")
            parameter = self.parameters[name]
            if isinstance(value, dict):
                value = [copied(f"{place}/{number}", parameter.device) for number in range(value["length"])]
            self.torch.state[parameter][key] = value
        for place in tensors:
            name, key, *item = place.split("/")
            if not item:
                parameter = self.parameters[name]
                self.torch.state[parameter][key] = copied(place, parameter.device)
